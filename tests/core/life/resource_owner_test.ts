/**
 * resource_owner_test.ts: which owner a handle belongs to. The rows of PostgreSQL's test_handle are
 * here, in the words of owners: a statement is an owner, a transaction the owner above it.
 */

import { assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { ResourceOwner } from "../../../core/life/resource_owner.ts";
import { AioReturn } from "../../../core/io/result.ts";
import { openHeld, startOn, startRead, wrong } from "../../support/core.ts";
import { HELD, STAGING, testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";

// --- PostgreSQL's test_handle ---

testSharedCores("get in an implicit transaction leaks, with a warning", (fixture) => {
  const { aio } = fixture;
  aio.withOwner((owner) => aio.acquire(owner));
  assertEquals(fixture.messages(), ["leaked AIO handle"]);
  assertEquals(backendOf(aio).hasHandedOut, false);
  aio.acquire().release();
});

testSharedCores(
  "get in an explicit transaction leaks at the end of the statement, not twice",
  (fixture) => {
    const transaction = new ResourceOwner(fixture.aio);
    const statement = new ResourceOwner(fixture.aio, transaction);
    fixture.aio.acquire(statement);
    statement.release();
    assertEquals(fixture.messages(), ["leaked AIO handle"]);
    transaction.release();
    assertEquals(fixture.messages(), ["leaked AIO handle"]);
  },
);

testSharedCores("get, then rollback: the statement's end has warned already", (fixture) => {
  const transaction = new ResourceOwner(fixture.aio);
  const statement = new ResourceOwner(fixture.aio, transaction);
  fixture.aio.acquire(statement);
  statement.release();
  transaction.release({ onError: true });
  assertEquals(fixture.messages(), ["leaked AIO handle"]);
});

testSharedCores("get inside a savepoint, then commit, leaks with a warning", (fixture) => {
  const transaction = new ResourceOwner(fixture.aio);
  const savepoint = new ResourceOwner(fixture.aio, transaction);
  fixture.aio.acquire(savepoint);
  transaction.release();
  assertEquals(fixture.messages(), ["leaked AIO handle"]);
});

testSharedCores("get, then release in another command: a warning and an error", (fixture) => {
  const { aio } = fixture;
  const handle = aio.withOwner((owner) => aio.acquire(owner));
  assertEquals(fixture.messages(), ["leaked AIO handle"]);
  const error = assertThrows(
    () => aio.withOwner(() => handle.release()),
    AioApiError,
  );
  assertEquals(error.message, "release in unexpected state");
  assertEquals(fixture.warnings.length, 1);
});

testSharedCores("get and release in one command is silent", (fixture) => {
  const { aio } = fixture;
  aio.withOwner((owner) => aio.acquire(owner).release());
  assertEquals(fixture.messages(), []);
});

testSharedCores(
  "get twice is refused, and the error takes the handle back in silence",
  (fixture) => {
    const { aio } = fixture;
    const error = assertThrows(
      () =>
        aio.withOwner((owner) => {
          aio.acquire(owner);
          aio.acquire(owner);
        }),
      AioApiError,
    );
    assertEquals(error.message, "API violation: Only one IO can be handed out");
    assertEquals(fixture.messages(), []);
    aio.withOwner((owner) => aio.acquire(owner).release());
  },
);

for (const levels of [1, 2, 3]) {
  testSharedCores(`get and throw ${levels} owners deep, then get and release works`, (fixture) => {
    const { aio } = fixture;
    const mine = new Error("as you command");
    const error = assertThrows(() =>
      aio.withOwner((owner) => {
        let inner = owner;
        for (let level = 1; level < levels; level++) inner = new ResourceOwner(aio, inner);
        aio.acquire(inner);
        throw mine;
      })
    );
    assertStrictEquals(error, mine);
    assertEquals(fixture.messages(), []);
    aio.withOwner((owner) => aio.acquire(owner).release());
    assertEquals(fixture.messages(), []);
  });
}

// --- release by state ---

testSharedCores("an owner that ends submits what is staged, with a warning", (fixture, method) => {
  const { aio, held } = fixture;
  const owner = new ResourceOwner(aio);
  aio.enterBatchmode();
  const { ref } = startRead(fixture, 0, { owner });
  assertEquals([owner.handleCount, fixture.submissions.length], [1, 0]);
  owner.release();
  assertEquals(fixture.messages(), ["AIO handle was not submitted"]);
  assertEquals([owner.handleCount, fixture.submissions], [0, [1]]);
  if (method === HELD) assertEquals(held.held(aio), [ref.index]);
  aio.exitBatchmode();
}, { only: STAGING });

testSharedCores("an owner that ends by an error does both in silence", (fixture) => {
  const { aio } = fixture;
  const owner = new ResourceOwner(aio);
  aio.enterBatchmode();
  startRead(fixture, 0, { owner });
  aio.acquire(owner);
  owner.release({ onError: true });
  assertEquals(fixture.messages(), []);
  assertEquals(fixture.submissions, [1]);
  assertEquals(backendOf(aio).hasHandedOut, false);
  aio.exitBatchmode();
}, { only: STAGING });

Deno.test("held: an IO in flight goes on after its owner's end, its return slot is left alone", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const owner = new ResourceOwner(aio);
  const { ref, ret, view } = startRead(fixture, 0, { owner });
  view.fill(0);
  owner.release();
  assertEquals(fixture.messages(), []);
  assertEquals(held.held(aio), [ref.index]);
  held.perform(aio, ref);
  assertEquals(ret.result.status, "unknown");
  assertEquals(view.some((byte) => byte !== 0), true);
  assertEquals(backendOf(aio).idleCount, aio.options.maxConcurrency);
});

testSharedCores("an IO that is done is forgotten by its owner", (fixture) => {
  const { aio } = fixture;
  const owner = new ResourceOwner(aio);
  aio.enterBatchmode();
  const { ref, ret } = startRead(fixture, 0, { owner });
  assertEquals(owner.handleCount, 1);
  aio.exitBatchmode();
  aio.waitSync(ref);
  assertEquals(owner.handleCount, 0);
  owner.release();
  assertEquals([fixture.messages(), ret.result.status], [[], "ok"]);
}, { only: STAGING });

testSharedCores("a handle of one owner is not the next owner's after its use", (fixture) => {
  const { aio } = fixture;
  const [first, second] = [new ResourceOwner(aio), new ResourceOwner(aio)];
  aio.waitSync(startRead(fixture, 0, { owner: first }).ref);
  aio.enterBatchmode();
  startRead(fixture, 0, { owner: second });
  assertEquals([first.handleCount, second.handleCount], [0, 1]);
  first.release();
  assertEquals(second.handleCount, 1);
  aio.exitBatchmode();
  second.release();
  assertEquals(fixture.messages(), []);
}, { only: STAGING, options: { maxConcurrency: 1 } });

testSharedCores("an owner of many handles in every state gives all back", (fixture) => {
  const { aio } = fixture;
  const owner = new ResourceOwner(aio);
  const first = [0, 1, 2].map(() => startRead(fixture, 0, { owner }));
  aio.enterBatchmode();
  const staged = [0, 1, 2].map(() => startRead(fixture, 0, { owner }));
  aio.acquire(owner);
  owner.release();
  assertEquals(fixture.messages().sort(), ["AIO handle was not submitted", "leaked AIO handle"]);
  assertEquals([owner.handleCount, aio.haveStaged, backendOf(aio).hasHandedOut], [0, false, false]);
  aio.exitBatchmode();
  for (const { ref, ret } of staged) {
    aio.waitSync(ref);
    assertEquals(ret.result.status, "unknown");
  }
  for (const { ref } of first) aio.waitSync(ref);
  assertEquals(backendOf(aio).idleCount, 8);
}, { only: STAGING, options: { maxConcurrency: 8 } });

testSharedCores("a handle without an owner can be released, and nobody warns of it", (fixture) => {
  const handle = fixture.aio.acquire();
  fixture.aio.withOwner(() => {});
  assertEquals([fixture.messages(), handle.state], [[], "handedOut"]);
  handle.release();
});

// --- owners ---

testSharedCores("an owner releases its children first, and they let go of it", (fixture) => {
  const { aio } = fixture;
  const parent = new ResourceOwner(aio);
  const child = new ResourceOwner(aio, parent);
  aio.acquire(child);
  parent.release();
  assertEquals([child.handleCount, fixture.messages()], [0, ["leaked AIO handle"]]);
  assertThrows(() => aio.acquire(child), AioApiError, "that was released");
});

testSharedCores("a child released on its own leaves the parent usable", (fixture) => {
  const parent = new ResourceOwner(fixture.aio);
  new ResourceOwner(fixture.aio, parent).release();
  fixture.aio.acquire(parent).release();
  parent.release();
});

testSharedCores("owner.release() twice does nothing more", (fixture) => {
  const owner = new ResourceOwner(fixture.aio);
  fixture.aio.acquire(owner);
  owner.release();
  owner.release();
  assertEquals(fixture.messages(), ["leaked AIO handle"]);
});

testSharedCores(
  "using an owner releases it at the end of its block, without an error",
  (fixture) => {
    {
      using owner = new ResourceOwner(fixture.aio);
      fixture.aio.acquire(owner);
    }
    assertEquals(fixture.messages(), ["leaked AIO handle"]);
  },
);

for (const call of ["acquire", "tryAcquire"] as const) {
  testSharedCores(
    `aio.${call}() for a released owner is refused and takes no handle`,
    (fixture) => {
      const { aio } = fixture;
      const owner = new ResourceOwner(aio);
      owner.release();
      const error = assertThrows(() => aio[call](owner), AioApiError);
      assertEquals(
        error.message,
        "Cannot acquire a handle for a resource owner that was released",
      );
      assertEquals([backendOf(aio).hasHandedOut, backendOf(aio).idleCount], [false, 1]);
      aio.acquire().release();
    },
    { options: { maxConcurrency: 1 } },
  );
}

testSharedCores("a new owner under a released parent is refused", (fixture) => {
  const parent = new ResourceOwner(fixture.aio);
  parent.release();
  const error = assertThrows(() => new ResourceOwner(fixture.aio, parent), AioApiError);
  assertEquals(error.message, "Cannot add a resource owner to a parent that was released");
});

testEachCoreMethod("an owner of another aio is refused and takes no handle", async (test) => {
  await using fixture = await test.open({ maxConcurrency: 1 });
  await using other = await test.open();
  const owner = new ResourceOwner(other.aio);
  assertThrows(() => fixture.aio.acquire(owner), Error, "another aio");
  assertEquals(owner.handleCount, 0);
  fixture.aio.acquire().release();
  owner.release();
  assertEquals(other.messages(), []);
});

// --- withOwner ---

testSharedCores("aio.withOwner() returns what its function returned", async (fixture) => {
  assertEquals(fixture.aio.withOwner(() => 5), 5);
  assertEquals(await fixture.aio.withOwner(() => Promise.resolve(6)), 6);
});

testSharedCores("an asynchronous withOwner() ends when its promise does", async (fixture) => {
  const { aio } = fixture;
  const gate = Promise.withResolvers<void>();
  const done = aio.withOwner(async (owner) => {
    await gate.promise;
    const handle = aio.acquire(owner);
    assertEquals(owner.handleCount, 1);
    handle.release();
    const { ref, ret } = startRead(fixture, 0, { owner });
    await aio.wait(ref);
    return ret.result.result;
  });
  gate.resolve();
  assertEquals(await done, 512);
  assertEquals(fixture.messages(), []);
});

testSharedCores(
  "an asynchronous withOwner() that rejects takes back in silence",
  async (fixture) => {
    const { aio } = fixture;
    const mine = new Error("as you command");
    const error = await assertRejects(() =>
      aio.withOwner(async (owner) => {
        await Promise.resolve();
        aio.enterBatchmode();
        startRead(fixture, 0, { owner });
        aio.acquire(owner);
        throw mine;
      })
    );
    assertStrictEquals(error, mine);
    assertEquals([fixture.messages(), fixture.submissions], [[], [1]]);
    assertEquals([backendOf(aio).staging.isInBatch, backendOf(aio).hasHandedOut], [false, false]);
  },
  { only: STAGING },
);

testSharedCores("withOwner() warns of a batch left open, after the handles", (fixture) => {
  const { aio } = fixture;
  aio.withOwner((owner) => {
    aio.enterBatchmode();
    startRead(fixture, 0, { owner });
  });
  assertEquals(fixture.messages(), [
    "AIO handle was not submitted",
    "open AIO batch at end of (sub-)transaction",
  ]);
  assertEquals(backendOf(aio).staging.isInBatch, false);
}, { only: STAGING });

testSharedCores("the issuer's return slot is filled while its owner lives", (fixture) => {
  const { aio } = fixture;
  const ret = new AioReturn();
  aio.withOwner((owner) => {
    const handle = aio.acquire(owner, ret);
    const ref = handle.waitRef();
    startOn(fixture, handle);
    aio.waitSync(ref);
  });
  assertEquals(ret.result.status, "ok");
});

testSharedCores("owner.release() takes options of an object, or none", (fixture) => {
  const owner = new ResourceOwner(fixture.aio);
  fixture.aio.acquire(owner);
  owner.release(wrong<Record<string, never>>({ onError: undefined }));
  assertEquals(fixture.messages(), ["leaked AIO handle"]);
});
