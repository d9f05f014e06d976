/**
 * linux_aio/deaths_test.ts: threads that end while they hand IO to the kernel, or take what it has
 * done: every IO is completed once.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { AioReturn } from "../../../core/io/result.ts";
import { claimantOf, tryClaimSubmitted } from "../../../core/memory/claim.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import { LinuxAioCalls } from "../../../ffi/linux_aio_calls.ts";
import { IO_EVENT_WORDS } from "../../../ffi/linux_aio_layout.ts";
import { isMarkedInKernel, SLOT, slotAt } from "../../../methods/linux_aio/memory.ts";
import { replace } from "../../support/bells/bells.ts";
import { FILE_BYTES, fileContent, type Fixture, startRead } from "../../support/core.ts";
import { openMethod } from "../../support/core_methods.ts";
import { METHODS_UNDER_TEST } from "../../support/methods.ts";
import { lockQueue } from "../../support/workers/worker_pool.ts";
import { settles, spinUntil, until, untilDead } from "../../support/patience.ts";
import { shareThread } from "../../support/threads/attached.ts";
import { CUT_MOMENTS, type CutAnswer, type CutOrder } from "../fixtures/linux_aio_worker.ts";

const ignore = METHODS_UNDER_TEST.some(({ name, ignore }) => name === "linux_aio" && ignore);
const WORKER_URL = new URL("../fixtures/linux_aio_worker.ts", import.meta.url);
const startWorker = shareThread();
/** A slot that no thread has. */
const DEAD = 3;
const ONE_WORKER = { min: 1, max: 1 };

function open(): Promise<Fixture> {
  return openMethod("linux_aio", { workers: ONE_WORKER, maxBackends: 4 });
}

/** Has a Worker end in the middle of its submit. */
async function cut(
  { aio, file }: Fixture,
  order: Pick<CutOrder, "operation" | "moment">,
): Promise<CutAnswer> {
  const { control, libc } = backendOf(aio);
  const worker = new Worker(WORKER_URL, { type: "module" });
  const answer = new Promise<CutAnswer>((resolve) =>
    worker.onmessage = ({ data }) => resolve(data)
  );
  worker.postMessage({ token: aio.token, file: file.token, ...order } satisfies CutOrder);
  const cut = await answer;
  await untilDead(libc, cut.threadId);
  const isSubmitting = control.words[slotAt(control, cut.id) + SLOT.isSubmitting];
  assertEquals(isSubmitting, order.moment === "staged" ? 0 : 1);
  return cut;
}

async function untilAlone({ aio }: Fixture): Promise<void> {
  await until(() => {
    backendOf(aio).reapDead("eventLoop");
    return aio.backends().length === 1;
  }, "the dead thread is taken over from");
}

for (const moment of CUT_MOMENTS) {
  Deno.test({
    name: `linux_aio: a read is completed if its thread dies once it is ${moment}`,
    ignore,
    async fn() {
      await using fixture = await open();
      const { ref, view } = await cut(fixture, { operation: "readv", moment });
      await fixture.aio.wait(ref);
      assertEquals(view, fileContent(0, FILE_BYTES));
      await untilAlone(fixture);
    },
  });
}

Deno.test({
  name: "linux_aio: a read that another dead thread has claimed is completed if its thread dies",
  ignore,
  async fn() {
    await using fixture = await open();
    const backend = backendOf(fixture.aio);
    const { ref, view } = await cut(fixture, { operation: "readv", moment: "submitted" });
    const { words, base } = backend.handleOf(ref.index);
    assertEquals(tryClaimSubmitted(words, base, DEAD), true);
    backend.reapDead();
    await fixture.aio.wait(ref);
    assertEquals(view, fileContent(0, FILE_BYTES));
    await untilAlone(fixture);
  },
});

/** A flush of this thread, which the kernel has done, and which a thread that died has claimed. */
async function withClaimedFlush(
  { aio, file }: Fixture,
  use: (handle: AioHandle, look: () => void) => void,
): Promise<AioReturn> {
  const backend = backendOf(aio);
  const { control } = backend;
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  file.startFsync(handle);
  const { words, base } = handle;
  assertEquals([isMarkedInKernel(words, base), tryClaimSubmitted(words, base, DEAD)], [true, true]);
  const slot = slotAt(control, aio.backendId);
  use(handle, () => {
    spinUntil(() => {
      aio.checkDone(ref);
      return control.words[slot + SLOT.submitted] === control.words[slot + SLOT.taken];
    });
  });
  await aio.wait(ref);
  return ret;
}

Deno.test({
  name: "linux_aio: a completion of an own IO that a dead thread has claimed is left to the reaper",
  ignore,
  async fn() {
    await using fixture = await open();
    const backend = backendOf(fixture.aio);
    const { result } = await withClaimedFlush(fixture, (handle, look) => {
      look();
      assertEquals([handle.state, claimantOf(handle.words, handle.base)], ["submitted", DEAD]);
      backend.method.redo!(backend, handle, DEAD);
    });
    assertEquals(result.status, "ok");
  },
});

Deno.test({
  name: "linux_aio: a completion of an IO that the pool is to execute again is left alone",
  ignore,
  async fn() {
    await using fixture = await open();
    const backend = backendOf(fixture.aio);
    const { result } = await withClaimedFlush(fixture, (handle, look) => {
      // So that no Worker takes it yet.
      const unlock = lockQueue(fixture.aio);
      try {
        backend.method.redo!(backend, handle, DEAD);
        assertEquals(claimantOf(handle.words, handle.base), -1);
        look();
        assertEquals(handle.state, "submitted");
      } finally {
        unlock();
      }
    });
    assertEquals(result.status, "ok");
  },
});

Deno.test({
  name: "linux_aio: a flush fails if its thread dies before anybody knows that the kernel has it",
  ignore,
  async fn() {
    await using fixture = await open();
    const { file, aio } = fixture;
    const { ref } = await cut(fixture, { operation: "fsync", moment: "submitting" });
    await aio.wait(ref);
    // Whatever flushes this file later is to hear of it.
    for (const later of [() => file.sync(), () => file.close()]) {
      await assertRejects(later, Error, "EIO");
    }
  },
});

Deno.test({
  name:
    "linux_aio: a flush that is only staged when its thread dies is nobody's until it is reaped",
  ignore,
  async fn() {
    await using fixture = await open();
    const { ref } = await cut(fixture, { operation: "fsync", moment: "staged" });
    await fixture.aio.wait(ref);
    await untilAlone(fixture);
  },
});

Deno.test({
  name: "linux_aio: the slot of a thread that died in its submit serves the next one",
  ignore,
  async fn() {
    await using fixture = await open();
    for (const moment of CUT_MOMENTS) {
      const { ref, view, id } = await cut(fixture, { operation: "readv", moment });
      await fixture.aio.wait(ref);
      assertEquals([view, id], [fileContent(0, FILE_BYTES), 1]);
      await untilAlone(fixture);
    }
  },
});

Deno.test({
  name: "linux_aio: completions that a thread took and did not store are found by the next look",
  ignore,
  async fn() {
    await using fixture = await open();
    const { aio } = fixture;
    const backend = backendOf(aio);
    const { control } = backend;
    aio.enterBatchmode();
    const reads = [0, 512, 1024].map((offset) => startRead(fixture, offset));
    let stored = 0;
    {
      const storeCompletion = backend.storeCompletion.bind(backend);
      using _store = replace(backend, "storeCompletion", (handle, result) => {
        if (++stored === 2) throw new Error("ends here, as planned");
        storeCompletion(handle, result);
      });
      aio.exitBatchmode();
      assertThrows(() => aio.waitSync(reads[0]!.ref), Error, "as planned");
    }
    // Whoever died has the lock no more: the next one takes it over.
    Atomics.store(control.words, control.backendAt(backend.id) + BACKEND.completionLock, 0);
    for (const { ref, view, offset } of reads) {
      await aio.wait(ref);
      assertEquals(view, fileContent(offset, 512));
    }
  },
});

Deno.test({
  name:
    "linux_aio: what a dead thread left of the last thread of a slot is not counted as the next's",
  ignore,
  async fn() {
    await using fixture = await open();
    const { aio, file } = fixture;
    const { control } = backendOf(aio);
    const { words } = control;
    const slot = slotAt(control, 1);
    {
      await using worker = await startWorker(aio, file);
      await worker.ask({ what: "sync" });
    }
    // As a thread leaves it that dies once the result is in the handle; whoever reaps it goes on.
    words[slot + SLOT.isTaking] = 1;
    words[slot + SLOT.events + IO_EVENT_WORDS.dataLow] = control.handlesPerBackend + 1;
    await using worker = await startWorker(aio, file);
    const ref = await worker.ask<WaitRef>({ what: "startSync" });
    const awaited = worker.ask({ what: "await", ref });
    const isOver = await settles(awaited);
    // Without that the thread could not end: this one takes the completion.
    if (!isOver) aio.waitSync(ref);
    await awaited;
    assert(isOver);
    // One too many, and a look for the next IO could find that there is none to look for.
    assertEquals([words[slot + SLOT.submitted], words[slot + SLOT.taken]], [1, 1]);
  },
});

Deno.test({
  name: "linux_aio: canary: without a place in shared memory such completions are lost",
  ignore,
  async fn() {
    await using fixture = await open();
    const { aio } = fixture;
    const { control, id } = backendOf(aio);
    const slot = slotAt(control, id);
    const getEvents = LinuxAioCalls.prototype.getEvents;
    let lost = 0;
    using taken = replace(
      LinuxAioCalls.prototype,
      "getEvents",
      function (this: LinuxAioCalls, context, most, into) {
        const count = getEvents.call(this, context, most, into);
        // As if they had been in the memory of a thread that died.
        into.fill(0);
        lost += count;
        return count;
      },
    );
    const { ref } = startRead(fixture);
    await until(() => {
      aio.ios();
      backendOf(aio).collect();
      return lost === 1;
    }, "the kernel has told of the read");
    taken[Symbol.dispose]();
    const { words } = control;
    assertEquals(words[slot + SLOT.events], 0);
    assertEquals(aio.ios().length, 1);
    // It is executed by nobody any more: the test ends it.
    const handle = backendOf(aio).handleOf(ref.index);
    backendOf(aio).processCompletion(handle, 512);
    await aio.wait(ref);
  },
});
