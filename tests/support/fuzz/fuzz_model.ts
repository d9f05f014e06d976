/**
 * fuzz_model.ts: what must be so in one backend, whatever was done: the model that the random tests
 * compare with after each step.
 *
 * Only what this thread may rely on is compared: IO that the method has may be over at any time, or
 * completed by another thread and not reclaimed yet.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import {
  COMPLETED_SHARED,
  HANDED_OUT,
  IDLE,
  STAGED,
  STATE_NAMES,
  SUBMITTED,
} from "../../../core/memory/handle_state.ts";
import type { AioReturn } from "../../../core/io/result.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import type { Aio } from "../../../storage/aio.ts";
import { trace } from "./fuzz_callbacks.ts";
import type { FuzzFiles } from "./fuzz_files.ts";
import { FuzzIo, type FuzzWaiter, type Outcome, UNREAD_BYTE } from "./fuzz_io.ts";
import type { FuzzOwner } from "./fuzz_owner.ts";

const STATUS_OVER = ["ok", "partial", "warning", "error"];

/** The model of one backend. */
export class FuzzModel {
  readonly aio: Aio;
  readonly files: FuzzFiles;
  /** All IOs that are not collected, by number. */
  readonly ios = new Map<number, FuzzIo>();
  /** The last use of each handle, and the generation it is at or comes to next. */
  readonly #last = new Map<number, FuzzIo>();
  readonly #generations: number[];
  readonly #first: number;
  handed: { readonly handle: AioHandle; readonly io: FuzzIo } | null = null;
  readonly staged = new Set<FuzzIo>();
  readonly #stagedLate = new Set<FuzzIo>();
  isInBatch = false;
  /** Whether a microtask will submit what is staged. */
  isSubmitDue = false;
  readonly owners = new Set<FuzzOwner>();
  /** How many queue for a handle. */
  queued = 0;
  started = 0;
  over = 0;
  atOnce = 0;
  #numbers = 0;
  #checkedIos = 0;

  constructor(aio: Aio, files: FuzzFiles) {
    this.aio = aio;
    this.files = files;
    const count = aio.options.maxConcurrency;
    this.#first = aio.backendId * count;
    const { words } = backendOf(aio).control;
    this.#generations = Array.from({ length: count }, (_, local) => {
      const base = backendOf(aio).control.handleAt(this.#first + local);
      return words[base + HANDLE.generationLow]!;
    });
  }

  /** How many IOs were compared with what may come of them. */
  get checkedIos(): number {
    return this.#checkedIos;
  }

  /** Those that are not over, as far as it is known. */
  live(): FuzzIo[] {
    return [...this.ios.values()].filter(({ stage }) => stage !== "over");
  }

  // --- what the steps say ---

  /** A handle was handed out: always the next use of that handle. */
  took(handle: AioHandle, ret: AioReturn, owner: FuzzOwner | null): FuzzIo {
    const ref = handle.waitRef();
    const local = handle.index - this.#first;
    const last = this.#last.get(local);
    this.#takeTrace();
    if (last !== undefined && last.stage !== "over") this.#finish(last, ref.generation, IDLE);
    assertEquals(ref.generation, this.#generations[local], `generation of handle ${handle.index}`);
    assertEquals(ret.result.status, "unknown", "the return slot of a new IO");
    const io = new FuzzIo(++this.#numbers, ref, ret, owner);
    this.ios.set(io.number, io);
    this.#last.set(local, io);
    owner?.ios.add(io);
    this.verifyUses();
    return io;
  }

  /** A handle was released unused. */
  gaveBack(io: FuzzIo): void {
    io.stage = "over";
    io.isCollected = true;
    io.owner?.ios.delete(io);
    this.ios.delete(io.number);
    this.#generations[io.ref.index - this.#first]!++;
  }

  /** An IO was started, so that it is staged now, or submitted. */
  startedIo(io: FuzzIo, isAtEndOfTurn: boolean): void {
    this.started++;
    if (io.asked!.isAtOnce && io.stageThrower < 0) this.atOnce++;
    if (io.asked!.isAtOnce || io.stageThrower >= 0 || this.#isMethodSynchronous(io)) {
      io.stage = "submitted";
      this.verifyUses();
      // Its words: with a method that executes in the start call, or of such an IO.
      assert((io.stage as string) === "over", `${io} is over when its start call returns`);
      return;
    }
    io.stage = "staged";
    this.staged.add(io);
    if (isAtEndOfTurn) this.isSubmitDue = true;
    else if (!this.isInBatch) this.submittedAll();
  }

  #isMethodSynchronous(io: FuzzIo): boolean {
    const { method } = backendOf(this.aio);
    if (method.needsSynchronousExecution === undefined) return false;
    return method.name === "sync" || this.#isOver(io);
  }

  /** What was staged is the method's now. */
  submittedAll(): void {
    for (const io of this.staged) this.#submitted(io);
  }

  /** The same where only the backend knows whether it had to submit. */
  submittedPerhaps(): void {
    for (const io of this.staged) {
      if (this.#isOver(io) || this.#stateOf(io) !== STAGED) this.#submitted(io);
    }
  }

  /** Microtasks have run. What was staged in one of them may have come too late for the submit. */
  turned(): void {
    if (this.isSubmitDue) {
      for (const io of this.staged) if (!this.#stagedLate.has(io)) this.#submitted(io);
    }
    this.#stagedLate.clear();
    this.isSubmitDue = false;
    this.submittedPerhaps();
  }

  /** An IO was staged in a microtask. */
  stagedInMicrotask(io: FuzzIo): void {
    this.#stagedLate.add(io);
  }

  #submitted(io: FuzzIo): void {
    this.staged.delete(io);
    io.stage = "submitted";
  }

  /**
   * An owner and those below it were released.
   *
   * @param isExact whether nothing can have ended in the course of it
   */
  released(root: FuzzOwner, isExact: boolean): void {
    for (const owner of root.tree()) {
      owner.isReleased = true;
      this.owners.delete(owner);
      assertEquals(owner.owner.handleCount, 0, "handles of an owner that was released");
      for (const io of owner.ios) {
        io.owner = null;
        if (io.stage === "handedOut") {
          this.handed = null;
          this.gaveBack(io);
        } else io.isDropped = isExact ? true : io.isDropped || "perhaps";
      }
      owner.ios.clear();
    }
  }

  /** Whoever waited for an IO is done with it. */
  collect(io: FuzzIo): void {
    io.isCollected = true;
    if (io.stage === "over" && io.waiters.every(isTold)) this.ios.delete(io.number);
  }

  // --- what must be so ---

  /** Compares everything. */
  verify(): void {
    this.verifyUses();
    const backend = backendOf(this.aio);
    const { staging } = backend;
    assertEquals(staging.isInBatch, this.isInBatch, "whether a batch is open");
    assertEquals(staging.count, this.staged.size, "how many IOs are staged");
    assertEquals(this.aio.haveStaged, this.staged.size > 0, "aio.haveStaged");
    assertEquals(backend.hasHandedOut, this.handed !== null, "whether a handle is handed out");
    assertEquals(backend.acquireQueue.length, this.queued, "how many queue for a handle");
    for (const owner of this.owners) {
      assertEquals(owner.owner.handleCount, owner.ios.size, "handles of an owner");
    }
    const row = this.aio.backends().find(({ backendId }) => backendId === backend.id)!;
    const { counters } = row;
    assertEquals(counters.started, this.started, "IOs started");
    assertEquals(counters.completedBySelf + counters.completedByOthers, this.over, "IOs over");
    assertEquals(
      counters.synchronousByFlag + counters.synchronousByLocalMemory,
      this.atOnce,
      "IOs at once",
    );
    assertEquals(row.idle, backend.idleCount, "idle handles");
    const inUse = this.#countInUse();
    assertEquals(row.idle + inUse, this.#generations.length, "handles, idle or not");
  }

  #countInUse(): number {
    let count = 0;
    for (const io of this.#last.values()) if (io.stage !== "over") count++;
    return count;
  }

  /** Compares each handle with its last use, and takes notice of what is over. */
  verifyUses(): void {
    this.#takeTrace();
    for (let local = 0; local < this.#generations.length; local++) this.#verifyHandle(local);
    for (const io of this.ios.values()) this.#verifyOutside(io);
  }

  #verifyHandle(local: number): void {
    const index = this.#first + local;
    const io = this.#last.get(local);
    const state = this.#stateAt(index);
    const generation = this.#generationAt(index);
    if (io === undefined || io.stage === "over") {
      assertEquals(generation, this.#generations[local], `generation of idle handle ${index}`);
      assertEquals(STATE_NAMES[state], "idle", `handle ${index}, which is in no use`);
      return;
    }
    if (generation === io.ref.generation) this.#verifyState(io, state);
    else this.#finish(io, generation, state);
  }

  /**
   * A state is the one that the steps have led to, or a later one that others may have brought
   * about.
   */
  #verifyState(io: FuzzIo, state: number): void {
    const isRight = io.stage === "handedOut"
      ? state === HANDED_OUT
      : io.stage === "staged"
      ? state === STAGED
      : state >= SUBMITTED && state <= COMPLETED_SHARED;
    assert(isRight, `${io} is in state ${STATE_NAMES[state]}`);
    assert(state >= io.seenState, `${io} went back to state ${STATE_NAMES[state]}`);
    io.seenState = state;
  }

  #finish(io: FuzzIo, generation: number, state: number): void {
    assertEquals(generation, io.ref.generation + 1, `generation after ${io}`);
    assertEquals(STATE_NAMES[state], "idle", `state after ${io}`);
    assert(io.stage === "submitted", `${io} is over, but was not submitted`);
    this.#generations[io.ref.index - this.#first] = generation;
    io.stage = "over";
    io.owner?.ios.delete(io);
    io.owner = null;
    this.over++;
    assertEquals(io.traced, io.expectedTrace(), `callbacks of ${io} in this thread`);
    this.#verifyOutcome(io);
    if (io.isCollected) this.collect(io);
  }

  #verifyOutcome(io: FuzzIo): void {
    const { result } = io.ret;
    io.final = outcomeOf(io);
    if (io.isDropped === true) {
      assertEquals(result.status, "unknown", `the return slot of ${io}, which was given up`);
      return;
    }
    if (io.isDropped === "perhaps" && result.status === "unknown") return;
    assert(STATUS_OVER.includes(result.status), `the status of ${io} is ${result.status}`);
    const expected = io.expectedOutcomes();
    const found = JSON.stringify(io.final);
    assert(
      expected.some((outcome) => JSON.stringify(outcome) === found),
      `${io} ended with ${found}, not with ${JSON.stringify(expected)}`,
    );
    this.#checkedIos++;
    this.#verifyBytes(io);
  }

  /** Where nothing stood in for the system the bytes are known. */
  #verifyBytes(io: FuzzIo): void {
    const { operation, file, offset, views, answer, length } = io.asked!;
    const isAnswered = io.replaced === null && !io.isCancelled && io.stageThrower < 0;
    if (file === null || (operation !== "readv" && operation !== "writev")) return;
    if (operation === "writev") {
      if (isAnswered && answer === length) this.files.wrote(offset, length);
      return;
    }
    const bytes = concat(views);
    if (io.isForced || io.stageThrower >= 0) {
      assert(bytes.every((byte) => byte === UNREAD_BYTE), `${io} was not executed, but has bytes`);
    } else if (isAnswered && answer >= 0) {
      const isRight = this.files.isReadable(file, offset, bytes.subarray(0, answer));
      assert(isRight, `${io} has the wrong bytes`);
      if (file.file.direct) return;
      const isLeft = bytes.subarray(answer).every((byte) => byte === UNREAD_BYTE);
      assert(isLeft, `${io} has more bytes than it says`);
    }
  }

  /** What holds for as long as anybody looks. */
  #verifyOutside(io: FuzzIo): void {
    for (const waiter of io.waiters) {
      assert(waiter.told <= 1, `a waiter of ${io} was told ${waiter.told} times`);
      assert(waiter.told === 0 || io.stage === "over", `a waiter of ${io} was told too early`);
      assert(waiter.told === 0 || !waiter.isLate, `a waiter of ${io} was told twice`);
    }
    if (io.stage === "over") {
      const now = JSON.stringify(outcomeOf(io));
      assertEquals(now, JSON.stringify(io.final), `the return slot of ${io}, after its end`);
    } else {
      assertEquals(io.ret.result.status, "unknown", `the status of ${io} before its end`);
    }
  }

  #takeTrace(): void {
    for (const { io: number, phase, data } of trace.splice(0)) {
      const io = this.ios.get(number);
      assert(io !== undefined, `a callback ran for IO ${number}, which nobody knows of`);
      io.traced.push(`${phase} ${data}`);
    }
  }

  // --- shared memory ---

  #stateAt(index: number): number {
    const { control } = backendOf(this.aio);
    return Atomics.load(control.words, control.handleAt(index) + HANDLE.state);
  }

  #generationAt(index: number): number {
    const { control } = backendOf(this.aio);
    return Atomics.load(control.words, control.handleAt(index) + HANDLE.generationLow);
  }

  #stateOf(io: FuzzIo): number {
    return this.#stateAt(io.ref.index);
  }

  #isOver(io: FuzzIo): boolean {
    return this.#generationAt(io.ref.index) !== io.ref.generation ||
      this.#stateOf(io) === IDLE;
  }
}

/** Whether a waiter has nothing to wait for any more. */
export function isTold({ told, isLate }: FuzzWaiter): boolean {
  return isLate || told > 0;
}

function outcomeOf({ ret: { result } }: FuzzIo): Outcome {
  const { callbackId, status, errorData, result: value } = result;
  return { callbackId, status, errorData, result: value };
}

function concat(views: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(views.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const view of views) {
    bytes.set(view, at);
    at += view.length;
  }
  return bytes;
}
