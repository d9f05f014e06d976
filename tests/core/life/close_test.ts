/** close_test.ts: the end of an aio, and what comes after it; closing descriptors. */

import { assert, assertEquals, assertFalse, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioCore } from "../../../core/life/aio.ts";
import { AioApiError } from "../../../core/base/errors.ts";
import { AioReturn } from "../../../core/io/result.ts";
import { syncMethod } from "../../../methods/sync.ts";
import type { Aio } from "../../../storage/aio.ts";
import { fileContent, openHeld, startRead } from "../../support/core.ts";
import { STAGING, testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";
import { isOfForgottenFiles } from "../../support/forgotten.ts";
import { HeldMethod } from "../../support/held_method.ts";
import { Turns } from "../../support/turns.ts";

Deno.test("held: aio.close() waits for what is in flight", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const reads = [startRead(fixture), startRead(fixture, 512)];
  let closed = false;
  const closing = aio.close().then(() => closed = true);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assertEquals([closed, aio.isClosed, held.calls], [false, true, ["init"]]);
  held.perform(aio, reads[1]!.ref);
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertFalse(closed);
  held.perform(aio, reads[0]!.ref);
  await closing;
  assertEquals(held.calls, ["init", "shutdown"]);
  for (const read of reads) assertEquals(read.view, fileContent(read.offset, 512));
});

const turns = new Turns(7);

testEachCoreMethod("aio.close() submits what is staged, and waits for it", async (test) => {
  await using fixture = await test.open();
  const { aio } = fixture;
  aio.enterBatchmode();
  const reads = [startRead(fixture), startRead(fixture, 512)];
  await aio.close();
  for (const { ret, view, offset } of reads) {
    assertEquals([ret.result.status, view], ["ok", fileContent(offset, 512)]);
  }
}, { only: STAGING, turns });

testEachCoreMethod(
  "aio.close() with a batch open warns of it, once it is closed",
  async ({ open }) => {
    const warnings: string[] = [];
    const refused: unknown[] = [];
    let aio: Aio | null = null;
    await using fixture = await open({
      onWarning(message) {
        if (isOfForgottenFiles(message)) return;
        warnings.push(message);
        // If the hook could acquire, it would leave a handle behind.
        refused.push(assertThrows(() => aio!.acquire(), Deno.errors.BadResource));
      },
    });
    aio = fixture.aio;
    aio.enterBatchmode();
    const { ret } = startRead(fixture);
    await aio.close();
    assertEquals(warnings, ["open AIO batch at end of (sub-)transaction"]);
    assertEquals([ret.result.status, refused.length], ["ok", 1]);
  },
  { turns },
);

testEachCoreMethod(
  "aio.close() that is refused leaves the batch open, and warns of nothing",
  async ({ open }) => {
    await using fixture = await open();
    const { aio } = fixture;
    aio.enterBatchmode();
    const handle = aio.acquire();
    await assertRejects(() => aio.close(), AioApiError, "a handle is handed out");
    assertEquals([backendOf(aio).staging.isInBatch, fixture.messages()], [true, []]);
    handle.release();
    aio.exitBatchmode();
    await aio.close();
    assertEquals(fixture.messages(), []);
  },
  { turns },
);

testEachCoreMethod(
  "aio.close() while a handle is handed out is refused, and works later",
  async (test) => {
    await using fixture = await test.open();
    const { aio } = fixture;
    const handle = aio.acquire();
    const error = await assertRejects(() => aio.close(), AioApiError);
    assertEquals(
      error.message,
      "Cannot close aio while a handle is handed out: start or release it first",
    );
    assertFalse(aio.isClosed);
    handle.release();
    await aio.close();
    assert(aio.isClosed);
  },
  { turns },
);

testEachCoreMethod("aio.close() again does nothing, at the same time or later", async (test) => {
  await using fixture = await test.open();
  const { aio } = fixture;
  await Promise.all([aio.close(), aio.close()]);
  await aio.close();
}, { turns });

testEachCoreMethod(
  "after aio.close() each call that starts something is refused, by name",
  async (test) => {
    await using fixture = await test.open();
    const { aio } = fixture;
    await aio.close();
    const calls: Readonly<Record<string, () => unknown>> = {
      acquire: () => aio.acquire(),
      enterBatchmode: () => aio.enterBatchmode(),
      submitStaged: () => aio.submitStaged(),
      adoptMemory: () => aio.adoptMemory(new SharedArrayBuffer(4096)),
      alloc: () => aio.alloc(1),
    };
    for (const [name, call] of Object.entries(calls)) {
      const error = assertThrows(call, Deno.errors.BadResource);
      assertEquals(error.message, `Cannot call ${name}(): aio is closed`);
    }
    await assertRejects(
      async () => await aio.acquireAsync((handle) => handle.release()),
      Deno.errors.BadResource,
      "Cannot call acquireAsync(): aio is closed",
    );
  },
  { turns },
);

testEachCoreMethod(
  "what was started before aio.close() can be waited for after it",
  async (test) => {
    await using fixture = await test.open();
    const { aio } = fixture;
    const { ref, ret } = startRead(fixture);
    const closing = aio.close();
    const wait = aio.wait(ref);
    await Promise.all([closing, wait]);
    assert(aio.checkDone(ref));
    aio.waitSync(ref);
    assertEquals(ret.result.status, "ok");
  },
  { turns },
);

Deno.test("held: aio.close() refuses those who queue for a handle", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio, held } = fixture;
  startRead(fixture);
  const queued = [1, 2].map(() => aio.acquireAsync((handle) => handle.release()));
  const outcomes = Promise.allSettled(queued);
  const closing = aio.close();
  for (const outcome of await outcomes) {
    assert(outcome.status === "rejected" && outcome.reason instanceof Deno.errors.BadResource);
    assertEquals(outcome.reason.message, "Cannot acquire a handle: aio is closed");
  }
  held.performAll(aio);
  await closing;
});

Deno.test("sync: await using closes, also after a throw", async () => {
  let kept: AioCore | undefined;
  await assertRejects(
    async () => {
      await using aio = await AioCore.open({ arenaBytes: 4096 }, [syncMethod]);
      kept = aio;
      throw new Error("mine");
    },
    Error,
    "mine",
  );
  assert(kept?.isClosed);
});

Deno.test("held: a method that cannot begin has the opening fail with its error", async () => {
  class Broken extends HeldMethod {
    override initBackend(): void {
      throw new Error("no ring today");
    }
  }
  await assertRejects(() => AioCore.open({}, [new Broken()]), Error, "no ring today");
});

// --- descriptors ---

for (const waitOnFdBeforeClose of [true, false]) {
  Deno.test(`held: aio.closingFd() submits, and waits where the method wants it (${waitOnFdBeforeClose})`, async () => {
    await using fixture = await openHeld({}, new HeldMethod({ waitOnFdBeforeClose }));
    const { aio, held, file } = fixture;
    aio.enterBatchmode();
    const reads = [0, 512, 1024].map((offset) => startRead(fixture, offset));
    aio.closingFd(file.fd);
    assertEquals(held.submissions, [3]);
    assertEquals(held.waits, waitOnFdBeforeClose ? reads.map((read) => read.ref.index) : []);
    aio.exitBatchmode();
  });
}

Deno.test("held: aio.closingFd() waits for no other descriptor's IO", async () => {
  await using fixture = await openHeld();
  const { aio, held, file } = fixture;
  const { ref } = startRead(fixture);
  aio.closingFd(file.fd + 1000);
  assertEquals([held.waits, held.held(aio)], [[], [ref.index]]);
});

testSharedCores("no IO starts on a file that is being closed", (fixture) => {
  const { aio, file } = fixture;
  aio.closingFd(file.fd);
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  handle.setIovec(aio.alloc(512));
  const error = assertThrows(() => file.startReadv(handle, 0), Deno.errors.BadResource);
  assertEquals(
    error.message,
    `Cannot start IO on bytes 0..511 in file ${JSON.stringify(file.path)}: it is closed`,
  );
  assertEquals(handle.state, "handedOut");
  handle.release();
});
