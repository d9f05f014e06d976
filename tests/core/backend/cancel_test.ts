/**
 * cancel_test.ts: `aio.cancel()` gives up an IO in the kernel, before it is submitted, or not at
 * all; the IO ends in each case.
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { ECANCELED } from "../../../ffi/errno.ts";
import { SLOT } from "../../../methods/io_uring/memory.ts";
import { shareThread } from "../../support/threads/attached.ts";
import { AioHandle } from "../../../core/io/handle.ts";
import { replace } from "../../support/bells/bells.ts";
import { claimsMeanwhile } from "../../support/claims_meanwhile.ts";
import { fileContent, openHeld, startRead, stateOf } from "../../support/core.ts";
import { STAGING, testSharedCores } from "../../support/core_methods.ts";
import {
  openUring,
  Pipe,
  replaceProperty,
  ringOf,
  slotWord,
  smallRings,
  startRawRead,
  testEachForm,
} from "../../support/rings/uring.ts";

const startWorker = shareThread();

const HANDLES = 64;

testEachForm("cancel() ends a read that the kernel has, with ECANCELED", async (form) => {
  await using fixture = await openUring(form);
  const { aio } = fixture;
  using pipe = await Pipe.open();
  const { ref, ret } = startRawRead(fixture, pipe.fd);
  assertEquals(aio.checkDone(ref), false);
  aio.cancel(ref);
  aio.waitSync(ref);
  assertEquals(ret.result.result, -ECANCELED);
  assertEquals([aio.ios(), backendOf(aio).idleCount], [[], HANDLES]);
  // The next read gets the bytes, as the cancelled one took none.
  pipe.write();
  const next = startRawRead(fixture, pipe.fd);
  aio.waitSync(next.ref);
  assertEquals(next.ret.result.result, next.view.length);
});

testEachForm("cancel() ends only the one of many that is meant", async (form) => {
  await using fixture = await openUring(form);
  const { aio } = fixture;
  using pipe = await Pipe.open();
  const reads = Array.from({ length: 40 }, () => startRawRead(fixture, pipe.fd));
  for (const { ref } of reads.slice(10, 20)) aio.cancel(ref);
  for (const { ref } of reads.slice(10, 20)) await aio.wait(ref);
  assertEquals(ringOf(fixture).inKernel, 30);
  pipe.write(30);
  for (const { ref } of reads) await aio.wait(ref);
  const results = reads.map(({ ret }) => ret.result.result);
  assertEquals(results.filter((result) => result === -ECANCELED).length, 10);
  assertEquals(results.filter((result) => result === 100).length, 30);
});

testEachForm("cancel() wakes whoever awaits the IO in another thread", async (form) => {
  await using fixture = await openUring(form);
  const { aio } = fixture;
  using pipe = await Pipe.open();
  await using worker = await startWorker(aio, fixture.file);
  const { ref } = startRawRead(fixture, pipe.fd);
  const awaited = worker.ask({ what: "await", ref });
  aio.cancel(ref);
  await awaited;
  aio.waitSync(ref);
});

testEachForm("cancel() with no room in the ring leaves the IO to end by itself", async (form) => {
  using _small = smallRings(2);
  await using fixture = await openUring(form, { maxConcurrency: 2 });
  const { aio } = fixture;
  using pipe = await Pipe.open();
  const { ref, ret } = startRawRead(fixture, pipe.fd);
  {
    using _full = replaceProperty("room", () => 0);
    aio.cancel(ref);
  }
  assertEquals([ringOf(fixture).inKernel, slotWord(fixture, 0, SLOT.cqEntries)], [1, 4]);
  pipe.write();
  aio.waitSync(ref);
  assertEquals(ret.result.result, 100);
});

testEachForm("cancel() of reads over and over never fills the ring", async (form) => {
  using _small = smallRings(8);
  await using fixture = await openUring(form, { maxConcurrency: 8 });
  const { aio } = fixture;
  using pipe = await Pipe.open();
  for (let round = 0; round < 50; round++) {
    const reads = Array.from({ length: 8 }, () => startRawRead(fixture, pipe.fd));
    // Each twice: the second call finds nothing to cancel.
    for (const { ref } of [...reads, ...reads]) aio.cancel(ref);
    for (const { ref, ret, view } of reads) {
      aio.waitSync(ref);
      assertEquals(ret.result.result, -ECANCELED);
      aio.free(view);
    }
  }
  assertEquals([ringOf(fixture).outstanding, ringOf(fixture).hasOverflow], [0, false]);
});

testEachForm(
  "readAt() that is aborted gives its space back, though its read would never end",
  async (form) => {
    await using fixture = await openUring(form);
    const { aio, file } = fixture;
    using pipe = await Pipe.open();
    const { arena } = backendOf(aio);
    const free = arena.freeBytes;
    const controller = new AbortController();
    const { signal } = controller;
    const reads: Promise<number>[] = [];
    {
      // No file waits for ever, so its reads go to a pipe that nobody writes to.
      const { startReadv } = AioHandle.prototype;
      using _fd = replace(
        AioHandle.prototype,
        "startReadv",
        function (this: AioHandle, _fd, ...rest) {
          startReadv.call(this, pipe.fd, ...rest);
        },
      );
      for (let i = 0; i < 5; i++) reads.push(file.readAt(new Uint8Array(10), 0, { signal }));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assertEquals(ringOf(fixture).inKernel, 5);
    controller.abort(new Error("enough"));
    for (const read of reads) await assertRejects(() => read, Error, "enough");
    await file.close();
    assertEquals([aio.ios(), arena.freeBytes], [[], free]);
  },
);

testSharedCores(
  "cancel() of an IO that is only staged keeps it from being submitted",
  (fixture) => {
    const { aio } = fixture;
    aio.enterBatchmode();
    const reads = Array.from({ length: 5 }, (_, i) => startRead(fixture, i));
    for (const i of [0, 2, 4]) aio.cancel(reads[i]!.ref);
    assertEquals(reads.map(({ ref }) => stateOf(fixture, ref) === "staged"), [
      false,
      true,
      false,
      true,
      false,
    ]);
    aio.exitBatchmode();
    assertEquals(fixture.submissions, [2]);
    for (const [i, { ref, ret, view, offset }] of reads.entries()) {
      aio.waitSync(ref);
      const { status, errorData } = ret.result;
      if (i % 2 === 0) assertEquals([status, errorData], ["error", ECANCELED]);
      else assertEquals([status, new Uint8Array(view)], ["ok", fileContent(offset, view.length)]);
    }
  },
  { only: STAGING },
);

testSharedCores(
  "cancel() of an IO that is only staged keeps others from executing it",
  (fixture) => {
    const { aio } = fixture;
    aio.enterBatchmode();
    const { ref, ret } = startRead(fixture);
    {
      using tries = claimsMeanwhile(fixture);
      aio.cancel(ref);
      assertEquals(tries.claimed, [false]);
    }
    aio.exitBatchmode();
    assertEquals([ret.result.status, ret.result.errorData], ["error", ECANCELED]);
  },
  { only: STAGING },
);

testSharedCores("cancel() tells whoever awaits an IO that is only staged", async (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  const { ref } = startRead(fixture);
  const awaited = aio.wait(ref);
  aio.cancel(ref);
  await awaited;
  aio.exitBatchmode();
}, { only: STAGING });

Deno.test("held: cancel() of an IO that the method cannot give up changes nothing", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const { ref, ret } = startRead(fixture);
  aio.cancel(ref);
  assertEquals(aio.checkDone(ref), false);
  held.performAll(aio);
  aio.waitSync(ref);
  assertEquals(ret.result.status, "ok");
  aio.cancel(ref);
});

testSharedCores(
  "an IO that cancel() is called for is over all the same, as it was or cancelled",
  (fixture) => {
    const { aio } = fixture;
    const reads = Array.from({ length: 40 }, (_, i) => startRead(fixture, i));
    for (const { ref } of reads) aio.cancel(ref);
    for (const { ref, ret, view, offset } of reads) {
      aio.waitSync(ref);
      const { status, errorData } = ret.result;
      if (status === "error") assertEquals(errorData, ECANCELED);
      else assertEquals([status, new Uint8Array(view)], ["ok", fileContent(offset, view.length)]);
      aio.cancel(ref);
    }
    assertEquals([aio.ios(), backendOf(aio).idleCount], [[], HANDLES]);
  },
);

testSharedCores(
  "cancel() of an IO whose handle is used anew leaves the new one alone",
  (fixture) => {
    const { aio } = fixture;
    const first = startRead(fixture);
    aio.waitSync(first.ref);
    const second = startRead(fixture, 7);
    aio.cancel(first.ref);
    aio.waitSync(second.ref);
    assertEquals([second.ref.index, second.ret.result.status], [first.ref.index, "ok"]);
  },
  { options: { maxConcurrency: 1 } },
);

testSharedCores("cancel() in a callback is refused", (fixture) => {
  const { aio } = fixture;
  const messages: string[] = [];
  const { ref } = startRead(fixture);
  aio.waitSync(ref);
  aio.attachInjectionPoint("aio-before-reclaim", () => {
    messages.push(assertThrows(() => aio.cancel(ref), AioApiError).message);
  });
  aio.waitSync(startRead(fixture).ref);
  aio.detachInjectionPoint("aio-before-reclaim");
  assertEquals(messages.length, 1);
});

Deno.test("held: cancel() is refused for another thread's IO, and in a callback", async () => {
  await using fixture = await openHeld({ maxBackends: 2 });
  const { aio, file, held } = fixture;
  await using worker = await startWorker(aio, file);
  const ref = await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 });
  assertThrows(() => aio.cancel(ref), AioApiError, "another backend issued it");
  held.perform(aio, ref);
  let error: unknown;
  aio.attachInjectionPoint("aio-before-reclaim", () => {
    error = assertThrows(() => aio.cancel(ref), AioApiError);
  });
  const own = startRead(fixture);
  held.performAll(aio);
  aio.waitSync(own.ref);
  assertEquals(error instanceof AioApiError, true);
  assertThrows(() => aio.cancel({ index: -3, generation: 1 }), RangeError);
});

testSharedCores(
  "whoever queues for a handle and is aborted leaves the queue at once",
  async (fixture) => {
    const { aio } = fixture;
    const first = aio.acquire();
    const controller = new AbortController();
    const { signal } = controller;
    const served: number[] = [];
    const use = (i: number) => () => {
      throw new Error(`served ${served.push(i)}`);
    };
    const queued = [0, 1, 2].map((i) =>
      aio.acquireAsync(use(i), null, null, i === 1 ? undefined : signal)
    );
    assertEquals(backendOf(aio).acquireQueue.length, 3);
    controller.abort(new Error("enough"));
    assertEquals(backendOf(aio).acquireQueue.length, 1);
    await assertRejects(() => queued[0]!, Error, "enough");
    await assertRejects(() => queued[2]!, Error, "enough");
    first.release();
    await assertRejects(() => queued[1]!, Error, "served 1");
    assertEquals(served, [1]);
  },
  { options: { maxConcurrency: 1 } },
);
