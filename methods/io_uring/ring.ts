/**
 * io_uring/ring.ts: one ring as one thread sees it: its words, and what is done with them.
 *
 * The submission side is its owner's alone. Completions are taken by whoever holds the owner's
 * completion lock. How many of its IOs are in the kernel or wait to be taken is the difference of
 * two counters that both sides keep anyway: each entry that is submitted gives one completion.
 *
 * @module
 */

import type { Control } from "../../core/memory/shared_memory.ts";
import * as addresses from "../../ffi/memory.ts";
import * as uring from "../../ffi/uring_layout.ts";
import { FORM_SHARED, queueBytesAt, SLOT, slotAt } from "./memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { fromWords } = addresses;
const { CQE_WORDS, SQ_CQ_OVERFLOW, SQE_WORDS, URING_OP } = uring;

/** In place of a handle's number, for entries that cancel. */
export const NO_HANDLE = -1;

/** One completion; filled anew by each {@linkcode Ring.take}. */
export interface Completion {
  /** The lower half of what was submitted with it. */
  userDataLow: number;
  /** The upper half. */
  userDataHigh: number;
  /** Bytes, or -errno. */
  result: number;
}

/** A ring. */
export class Ring {
  /** Its descriptor. */
  readonly fd: number;
  /** Places for entries. */
  readonly sqEntries: number;
  /** Places for completions: so many IOs it can have at once. */
  readonly cqEntries: number;
  /** Bytes of the arena that are registered with it. */
  readonly fixedBytes: number;
  /** The queues. */
  readonly words: Int32Array;
  /** The entries. */
  readonly sqes: Int32Array;
  readonly #sqHead: number;
  readonly #sqTail: number;
  readonly #sqFlags: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqes: number;
  /** How far entries are filled; the owner's alone. */
  #filled: number;
  /** How far they are known to the kernel. */
  #submitted: number;

  /** Looks at the ring of a backend, which has one. */
  constructor(control: Control, backendId: number) {
    const slot = control.words.subarray(slotAt(control, backendId));
    this.fd = slot[SLOT.fd]!;
    this.sqEntries = slot[SLOT.sqEntries]!;
    this.cqEntries = slot[SLOT.cqEntries]!;
    this.fixedBytes = slot[SLOT.fixedBytes]!;
    this.#sqHead = slot[SLOT.sqHead]!;
    this.#sqTail = slot[SLOT.sqTail]!;
    this.#sqFlags = slot[SLOT.sqFlags]!;
    this.#cqHead = slot[SLOT.cqHead]!;
    this.#cqTail = slot[SLOT.cqTail]!;
    this.#cqes = slot[SLOT.cqes]!;
    [this.words, this.sqes] = slot[SLOT.form] === FORM_SHARED
      ? sharedQueues(control, backendId)
      : mappedQueues(slot);
    this.#submitted = this.#filled = this.words[this.#sqTail]!;
  }

  /** How many IOs the kernel has, or has done and nobody has taken. */
  get outstanding(): number {
    return (this.#filled - Atomics.load(this.words, this.#cqHead)) | 0;
  }

  /** How many entries can be filled without any IO being lost. */
  get room(): number {
    const unseen = (this.#filled - Atomics.load(this.words, this.#sqHead)) | 0;
    return Math.min(this.cqEntries - this.outstanding, this.sqEntries - unseen);
  }

  /** How many entries are filled and not submitted. */
  get filled(): number {
    return (this.#filled - this.#submitted) | 0;
  }

  /**
   * Where the next entry is, in words of {@linkcode sqes}; there must be room. Its flags and its
   * buffer are cleared, words that nobody uses are 0, and all others are to be set.
   */
  nextEntry(): number {
    const at = (this.#filled & (this.sqEntries - 1)) * SQE_WORDS.size;
    this.#filled = (this.#filled + 1) | 0;
    this.sqes[at + SQE_WORDS.operationFlags] = 0;
    return at;
  }

  /**
   * Fills an entry that gives up an IO: there must be room. Its completion is
   * {@linkcode NO_HANDLE}'s.
   */
  fillCancel(handleIndex: number, generationLow: number): void {
    const at = this.nextEntry();
    this.sqes[at + SQE_WORDS.opcode] = URING_OP.asyncCancel;
    this.sqes[at + SQE_WORDS.fd] = -1;
    this.sqes[at + SQE_WORDS.offsetLow] = this.sqes[at + SQE_WORDS.offsetHigh] = 0;
    this.sqes[at + SQE_WORDS.addressLow] = handleIndex;
    this.sqes[at + SQE_WORDS.addressHigh] = generationLow;
    this.sqes[at + SQE_WORDS.length] = 0;
    this.sqes[at + SQE_WORDS.userDataLow] = NO_HANDLE;
    this.sqes[at + SQE_WORDS.userDataHigh] = 0;
  }

  /** Makes filled entries known to the kernel, which looks at them when it is entered. */
  publish(): void {
    Atomics.store(this.words, this.#sqTail, this.#filled);
  }

  /** The kernel has taken so many. */
  noteSubmitted(count: number): void {
    this.#submitted = (this.#submitted + count) | 0;
  }

  /** Takes back the entries that the kernel would not have. */
  takeBack(): void {
    this.#filled = this.#submitted;
    this.publish();
  }

  /** Whether completions can be taken, or wait for room. */
  get isReady(): boolean {
    return this.words[this.#cqHead] !== Atomics.load(this.words, this.#cqTail) || this.hasOverflow;
  }

  /** Whether completions wait in the kernel because there was no room. */
  get hasOverflow(): boolean {
    return (Atomics.load(this.words, this.#sqFlags) & SQ_CQ_OVERFLOW) !== 0;
  }

  /** How many completions can be taken. */
  get ready(): number {
    return (Atomics.load(this.words, this.#cqTail) - this.words[this.#cqHead]!) | 0;
  }

  /** Reads the completion that is so far behind the first one. The caller holds the lock. */
  peek(distance: number, into: Completion): void {
    const index = (this.words[this.#cqHead]! + distance) & (this.cqEntries - 1);
    const at = this.#cqes + index * CQE_WORDS.size;
    into.userDataLow = this.words[at + CQE_WORDS.userDataLow]!;
    into.userDataHigh = this.words[at + CQE_WORDS.userDataHigh]!;
    into.result = this.words[at + CQE_WORDS.result]!;
  }

  /** Gives the places of so many completions back. The caller holds the lock and has read them. */
  release(count: number): void {
    Atomics.store(this.words, this.#cqHead, (this.words[this.#cqHead]! + count) | 0);
  }

  /**
   * How many IOs the kernel has not done, of all that it took; entries it never took do not count.
   */
  get inKernel(): number {
    const taken = Atomics.load(this.words, this.#sqHead);
    return (taken - Atomics.load(this.words, this.#cqTail)) | 0;
  }

  /** Forgets entries that a dead owner filled and the kernel has not taken. */
  adopt(): void {
    this.#filled = this.#submitted = Atomics.load(this.words, this.#sqHead);
    this.publish();
  }
}

function sharedQueues(control: Control, backendId: number): [Int32Array, Int32Array] {
  const at = queueBytesAt(control, backendId);
  return [new Int32Array(control.buffer, at.ring), new Int32Array(control.buffer, at.entries)];
}

function mappedQueues(slot: Int32Array): [Int32Array, Int32Array] {
  const ring = fromWords(slot[SLOT.ringAddress]!, slot[SLOT.ringAddress + 1]!);
  const entries = fromWords(slot[SLOT.entriesAddress]!, slot[SLOT.entriesAddress + 1]!);
  const entriesBytes = slot[SLOT.sqEntries]! * SQE_WORDS.size * Int32Array.BYTES_PER_ELEMENT;
  return [memoryAt(ring, slot[SLOT.ringBytes]!), memoryAt(entries, entriesBytes)];
}

/** Needs `--allow-ffi` as a whole. */
function memoryAt(address: number, bytes: number): Int32Array {
  const pointer = Deno.UnsafePointer.create(BigInt(address))!;
  return new Int32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, bytes));
}
