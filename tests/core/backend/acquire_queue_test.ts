/** acquire_queue_test.ts: aio.acquireAsync: first come, first served, and what users do wrong. */

import { assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import { ResourceOwner } from "../../../core/life/resource_owner.ts";
import { AioReturn } from "../../../core/io/result.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { fileContent, openHeld, startOn } from "../../support/core.ts";
import { testSharedCores } from "../../support/core_methods.ts";

testSharedCores(
  "aio.acquireAsync() calls its function at once if a handle is free",
  async (fixture) => {
    let called = false;
    const promise = fixture.aio.acquireAsync((handle) => {
      called = true;
      handle.release();
      return 5;
    });
    assertEquals(called, true);
    assertEquals(await promise, 5);
  },
);

testSharedCores(
  "aio.acquireAsync() serves in order, one by one, as handles come back",
  async (fixture) => {
    const { aio } = fixture;
    const order: number[] = [];
    const last = aio.acquire();
    const promises = Array.from({ length: 5 }, (_, i) =>
      aio.acquireAsync((handle) => {
        order.push(i);
        startOn(fixture, handle);
        return i;
      }));
    assertEquals([order, backendOf(aio).acquireQueue.length], [[], 5]);
    last.release();
    assertEquals(await Promise.all(promises), [0, 1, 2, 3, 4]);
    assertEquals([order, backendOf(aio).acquireQueue.length], [[0, 1, 2, 3, 4], 0]);
  },
  { options: { maxConcurrency: 1 } },
);

testSharedCores(
  "aio.acquireAsync() goes on in an open batch, as what is staged is submitted",
  async (fixture) => {
    const { aio } = fixture;
    aio.enterBatchmode();
    const queued = [0, 1, 2, 3].map((i) =>
      aio.acquireAsync((handle) => {
        startOn(fixture, handle);
        return i;
      })
    );
    assertEquals(await Promise.all(queued), [0, 1, 2, 3]);
    assertEquals(backendOf(aio).staging.isInBatch, true);
    aio.exitBatchmode();
  },
  { options: { maxConcurrency: 1 } },
);

// Only with this method does a handle come back when the test wants it to.
Deno.test("held: aio.acquireAsync() serves one for each handle that comes back", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio, held } = fixture;
  const order: number[] = [];
  const promises = Array.from({ length: 5 }, (_, i) =>
    aio.acquireAsync((handle) => {
      order.push(i);
      startOn(fixture, handle);
      return i;
    }));
  assertEquals([order, backendOf(aio).acquireQueue.length], [[0], 4]);
  for (let done = 1; done <= 5; done++) {
    held.perform(aio, 0);
    await Promise.resolve();
    assertEquals(order.length, Math.min(done + 1, 5));
  }
  assertEquals(await Promise.all(promises), [0, 1, 2, 3, 4]);
});

testSharedCores(
  "those queued are served as soon as a handle in hand is started or released",
  async (fixture) => {
    const { aio } = fixture;
    for (const end of [(handle: AioHandle) => handle.release(), startOnHandle]) {
      const handle = aio.acquire();
      let called = false;
      const promise = aio.acquireAsync((given) => {
        called = true;
        given.release();
      });
      assertEquals(called, false);
      end(handle);
      await promise;
      assertEquals(called, true);
    }
    function startOnHandle(handle: AioHandle): void {
      startOn(fixture, handle);
    }
  },
  { options: { maxConcurrency: 4 } },
);

testSharedCores(
  "acquireAsync() heeds a signal that is aborted just before its turn",
  async (fixture) => {
    const { aio } = fixture;
    const controller = new AbortController();
    const last = aio.acquire();
    const first = aio.acquireAsync((handle) => {
      controller.abort(new Error("enough"));
      startOn(fixture, handle);
    });
    last.release();
    // Neither is served yet: that is a microtask's.
    let isUsed = false;
    const second = aio.acquireAsync(
      (handle) => {
        isUsed = true;
        handle.release();
      },
      null,
      null,
      controller.signal,
    );
    await assertRejects(() => second, Error, "enough");
    await first;
    assertEquals([isUsed, backendOf(aio).acquireQueue.length], [false, 0]);
  },
  { options: { maxConcurrency: 1 } },
);

testSharedCores("nobody overtakes those queued by acquireAsync()", async (fixture) => {
  const { aio } = fixture;
  const order: string[] = [];
  const handle = aio.acquire();
  const use = (name: string) =>
    aio.acquireAsync((given) => {
      order.push(name);
      given.release();
    });
  const first = use("first");
  handle.release();
  const second = use("second");
  await Promise.all([first, second]);
  assertEquals(order, ["first", "second"]);
}, { options: { maxConcurrency: 2 } });

testSharedCores("the function's throw rejects, and its handle comes back", async (fixture) => {
  const { aio } = fixture;
  const mine = new Error("mine");
  const error = await assertRejects(() =>
    aio.acquireAsync(() => {
      throw mine;
    })
  );
  assertStrictEquals(error, mine);
  assertEquals(backendOf(aio).idleCount, 1);
}, { options: { maxConcurrency: 1 } });

testSharedCores("a throw after the start rejects, and the IO goes on", async (fixture) => {
  const { aio } = fixture;
  let view: Uint8Array | null = null;
  let ref: WaitRef | null = null;
  await assertRejects(
    () =>
      aio.acquireAsync((handle) => {
        ref = handle.waitRef();
        view = startOn(fixture, handle);
        throw new Error("mine");
      }),
    Error,
    "mine",
  );
  await aio.wait(ref!);
  assertEquals(view, fileContent(0, 512));
}, { options: { maxConcurrency: 1 } });

for (
  const [name, use] of [
    ["leaves", () => 5],
    ["awaits", () => Promise.resolve()],
  ] as const
) {
  testSharedCores(
    `a function that ${name} with its handle is refused, and the handle comes back`,
    async (fixture) => {
      const { aio } = fixture;
      const error = await assertRejects(() => aio.acquireAsync<unknown>(use), AioApiError);
      assertEquals(
        error.message,
        "Handle 0 was neither started nor released by the function given to acquireAsync()",
      );
      assertEquals([backendOf(aio).idleCount, backendOf(aio).hasHandedOut], [1, false]);
    },
    { options: { maxConcurrency: 1 } },
  );
}

testSharedCores("a failed function does not stop those behind it", async (fixture) => {
  const { aio } = fixture;
  const last = aio.acquire();
  const failing = aio.acquireAsync(() => {
    throw new Error("mine");
  });
  const leaving = aio.acquireAsync(() => 1);
  const fine = aio.acquireAsync((handle) => (handle.release(), 2));
  last.release();
  const outcomes = await Promise.allSettled([failing, leaving, fine]);
  assertEquals(outcomes.map((outcome) => outcome.status), ["rejected", "rejected", "fulfilled"]);
}, { options: { maxConcurrency: 1 } });

testSharedCores(
  "aio.acquireAsync() for a released owner rejects and does not block the queue",
  async (fixture) => {
    const { aio } = fixture;
    const owner = new ResourceOwner(aio);
    owner.release();
    await assertRejects(
      async () => await aio.acquireAsync((handle) => handle.release(), owner),
      AioApiError,
      "that was released",
    );
    assertEquals(await aio.acquireAsync((handle) => (handle.release(), 1)), 1);
    assertEquals([backendOf(aio).idleCount, backendOf(aio).acquireQueue.length], [1, 0]);
  },
  { options: { maxConcurrency: 1 } },
);

testSharedCores(
  "an owner released while its request is queued is refused when its turn comes",
  async (fixture) => {
    const { aio } = fixture;
    const last = aio.acquire();
    const owner = new ResourceOwner(aio);
    const late = aio.acquireAsync((handle) => handle.release(), owner);
    const next = aio.acquireAsync((handle) => (handle.release(), 1));
    owner.release();
    last.release();
    await assertRejects(() => late, AioApiError, "that was released");
    assertEquals(await next, 1);
  },
  { options: { maxConcurrency: 1 } },
);

testSharedCores("acquireAsync() charges its owner and fills its return slot", async (fixture) => {
  const { aio } = fixture;
  const owner = new ResourceOwner(aio);
  const ret = new AioReturn();
  const [ref, view] = await aio.acquireAsync(
    (handle) => {
      assertEquals(owner.handleCount, 1);
      return [handle.waitRef(), startOn(fixture, handle)] as const;
    },
    owner,
    ret,
  );
  aio.waitSync(ref);
  assertEquals([ret.result.status, view], ["ok", fileContent(0, 512)]);
  owner.release();
});

testSharedCores("acquireAsync() from within its function is queued", async (fixture) => {
  const { aio } = fixture;
  const order: string[] = [];
  let inner: Promise<void> = Promise.resolve();
  await aio.acquireAsync((handle) => {
    inner = aio.acquireAsync((given) => {
      order.push("inner");
      given.release();
    });
    order.push("outer");
    handle.release();
  });
  await inner;
  assertEquals(order, ["outer", "inner"]);
}, { options: { maxConcurrency: 2 } });

testSharedCores("aio.acquire() in a function that has a handle is refused", async (fixture) => {
  await fixture.aio.acquireAsync((handle) => {
    assertThrows(() => fixture.aio.acquire(), AioApiError, "Only one IO can be handed out");
    handle.release();
  });
});

testSharedCores(
  "a thousand reads through acquireAsync() over one handle all end",
  async (fixture) => {
    const { aio, file } = fixture;
    const view = aio.alloc(64);
    let done = 0;
    await Promise.all(Array.from({ length: 1000 }, async () => {
      const ret = new AioReturn();
      const ref = await aio.acquireAsync(
        (handle) => {
          const ref = handle.waitRef();
          handle.setIovec(view);
          file.startReadv(handle, 0, { submit: "endOfTurn" });
          return ref;
        },
        null,
        ret,
      );
      await aio.wait(ref);
      if (ret.result.status === "ok") done++;
    }));
    assertEquals(done, 1000);
  },
  { options: { maxConcurrency: 1 } },
);
