/**
 * queue_race_worker.ts: one thread of queue_race.ts.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { tryClaimSubmitted } from "../../../core/memory/claim.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import { IDLE, SUBMITTED } from "../../../core/memory/handle_state.ts";
import { Control, HANDLE } from "../../../core/memory/shared_memory.ts";
import { type Taken, WorkerQueue } from "../../../methods/worker/queue.ts";
import { RACE, type Racer } from "./queue_race.ts";

/** Locks want the number of a thread; nobody asks the system whether it lives. */
const FIRST_THREAD_ID = 1000;
const IDLE_MS = 0.01;

function handlesOf({ id }: Racer, control: Control): AioHandle[] {
  const count = control.handlesPerBackend;
  return Array.from({ length: count }, (_, i) => {
    const index = id * count + i;
    // As much of a handle as the queue looks at.
    const handle: Pick<AioHandle, "index" | "base" | "words" | "backendId"> = {
      index,
      base: control.handleAt(index),
      words: control.words,
      backendId: id,
    };
    return handle as AioHandle;
  });
}

/** Puts all handles in, in parts, waits until all are free again, and so on. */
function produce(racer: Racer, control: Control, queue: WorkerQueue): void {
  const { words: shared, rounds } = racer;
  const handles = handlesOf(racer, control);
  const leaveOutside = queue.leaveOutside.bind(queue);
  queue.leaveOutside = (handle) => {
    Atomics.add(shared, RACE.outside, 1);
    leaveOutside(handle);
  };
  for (let round = 0; round < rounds; round++) {
    for (const { words, base } of handles) Atomics.store(words, base + HANDLE.state, SUBMITTED);
    const part = 1 + round % handles.length;
    for (let at = 0; at < handles.length; at += part) {
      const some = handles.slice(at, at + part);
      queue.insert(some, some.length);
    }
    for (const { words, base } of handles) {
      while (Atomics.load(words, base + HANDLE.state) !== IDLE) {
        if (Atomics.load(shared, RACE.isOver) !== 0) return;
        Atomics.wait(shared, RACE.doorbell, 0, IDLE_MS);
      }
    }
    Atomics.add(shared, RACE.rounds, 1);
  }
}

/** Takes one after the other out. */
function consume({ words: shared, id }: Racer, control: Control, queue: WorkerQueue): void {
  const { words } = control;
  const taken: Taken = { handle: null, peer: -1, isShort: false, depth: 0 };
  // Behind the backends, as helpers are.
  const claimant = control.threadCount - 1 - id;
  const tryClaim = (index: number, low: number) => {
    const base = control.handleAt(index);
    if (!tryClaimSubmitted(words, base, claimant, low)) return null;
    const handle: Pick<AioHandle, "index" | "base"> = { index, base };
    return handle as AioHandle;
  };
  while (Atomics.load(shared, RACE.isOver) === 0) {
    queue.take(id, false, tryClaim, taken);
    if (taken.handle === null) {
      Atomics.wait(shared, RACE.doorbell, 0, IDLE_MS);
      continue;
    }
    const { base } = taken.handle;
    Atomics.add(shared, RACE.taken, 1);
    Atomics.add(words, base + HANDLE.generationLow, 1);
    Atomics.store(words, base + HANDLE.state, IDLE);
  }
}

self.onmessage = ({ data: racer }: MessageEvent<Racer>) => {
  const control = new Control(racer.control);
  const threadId = FIRST_THREAD_ID + (racer.isProducer ? 0 : control.threadCount) + racer.id;
  const queue = new WorkerQueue(control, threadId, () => true);
  if (racer.isDeaf) queue.bringIn = () => {};
  if (racer.isProducer) produce(racer, control, queue);
  else consume(racer, control, queue);
  self.postMessage("over");
};
