/**
 * io_uring/files.ts: open files that a ring knows by number, so that the kernel need not look up
 * their descriptors for each IO.
 *
 * The number is the file's place in the table of open files. A ring keeps the files that it knows
 * open, and registering one costs a system call, so a ring registers a file only once its backend
 * has used that often. The file's record says which rings know it: the closer has them forget it
 * first. They do so at once, as nothing is in flight on it any more; before Linux 6.14 they might
 * not, and there no ring registers files.
 *
 * @module
 */

import type { MethodBackend } from "../../core/io/method.ts";
import * as targets from "../../core/io/target.ts";
import * as layout from "../../core/memory/shared_memory.ts";
import type { Control } from "../../core/memory/shared_memory.ts";
import * as addresses from "../../ffi/memory.ts";
import type { UringCalls } from "../../ffi/uring_calls.ts";
import { FILES_UPDATE_WORDS, REGISTER } from "../../ffi/uring_layout.ts";
import { SLOT, slotAt } from "./memory.ts";
import { withCompletionLock } from "../completion_lock.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { FILE_TARGET } = targets;
const { FILE, HANDLE, HEADER } = layout;
const { highWord, lowWord } = addresses;

const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;
const NO_FD = -1;
/** In place of a file's number. */
const UNKNOWN = -1;

/** Prepares a ring to know files, none of them yet. @returns whether it can */
export function makeFileTable(control: Control, calls: UringCalls, fd: number): boolean {
  const none = new Int32Array(control.words[HEADER.maxFiles]!).fill(NO_FD);
  return calls.register(fd, REGISTER.files, new Uint8Array(none.buffer), none.length) >= 0;
}

/** Has a ring know a descriptor by a number, or forget what it knew. @returns whether it did */
function update(
  { control, id, libc }: MethodBackend,
  calls: UringCalls,
  ringFd: number,
  number: number,
  fd: number,
): boolean {
  // In memory of this thread's own slot, whose address is known.
  const at = slotAt(control, id) + SLOT.fileDescriptor;
  control.words[at] = fd;
  const address = libc.addressOf(control.bytes) + at * WORD_BYTES;
  const argument = new Int32Array(FILES_UPDATE_WORDS.size);
  argument[FILES_UPDATE_WORDS.offset] = number;
  argument[FILES_UPDATE_WORDS.fdsLow] = lowWord(address);
  argument[FILES_UPDATE_WORDS.fdsHigh] = highWord(address);
  return calls.register(ringFd, REGISTER.filesUpdate, new Uint8Array(argument.buffer), 1) === 1;
}

/** The files that a backend's own ring knows. */
export class RingFiles {
  readonly #backend: MethodBackend;
  readonly #calls: UringCalls;
  readonly #ringFd: number;
  readonly #after: number;
  /** By number: which use of it the ring knows, and by which descriptor. */
  readonly #generations: Int32Array;
  readonly #fds: Int32Array;
  /** By number: how often which use of it was met that the ring does not know. */
  readonly #met: Int32Array;
  readonly #counts: Int32Array;

  /**
   * For a ring that was prepared for it.
   *
   * @param backend whose ring it is
   * @param calls of the system
   * @param ringFd the ring
   * @param after IOs on a file until the ring registers it
   */
  constructor(backend: MethodBackend, calls: UringCalls, ringFd: number, after: number) {
    this.#backend = backend;
    this.#calls = calls;
    this.#ringFd = ringFd;
    this.#after = after;
    const count = backend.control.words[HEADER.maxFiles]!;
    this.#generations = new Int32Array(count);
    this.#fds = new Int32Array(count);
    this.#met = new Int32Array(count);
    this.#counts = new Int32Array(count);
  }

  /** By which number the ring knows the file of an IO; -1: it does not. */
  numberOf(words: Int32Array, base: number): number {
    const target = words[base + HANDLE.target]!;
    if (target === 0 || target > this.#backend.lastFileTargetId) return UNKNOWN;
    const number = words[base + HANDLE.targetData + FILE_TARGET.slot]!;
    const generation = words[base + HANDLE.targetData + FILE_TARGET.slotGeneration]!;
    const fd = words[base + HANDLE.fd]!;
    // The target says what its issuer wants; the descriptor is what counts.
    if (this.#generations[number] === generation && this.#fds[number] === fd) return number;
    return this.#meet(number, generation, fd);
  }

  #meet(number: number, generation: number, fd: number): number {
    if (!(number >= 0 && number < this.#met.length)) return UNKNOWN;
    if (this.#met[number] !== generation) {
      this.#met[number] = generation;
      this.#counts[number] = 0;
    }
    // Only once: what was refused then will be refused again.
    if (this.#counts[number]! > this.#after) return UNKNOWN;
    this.#counts[number]!++;
    if (this.#counts[number]! <= this.#after) return UNKNOWN;
    return this.#learn(number, generation, fd) ? number : UNKNOWN;
  }

  /**
   * The IO that this is for holds up whoever closes the file meanwhile, so that he finds in the
   * record what is written there now.
   */
  #learn(number: number, generation: number, fd: number): boolean {
    const { control, id } = this.#backend;
    const { words } = control;
    const at = control.fileAt(number);
    if (words[at + FILE.generation] !== generation || words[at + FILE.fd] !== fd) return false;
    Atomics.or(words, at + FILE.rings, 1 << id);
    if (!update(this.#backend, this.#calls, this.#ringFd, number, fd)) return false;
    this.#generations[number] = generation;
    this.#fds[number] = fd;
    return true;
  }
}

/** Has all rings forget a file that nothing is in flight on, and nothing can start on. */
export function forgetFile(backend: MethodBackend, calls: UringCalls, number: number): void {
  const { control, options } = backend;
  const { words } = control;
  const ringsAt = control.fileAt(number) + FILE.rings;
  const rings = Atomics.load(words, ringsAt);
  if (rings === 0) return;
  for (let id = 0; id < options.maxBackends; id++) {
    if ((rings & (1 << id)) === 0) continue;
    // So that the ring is not closed meanwhile.
    withCompletionLock(backend, id, () => {
      const fd = Atomics.load(words, slotAt(control, id) + SLOT.fd);
      if (fd !== 0) update(backend, calls, fd, number, NO_FD);
    });
  }
  Atomics.store(words, ringsAt, 0);
}
