/** queue_test.ts: what goes in comes out once, in order, and which Worker is woken for it. */

import { assertEquals } from "@std/assert";
import type { AioHandle } from "../../../core/io/handle.ts";
import { tryClaim } from "../../../core/memory/claim.ts";
import { effectiveOptions } from "../../../core/base/options.ts";
import { SUBMITTED } from "../../../core/memory/handle_state.ts";
import { type Control, createControl, HANDLE } from "../../../core/memory/shared_memory.ts";
import {
  countBits,
  highestOf,
  lowestOf,
  POOL,
  poolAt,
  poolBytes,
  queueSize,
  WORKER,
  workerAt,
} from "../../../methods/worker/memory.ts";
import { type Taken, WorkerQueue } from "../../../methods/worker/queue.ts";

const THREAD_ID = 5;
const HANDLES = 100;
const BACKENDS = 2;

interface Pool {
  readonly control: Control;
  readonly queue: WorkerQueue;
  readonly handles: AioHandle[];
}

function makePool(idle = 0): Pool {
  const options = effectiveOptions({
    maxConcurrency: HANDLES / BACKENDS,
    maxBackends: BACKENDS,
    arenaBytes: 4096,
  });
  const control = createControl(options, poolBytes(HANDLES), 32);
  control.words[poolAt(control) + POOL.idle] = idle;
  control.words[poolAt(control) + POOL.running] = -1;
  const queue = new WorkerQueue(control, THREAD_ID, () => true);
  const { words } = control;
  const handles = Array.from({ length: HANDLES }, (_, index) => {
    const base = control.handleAt(index);
    words[base + HANDLE.state] = SUBMITTED;
    // As much of a handle as the queue looks at.
    const handle: Pick<AioHandle, "index" | "base" | "words" | "backendId"> = {
      index,
      base,
      words,
      backendId: Math.floor(index * BACKENDS / HANDLES),
    };
    return handle as AioHandle;
  });
  return { control, queue, handles };
}

function word({ control }: Pool, at: number): number {
  return control.words[poolAt(control) + at]!;
}

/** Takes one out for a Worker. @returns its number and the Worker to wake; null: it is empty */
function take(pool: Pool, worker = 0, isSpreading = false): [number, number] | null {
  const { control, queue, handles } = pool;
  const into: Taken = { handle: null, peer: -1, isShort: false, depth: 0 };
  const tryClaim = (index: number, generation: number) => {
    const now = control.words[control.handleAt(index) + HANDLE.generationLow];
    return generation === now ? handles[index]! : null;
  };
  queue.take(worker, isSpreading, tryClaim, into);
  return into.handle === null ? null : [into.handle.index, into.peer];
}

Deno.test("WorkerQueue gives out what went in, in order, round and round", () => {
  const pool = makePool();
  let next = 0;
  for (let round = 0; round < 50; round++) {
    const some = Array.from({ length: 7 }, (_, i) => pool.handles[(next + i) % 100]!);
    pool.queue.insert(some, 7);
    for (let i = 0; i < 7; i++) assertEquals(take(pool)?.[0], (next + i) % 100);
    next += 7;
  }
  assertEquals([take(pool), pool.queue.depth], [null, 0]);
});

Deno.test("WorkerQueue.bringInRest() puts in what a thread was to that has died, of any backend", () => {
  const pool = makePool();
  const own = [7, HANDLES - 1];
  for (const index of own) pool.queue.leaveOutside(pool.handles[index]!);
  // It has taken the backends' bits.
  pool.control.words[poolAt(pool.control) + POOL.outside] = 0;
  pool.queue.bringIn();
  assertEquals(pool.queue.depth, 0);
  pool.queue.bringInRest();
  assertEquals([own.map(() => take(pool)?.[0]), take(pool)], [own, null]);
});

Deno.test("WorkerQueue.bringIn() leaves the next use of a handle whose last one was outside", () => {
  for (const generation of [0, 1, 2, 3, -2, -1]) {
    const pool = makePool();
    const { words, base } = pool.handles[7]!;
    words[base + HANDLE.generationLow] = generation;
    pool.queue.leaveOutside(pool.handles[7]!);
    // It is executed by whoever waits for it, and the handle is used anew.
    words[base + HANDLE.generationLow] = generation + 1 | 0;
    pool.queue.bringIn();
    assertEquals([pool.queue.depth, word(pool, POOL.outside)], [0, 0], `${generation}`);
    pool.queue.leaveOutside(pool.handles[7]!);
    pool.queue.bringIn();
    assertEquals(take(pool)?.[0], 7);
  }
});

Deno.test("WorkerQueue.bringIn() leaves the mark of a handle that is used anew meanwhile", () => {
  for (const generation of [0, 1, 2, -1]) {
    const pool = makePool();
    const handle = pool.handles[7]!;
    const { words, base } = handle;
    words[base + HANDLE.generationLow] = generation;
    pool.queue.leaveOutside(handle);
    // Its issuer executes it just when it goes in, and the next use finds the lock taken.
    using _hook = onStore(words, poolAt(pool.control) + POOL.tail, () => {
      useAnew(pool, handle);
      pool.queue.leaveOutside(handle);
    });
    pool.queue.bringIn();
    const taken = [take(pool)?.[0], take(pool)];
    assertEquals([taken, word(pool, POOL.outside)], [[7, null], 0], `${generation}`);
  }
});

Deno.test("WorkerQueue.bringInOf() makes no mark for a handle that is used anew", () => {
  const pool = makePool();
  const handle = pool.handles[7]!;
  pool.queue.leaveOutside(handle);
  // Whoever waits has seen the mark, and the handle goes on to an IO that is not for the queue.
  useAnew(pool, handle);
  pool.queue.bringInOf(handle);
  assertEquals([pool.queue.depth, word(pool, POOL.outside)], [0, 0]);
});

/** Does something once, right before a word is stored to. */
function onStore(words: Int32Array, index: number, before: () => void): Disposable {
  const { store } = Atomics;
  const restore = () => void (Atomics.store = store);
  Atomics.store = ((target: Int32Array, at: number, value: number) => {
    if (target === words && at === index) {
      restore();
      before();
    }
    return store(target, at, value);
  }) as typeof store;
  return { [Symbol.dispose]: restore };
}

/** A handle that is used anew, after its IO was cancelled or done elsewhere. */
function useAnew({ control: { words } }: Pool, { base }: AioHandle): void {
  words[base + HANDLE.generationLow]!++;
}

Deno.test("WorkerQueue has room for every handle", () => {
  const pool = makePool();
  pool.queue.insert(pool.handles, HANDLES);
  assertEquals([pool.queue.depth, word(pool, POOL.outside)], [HANDLES, 0]);
  for (let i = 0; i < HANDLES; i++) assertEquals(take(pool)?.[0], i);
});

Deno.test("WorkerQueue makes room by dropping entries of IOs that are over", () => {
  const pool = makePool();
  pool.queue.insert(pool.handles, HANDLES);
  for (let uses = 0; uses < 5 * queueSize(pool.control); uses++) {
    useAnew(pool, pool.handles[7]!);
    pool.queue.insert([pool.handles[7]!], 1);
  }
  const taken = Array.from({ length: HANDLES }, () => take(pool)?.[0]);
  const others = Array.from({ length: HANDLES }, (_, index) => index).filter((it) => it !== 7);
  assertEquals([taken, take(pool)], [[...others, 7], null]);
});

Deno.test("WorkerQueue.insert() does not wait for the lock, and whoever has it brings the IO in", () => {
  const pool = makePool();
  const { control, handles } = pool;
  pool.queue.insert(handles, 1);
  const holder = new WorkerQueue(control, THREAD_ID + 1, () => true);
  const into: Taken = { handle: null, peer: -1, isShort: false, depth: 0 };
  const tryClaim = (index: number) => {
    // The holder has the lock now.
    pool.queue.insert(handles.slice(1), 3);
    assertEquals([pool.queue.depth, word(pool, POOL.outside)], [1, 1]);
    return handles[index]!;
  };
  holder.take(0, false, tryClaim, into);
  assertEquals([into.handle?.index, pool.queue.depth, word(pool, POOL.outside)], [0, 3, 0]);
  assertEquals([take(pool)?.[0], take(pool)?.[0], take(pool)?.[0], take(pool)], [1, 2, 3, null]);
});

Deno.test("WorkerQueue.insert() takes the lock over from a thread that has died", () => {
  const { control, handles } = makePool();
  const at = poolAt(control) + POOL.lock;
  control.words[at] = THREAD_ID + 1;
  const queue = new WorkerQueue(control, THREAD_ID, () => false);
  queue.insert(handles, 3);
  assertEquals([queue.depth, control.words[at]], [3, 0]);
});

Deno.test("WorkerQueue.bringIn() leaves out what was cancelled or claimed meanwhile", () => {
  const pool = makePool();
  const { control, handles } = pool;
  const lockAt = poolAt(control) + POOL.lock;
  control.words[lockAt] = THREAD_ID + 1;
  pool.queue.insert(handles, 4);
  useAnew(pool, handles[0]!);
  useAnew(pool, handles[0]!);
  tryClaim(control.words, handles[1]!.base, 0, 1);
  control.words[handles[2]!.base + HANDLE.state] = 0;
  control.words[lockAt] = 0;
  pool.queue.bringIn();
  assertEquals([take(pool)?.[0], take(pool)], [3, null]);
});

Deno.test("WorkerQueue wakes one idle Worker for a batch, the lowest", () => {
  const pool = makePool(0b1010_0000);
  pool.queue.insert(pool.handles, 5);
  const wakes = Array.from({ length: 8 }, (_, number) => {
    return pool.control.words[workerAt(pool.control, number) + WORKER.wake];
  });
  assertEquals([wakes, word(pool, POOL.idle)], [[0, 0, 0, 0, 0, 1, 0, 0], 0b1000_0000]);
});

Deno.test("WorkerQueue has a Worker wake a higher idle one, if there is more and it spreads", () => {
  const pool = makePool(0b0110_0001);
  for (const handle of pool.handles.slice(0, 4)) {
    pool.control.words[poolAt(pool.control) + POOL.idle] = 0;
    pool.queue.insert([handle], 1);
  }
  pool.control.words[poolAt(pool.control) + POOL.idle] = 0b0110_0001;
  assertEquals(take(pool, 5, false), [0, -1]);
  pool.control.words[poolAt(pool.control) + POOL.idle] = 0b0110_0001;
  assertEquals(take(pool, 5, true), [1, 6]);
  // None above it, and later nothing left.
  assertEquals(take(pool, 6, true), [2, -1]);
  assertEquals(take(pool, 0, true), [3, -1]);
  assertEquals(word(pool, POOL.idle), 0);
});

Deno.test("WorkerQueue wakes nobody while one that was woken has not looked yet", () => {
  const pool = makePool(0b1110);
  pool.queue.insert(pool.handles, 1);
  assertEquals([word(pool, POOL.idle), word(pool, POOL.waking)], [0b1100, 0b10]);
  pool.queue.insert(pool.handles.slice(1), 2);
  // A Worker that was awake all the time wakes nobody, either.
  assertEquals(take(pool, 0, true), [0, -1]);
  assertEquals([word(pool, POOL.idle), word(pool, POOL.waking)], [0b1100, 0b10]);
  // The one that was woken then sees to the rest itself.
  assertEquals(take(pool, 1, true), [1, 2]);
  assertEquals([word(pool, POOL.idle), word(pool, POOL.waking)], [0b1000, 0b100]);
});

Deno.test("WorkerQueue has a Worker that others relied on wake the next one, though it does not spread", () => {
  const pool = makePool(0b1110);
  pool.queue.insert(pool.handles, 1);
  pool.queue.insert(pool.handles.slice(1), 1);
  pool.queue.insert(pool.handles.slice(2), 1);
  // That one wakes the next until nothing is left, also one of a lower number.
  assertEquals(take(pool, 1, false), [0, 2]);
  pool.control.words[poolAt(pool.control) + POOL.idle] = 0b0001;
  assertEquals(take(pool, 2, false), [1, 0]);
  assertEquals([take(pool, 0, false), word(pool, POOL.isOwed)], [[2, -1], 0]);
});

Deno.test("WorkerQueue.remove() of one that was woken lets another be woken", () => {
  const pool = makePool(0b11);
  pool.queue.insert(pool.handles, 1);
  pool.queue.remove(0);
  pool.queue.wakeForRest();
  assertEquals([word(pool, POOL.idle), word(pool, POOL.waking)], [0, 0b10]);
});

Deno.test("WorkerQueue wakes another if the Worker that it chooses goes just then", () => {
  const pool = makePool(0b11);
  const going = new WorkerQueue(pool.control, THREAD_ID + 1, () => true);
  using _hook = onStore(pool.control.words, poolAt(pool.control) + POOL.waking, () => {
    going.remove(0);
    going.wakeForRest();
  });
  pool.queue.insert(pool.handles, 1);
  assertEquals([word(pool, POOL.idle), word(pool, POOL.waking)], [0, 0b10]);
});

Deno.test("WorkerQueue wakes Workers also after one has gone that was on its way", () => {
  const pool = makePool(0b10);
  using _hook = onStore(pool.control.words, poolAt(pool.control) + POOL.waking, () => {
    pool.queue.remove(1);
  });
  pool.queue.insert(pool.handles, 1);
  assertEquals([take(pool), take(pool), word(pool, POOL.idle)], [[0, -1], null, 1]);
  pool.queue.insert(pool.handles.slice(1), 1);
  assertEquals([word(pool, POOL.idle), word(pool, POOL.waking)], [0, 1]);
});

Deno.test("WorkerQueue says that Workers are short if there is more and none is idle", () => {
  const pool = makePool(0b10);
  pool.queue.insert(pool.handles, 3);
  const into: Taken = { handle: null, peer: -1, isShort: false, depth: 0 };
  const shorts: boolean[] = [];
  for (const [worker, isSpreading] of [[1, true], [0, false], [2, true]] as const) {
    pool.queue.take(worker, isSpreading, (index) => pool.handles[index]!, into);
    shorts.push(into.isShort);
  }
  // The second spreads nothing, the third leaves nothing.
  assertEquals(shorts, [true, false, false]);
});

Deno.test("WorkerQueue puts a Worker that finds nothing into the idle set", () => {
  const pool = makePool();
  for (const worker of [0, 7, 31]) assertEquals(take(pool, worker), null);
  assertEquals(word(pool, POOL.idle), (1 | 1 << 7 | 1 << 31) | 0);
  pool.queue.insert(pool.handles, 1);
  // The lowest was chosen, and is relied on.
  assertEquals([pool.queue.tryLeave(0), pool.queue.tryLeave(7)], [false, true]);
  assertEquals(word(pool, POOL.idle), 1 << 31);
});

Deno.test("WorkerQueue skips what cannot be claimed any more", () => {
  const pool = makePool();
  pool.queue.insert(pool.handles, 3);
  for (const index of [0, 1]) {
    pool.control.words[pool.control.handleAt(index) + HANDLE.generationLow]!++;
  }
  assertEquals([take(pool)?.[0], take(pool)], [2, null]);
});

Deno.test("WorkerQueue.wakeForRest() wakes one only if something is left", () => {
  const pool = makePool(0b100);
  pool.queue.wakeForRest();
  assertEquals(word(pool, POOL.idle), 0b100);
  pool.control.words[poolAt(pool.control) + POOL.idle] = 0;
  pool.queue.insert(pool.handles, 1);
  pool.control.words[poolAt(pool.control) + POOL.idle] = 0b100;
  pool.queue.wakeForRest();
  assertEquals(word(pool, POOL.idle), 0);
});

for (
  const [mask, count, lowest, highest] of [
    [0, 0, -1, -1],
    [1, 1, 0, 0],
    [0b1100, 2, 2, 3],
    [-1, 32, 0, 31],
    [1 << 31, 1, 31, 31],
  ] as const
) {
  Deno.test(`sets of Workers: ${mask} has ${count}, from ${lowest} to ${highest}`, () => {
    assertEquals([countBits(mask), lowestOf(mask), highestOf(mask)], [count, lowest, highest]);
  });
}
