/**
 * acquire_any_test.ts: `acquire()` with all handles in use waits until any of its IOs is over,
 * whichever it is and whichever thread completes it.
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { tryClaim } from "../../../core/memory/claim.ts";
import type { LogHook } from "../../../core/base/log_level.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { AttachedWorker, shareThread } from "../../support/threads/attached.ts";
import {
  fileContent,
  type Fixture,
  openHeld,
  type StartedRead,
  startRead,
  stateOf,
} from "../../support/core.ts";
import { HeldMethod, type HeldMethodOptions } from "../../support/held_method.ts";
import { until, untilDead } from "../../support/patience.ts";

const startWorker = shareThread();

const HANDLES = 4;
/** More than it takes until a thread that waits asks which others live. */
const ROUNDS_MAX = 1000;
const WAITING = `waiting for a free handle: ${HANDLES} in flight`;

/** An Aio with all handles in use, and what to do once somebody waits for one. */
interface Full {
  readonly fixture: Fixture;
  readonly reads: readonly StartedRead[];
  /** Called for each line of the log, and so whenever `acquire()` has to wait. */
  listen(hook: LogHook): void;
}

async function openFull(held = new HeldMethod()): Promise<Full> {
  let onLog: LogHook = () => {};
  const fixture = await openHeld({
    maxConcurrency: HANDLES,
    logLevel: "debug2",
    onLog: (line, level) => onLog(line, level),
  }, held);
  const reads = Array.from({ length: HANDLES }, (_, i) => startRead(fixture, i));
  return { fixture, reads, listen: (hook) => onLog = hook };
}

/** A method that cannot wait for an IO: others complete it. */
class NeverWaits extends HeldMethod {
  constructor(options: HeldMethodOptions = {}) {
    super(options);
    Object.defineProperty(this, "waitOne", { value: undefined });
  }
}

/** As if a Worker were about to complete an IO. */
function claimFor(backendId: number, { aio }: Fixture, { ref }: StartedRead): void {
  const { words, base } = backendOf(aio).handleOf(ref.index);
  assert(tryClaim(words, base, backendId, words[base + HANDLE.generationLow]!));
}

/** Which of the reads are over. */
function over(reads: readonly StartedRead[]): number[] {
  return reads.flatMap(({ ret }, i) => ret.result.status === "ok" ? [i] : []);
}

function assertRead({ view, offset }: StartedRead): void {
  assertEquals(view, fileContent(offset, view.length));
}

// --- by its method ---

Deno.test("held: acquire() with all handles in use waits for the oldest by its method", async () => {
  const { fixture, reads } = await openFull();
  await using opened = fixture;
  const { aio, held } = opened;
  const handle = aio.acquire();
  assertEquals([held.waits, over(reads)], [[reads[0]!.ref.index], [0]]);
  assertEquals(handle.index, reads[0]!.ref.index);
  handle.release();
});

for (const at of [0, 1, HANDLES - 1]) {
  Deno.test(`held: acquire() returns when its method completes number ${at} instead`, async () => {
    const held = new HeldMethod({
      onWaitOne: (backend) => backend.performSynchronously(backendOf(aio).handleOf(ref.index)),
    });
    const { fixture, reads } = await openFull(held);
    await using opened = fixture;
    const { aio } = opened;
    const { ref } = reads[at]!;
    const handle = aio.acquire();
    assertEquals([held.waits.length, over(reads), handle.index], [1, [at], ref.index]);
    assertRead(reads[at]!);
    handle.release();
  });
}

Deno.test("held: acquire() asks its method again if nothing came of it", async () => {
  let rounds = 0;
  const held = new HeldMethod({
    onWaitOne(backend, handle) {
      if (++rounds === 5) backend.performSynchronously(handle);
    },
  });
  const { fixture, reads } = await openFull(held);
  await using opened = fixture;
  opened.aio.acquire().release();
  assertEquals([rounds, over(reads)], [5, [0]]);
});

Deno.test("held: acquire() whose method completes several takes one, and the next is free at once", async () => {
  const held = new HeldMethod({
    onWaitOne() {
      for (const index of held.held(aio).slice(1)) held.perform(aio, index);
    },
  });
  const { fixture, reads } = await openFull(held);
  await using opened = fixture;
  const { aio } = opened;
  for (let i = 1; i < HANDLES; i++) startRead(opened);
  assertEquals([held.waits.length, over(reads)], [1, [1, 2, 3]]);
});

// --- by another thread ---

for (
  const [name, makeMethod] of [
    ["whose method waits in vain", () => new HeldMethod({ onWaitOne() {} })],
    ["whose method cannot wait", () => new NeverWaits()],
  ] as const
) {
  for (const at of [0, 2, HANDLES - 1]) {
    Deno.test(`held: acquire() ${name} returns when another thread completes number ${at}`, async () => {
      const { fixture, reads, listen } = await openFull(makeMethod());
      await using opened = fixture;
      const { aio, file } = opened;
      await using worker = await startWorker(aio, file);
      const { ref } = reads[at]!;
      let performed: Promise<unknown> | null = null;
      listen((line) => {
        assertEquals(line, WAITING);
        performed ??= worker.ask({ what: "perform", ref });
      });
      const handle = aio.acquire();
      listen(() => {});
      await performed;
      assertEquals([over(reads), handle.index], [[at], ref.index]);
      assertRead(reads[at]!);
      handle.release();
    });
  }
}

Deno.test("held: acquire() takes back what another thread had completed before, without waiting", async () => {
  const { fixture, reads, listen } = await openFull(new NeverWaits());
  await using opened = fixture;
  const { aio, file, held } = opened;
  await using worker = await startWorker(aio, file);
  await worker.ask({ what: "perform", ref: reads[3]!.ref });
  await worker.ask({ what: "perform", ref: reads[1]!.ref });
  const lines: string[] = [];
  listen((line) => lines.push(line));
  aio.acquire().release();
  assertEquals([lines, held.waits, over(reads)], [[], [], [1, 3]]);
});

Deno.test("held: acquire() in a Worker returns when the main thread completes any", async () => {
  await using fixture = await openHeld({ maxConcurrency: 2 });
  const { aio, file, held } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  const first = await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 });
  const second = await worker.ask<WaitRef>({ what: "read", offset: 1, bytes: 10 });
  // The main thread has both, so that the Worker may complete neither.
  for (const { index } of [first, second]) {
    assert(backendOf(aio).claim(backendOf(aio).handleOf(index)));
  }
  const acquired = worker.ask<WaitRef>({ what: "acquire" });
  const isWaiting = () => aio.backends()[1]!.waitEvent === "AioIoCompletion";
  await until(isWaiting, "the Worker waits for a handle");
  held.perform(aio, second);
  assertEquals((await acquired).index, second.index);
  assertEquals(stateOf(fixture, first), "submitted");
  held.perform(aio, first);
  worker.terminate(); // It holds a handle, so it would refuse to close.
});

// --- what others are about ---

Deno.test("held: acquire() leaves alone what another living thread is about to complete", async () => {
  const { fixture, reads } = await openFull();
  await using opened = fixture;
  const { aio, file, held } = opened;
  await using worker = await startWorker(aio, file);
  claimFor(1, opened, reads[0]!);
  claimFor(1, opened, reads[1]!);
  const handle = aio.acquire();
  assertEquals([held.waits, over(reads)], [[reads[2]!.ref.index], [2]]);
  handle.release();
  for (const { ref } of reads.slice(0, 2)) await worker.ask({ what: "perform", ref });
});

Deno.test("held: acquire() waits for a thread that is about to complete the only ones left", async () => {
  const { fixture, reads, listen } = await openFull();
  await using opened = fixture;
  const { aio, file, held } = opened;
  await using worker = await startWorker(aio, file);
  for (const read of reads) claimFor(1, opened, read);
  let performed: Promise<unknown> | null = null;
  listen(() => void (performed ??= worker.ask({ what: "perform", ref: reads[2]!.ref })));
  const handle = aio.acquire();
  listen(() => {});
  await performed;
  assertEquals([held.waits, over(reads)], [[], [2]]);
  handle.release();
  for (const i of [0, 1, 3]) await worker.ask({ what: "perform", ref: reads[i]!.ref });
});

Deno.test("held: acquire() completes in the place of a thread that died on the way", async () => {
  const { fixture, reads } = await openFull();
  await using opened = fixture;
  const { aio, file, held } = opened;
  await using worker = await AttachedWorker.start(aio, file);
  const { threadId } = aio.backends()[1]!;
  for (const read of reads) claimFor(1, opened, read);
  worker.terminate();
  await untilDead(backendOf(opened.aio).libc, threadId);
  aio.acquire().release();
  assertEquals([held.waits, over(reads)], [[], [0, 1, 2, 3]]);
  for (const read of reads) assertRead(read);
  assertEquals(aio.backends().length, 1);
});

Deno.test("held: acquire() completes in a dead thread's place while its method waits for another IO", async () => {
  let rounds = 0;
  const held = new HeldMethod({
    onWaitOne(backend, handle) {
      // It would wait for ever otherwise.
      if (++rounds === ROUNDS_MAX) backend.performSynchronously(handle);
    },
  });
  const { fixture, reads } = await openFull(held);
  await using opened = fixture;
  const { aio, file } = opened;
  await using worker = await AttachedWorker.start(aio, file);
  const { threadId } = aio.backends()[1]!;
  claimFor(1, opened, reads[2]!);
  worker.terminate();
  await untilDead(backendOf(aio).libc, threadId);
  aio.acquire().release();
  assertEquals(over(reads), [2]);
  assertRead(reads[2]!);
});

Deno.test("held: acquire() submits what is staged first, as nothing else could end", async () => {
  await using fixture = await openHeld({ maxConcurrency: HANDLES });
  const { aio, held } = fixture;
  aio.enterBatchmode();
  const reads = Array.from({ length: HANDLES }, (_, i) => startRead(fixture, i));
  aio.acquire().release();
  assertEquals([held.submissions, held.waits.length, over(reads)], [[HANDLES], 1, [0]]);
  aio.exitBatchmode();
});
