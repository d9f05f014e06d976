/**
 * file_ends_random_test.ts: threads that write, append, cut and die in any order: no append gets a
 * place where a write that has begun has still to go, or where an acknowledged append is.
 *
 * The threads are tasks of this one, which go on step by step as random numbers say; the file is a
 * size.
 *
 * @module
 */

import { assert, assertThrows } from "@std/assert";
import type { FileEnds } from "../../../core/files/file_ends.ts";
import type { FileSlot } from "../../../core/files/file_slot.ts";
import { IDLE } from "../../../core/memory/handle_state.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { makeThreads, open, write } from "../../support/file_ends.ts";
import { Prng } from "../../support/prng.ts";

const THREADS = 3;
const TASKS_MAX = 8;
const STEPS = 3000;
const RUNS = 40;

/** What is done in one thread, step by step. */
type Task = Generator<void>;

/** A write or an append that has begun and is not over. */
interface Begun {
  readonly id: number;
  readonly to: number;
}

class Model {
  readonly #random: Prng;
  readonly #threads = makeThreads(THREADS);
  readonly #slots: readonly FileSlot[];
  readonly #tasks: { readonly id: number; readonly task: Task }[] = [];
  readonly #begun = new Set<Begun>();
  /** How far each handle in use writes. */
  readonly #inFlight = new Map<number, number>();
  readonly #entersWrites: boolean;
  #size = 100;
  /** How far acknowledged appends reach that were not cut off. */
  #acknowledged = 0;

  /** @param entersWrites false: a lie, that is to be found */
  constructor(seed: number, entersWrites: boolean) {
    this.#random = new Prng(seed);
    this.#entersWrites = entersWrites;
    // Two threads have the same opening.
    const { tables: [first, second] } = this.#threads;
    const shared = open(first!, 7);
    this.#slots = [shared, open(second!, 7), shared];
  }

  run(): void {
    for (let step = 0; step < STEPS; step++) {
      if (this.#tasks.length < TASKS_MAX && this.#random.chance(1, 4)) this.#startTask();
      if (this.#random.chance(1, 100)) this.#die(this.#random.below(THREADS));
      if (this.#tasks.length === 0) continue;
      const at = this.#random.below(this.#tasks.length);
      if (this.#tasks[at]!.task.next().done === true) this.#tasks.splice(at, 1);
    }
  }

  #startTask(): void {
    const id = this.#random.below(THREADS);
    const kinds = [
      this.#write,
      this.#shortWrite,
      this.#longWrite,
      this.#append,
      this.#longAppend,
      this.#cut,
    ];
    this.#tasks.push({ id, task: this.#random.pick(kinds).call(this, id) });
  }

  #endsOf(id: number): FileEnds {
    return this.#threads.tables[id]!.ends;
  }

  #slotOf(id: number): number {
    return this.#slots[id]!.slot;
  }

  /** What a thread was about is over; its IOs are done for it. */
  #die(deadId: number): void {
    for (const { id, task } of this.#tasks.splice(0)) {
      if (id !== deadId) this.#tasks.push({ id, task });
    }
    const { handlesPerBackend } = this.#threads.control;
    for (const index of [...this.#inFlight.keys()]) {
      if (Math.floor(index / handlesPerBackend) === deadId) this.#endIo(index);
    }
    this.#endsOf((deadId + 1) % THREADS).takeIntents(deadId);
    for (const begun of [...this.#begun]) {
      if (begun.id === deadId) this.#begun.delete(begun);
    }
    // Another thread takes its place.
    const fresh = makeThreads(THREADS, 8, this.#threads.control).tables[deadId]!;
    (this.#threads.tables as typeof fresh[])[deadId] = fresh;
  }

  #startIo(id: number, from: number, to: number): number {
    let index = id * this.#threads.control.handlesPerBackend;
    while (this.#inFlight.has(index)) index++;
    this.#inFlight.set(index, to);
    write(this.#threads, index, this.#slots[id]!, from, to);
    return index;
  }

  #endIo(index: number): void {
    this.#size = Math.max(this.#size, this.#inFlight.get(index)!);
    this.#inFlight.delete(index);
    const { words } = this.#threads.control;
    words[this.#threads.control.handleAt(index) + HANDLE.state] = IDLE;
  }

  #begin(id: number, to: number): Begun {
    const begun = { id, to };
    this.#begun.add(begun);
    return begun;
  }

  *#io(id: number, from: number, to: number): Task {
    const index = this.#startIo(id, from, to);
    yield;
    const ends = this.#endsOf(id);
    if (ends.isLinked(this.#slotOf(id))) ends.raise(this.#slotOf(id), to);
    const begun = this.#begin(id, to);
    yield;
    this.#endIo(index);
    this.#begun.delete(begun);
  }

  *#write(id: number): Task {
    const from = this.#random.below(this.#size + 50);
    yield* this.#io(id, from, from + this.#random.between(1, 50));
  }

  /** Entered while its handle still tells of it; its rest begins later. */
  *#shortWrite(id: number): Task {
    const from = this.#random.below(this.#size + 50);
    const index = this.#startIo(id, from, from + 50);
    yield;
    const ends = this.#endsOf(id);
    if (ends.isLinked(this.#slotOf(id))) ends.raise(this.#slotOf(id), from + 50);
    const io = this.#begin(id, from + 50);
    yield;
    const begun = this.#enter(id, from + 50);
    this.#begun.delete(io);
    yield;
    this.#inFlight.set(index, from + 20);
    this.#endIo(index);
    yield;
    yield* this.#io(id, from + 20, from + 50);
    this.#leave(id, begun);
  }

  *#longWrite(id: number): Task {
    const from = this.#random.below(this.#size + 50);
    const pieces = this.#random.between(1, 3);
    const isFailing = this.#random.chance(1, 4);
    const begun = this.#enter(id, from + pieces * 50);
    for (let piece = 0; piece < pieces; piece++) {
      yield;
      if (isFailing && piece === pieces - 1) break;
      yield* this.#io(id, from + piece * 50, from + (piece + 1) * 50);
    }
    this.#leave(id, begun);
    if (isFailing) yield* this.#settle(id);
  }

  #enter(id: number, to: number): Begun {
    if (this.#entersWrites) this.#endsOf(id).beginWrite(this.#slotOf(id), to);
    return this.#begin(id, to);
  }

  #leave(id: number, begun: Begun): void {
    if (this.#entersWrites) this.#endsOf(id).endWrite(this.#slotOf(id), begun.to);
    this.#begun.delete(begun);
  }

  /** Takes a place, and looks whether it is free. */
  *#place(id: number, bytes: number): Generator<void, number> {
    yield* this.#learn(id);
    const from = this.#endsOf(id).reserve(this.#slots[id]!, bytes);
    assert(from >= this.#acknowledged, `${from} is before ${this.#acknowledged}`);
    for (const { to } of this.#begun) assert(from >= to, `${from} is before ${to}`);
    return from;
  }

  *#append(id: number): Task {
    const from = yield* this.#place(id, 30);
    const begun = this.#begin(id, from + 30);
    const index = this.#startIo(id, from, from + 30);
    this.#endsOf(id).started();
    yield;
    this.#endIo(index);
    this.#begun.delete(begun);
    this.#acknowledged = Math.max(this.#acknowledged, from + 30);
  }

  *#longAppend(id: number): Task {
    const from = yield* this.#place(id, 60);
    const begun = this.#enter(id, from + 60);
    for (const at of [from, from + 30]) {
      const index = this.#startIo(id, at, at + 30);
      this.#endsOf(id).started();
      yield;
      this.#endIo(index);
      yield;
    }
    this.#leave(id, begun);
    this.#acknowledged = Math.max(this.#acknowledged, Math.min(from + 60, this.#size));
  }

  *#cut(id: number): Task {
    const bytes = this.#random.below(200);
    this.#size = bytes;
    this.#acknowledged = Math.min(this.#acknowledged, bytes);
    yield;
    yield* this.#settle(id);
  }

  *#learn(id: number): Task {
    const ends = this.#endsOf(id);
    const slot = this.#slotOf(id);
    if (ends.isKnown(slot)) return;
    ends.link(slot);
    for (;;) {
      yield;
      const setBack = ends.setBackAt(slot);
      yield;
      const reached = ends.writesEnd(slot);
      yield;
      const size = this.#size;
      yield;
      if (ends.tryLearn(slot, setBack, size, reached)) return;
    }
  }

  *#settle(id: number): Task {
    const ends = this.#endsOf(id);
    const slot = this.#slotOf(id);
    if (!ends.isLinked(slot)) return;
    for (;;) {
      const version = ends.askedVersion(slot);
      yield;
      const reached = ends.writesEnd(slot);
      yield;
      const size = this.#size;
      yield;
      if (ends.tryReset(slot, version, Math.max(size, reached))) return;
    }
  }
}

Deno.test("FileEnds gives no place where a write has still to go, whatever threads do beside it", () => {
  const { seed } = new Prng();
  for (let run = 0; run < RUNS; run++) new Model(seed + run, true).run();
});

Deno.test("canary: the model of ends finds long writes that are not entered", () => {
  assertThrows(() => {
    for (let run = 0; run < RUNS; run++) new Model(run, false).run();
  });
});
