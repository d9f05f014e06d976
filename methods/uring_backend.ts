/**
 * uring_backend.ts: io_uring in one backend: what it submits, and how it takes completions, its own and
 * those of other backends.
 *
 * @module
 */

import type { AioHandle } from "../core/handle.ts";
import { SUBMITTED } from "../core/handle_state.ts";
import { lock, tryLock, unlock } from "../core/lock.ts";
import type { MethodBackend } from "../core/method.ts";
import { COUNTER } from "../core/counters.ts";
import { OP_FDATASYNC, OP_FLUSH_RANGE, OP_FSYNC, OP_READV, OP_WRITEV } from "../core/operation.ts";
import { BACKEND, HANDLE } from "../core/shared_memory.ts";
import { sleepMs } from "../core/sleep.ts";
import { EAGAIN, EBUSY, ECANCELED, EFAULT, EINTR } from "../ffi/errno.ts";
import { IOVEC_WORDS, POLLFD_WORDS, POLLIN, SYNC_FILE_RANGE_WRITE } from "../ffi/layout.ts";
import type { Liburing } from "../ffi/liburing.ts";
import { fromWords, highWord, lowWord } from "../ffi/memory.ts";
import {
  ENTER_GETEVENTS,
  FSYNC_DATASYNC,
  SQE_ASYNC,
  SQE_WORDS,
  URING_OP,
} from "../ffi/uring_layout.ts";
import { type Completion, Ring } from "./uring_ring.ts";
import { SLOT, slotAt } from "./uring_memory.ts";

/** More bytes than this in one submit are left to kernel threads: copying them would stall the loop. */
const INLINE_BYTES_MAX = 1024 * 1024;
/** Attempts of a submit that is interrupted or finds the kernel short of something. */
const SUBMIT_ATTEMPTS_MAX = 1000;
const ATTEMPTS_AT_ONCE = 10;
const ATTEMPT_PAUSE_MS = 1;
/** How long a blocking wait sleeps before it looks who else may have completed the IO. */
const WAIT_SLICE_MS = 1;
/** The same where no other thread could. */
const WAIT_ALONE_MS = 100;
/** After so many looks that found a lock taken, its holder is asked whether it lives. */
const LOOKS_UNTIL_ASKED = 64;
/** In place of a handle's number, for entries that cancel. */
const NO_HANDLE = -1;

const CANCEL_PAUSE_MS = 1;
const CANCEL_LOOKS_MAX = 100;

/** What of a dead thread's ring came back because it died. */
const DEATH_ERRORS: readonly number[] = [-ECANCELED, -EFAULT, -EINTR];

/** io_uring, as one backend has it. */
export class UringBackend {
  readonly #backend: MethodBackend;
  readonly #liburing: Liburing;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #threadId: number;
  readonly #own: Ring;
  readonly #controlAddress: number;
  readonly #rings: (Ring | null)[] = [];
  readonly #pollfd: Int32Array<SharedArrayBuffer>;
  readonly #pollfdBytes: Uint8Array<SharedArrayBuffer>;
  readonly #completion: Completion = { userDataLow: 0, userDataHigh: 0, result: 0 };
  /** Completed under the lock, to be published without it. */
  readonly #taken: AioHandle[] = [];
  /** Given up by the kernel without being asked, to be executed here. */
  readonly #refused: AioHandle[] = [];
  #looksInVain = 0;
  /** Bytes of the submit that is being filled. */
  #bytes = 0;

  /**
   * For a backend whose ring is there.
   *
   * @param backend whose it is
   * @param liburing does the calls
   */
  constructor(backend: MethodBackend, liburing: Liburing) {
    const { control, libc, id } = backend;
    this.#backend = backend;
    this.#liburing = liburing;
    this.#words = control.words;
    this.#threadId = libc.threadId();
    this.#own = new Ring(control, id);
    this.#rings[id] = this.#own;
    this.#controlAddress = libc.addressOf(control.bytes);
    const pollfdAt = (slotAt(control, id) + SLOT.pollfd) * Int32Array.BYTES_PER_ELEMENT;
    this.#pollfd = new Int32Array(control.buffer, pollfdAt, POLLFD_WORDS.size);
    this.#pollfdBytes = new Uint8Array(control.buffer, pollfdAt, this.#pollfd.byteLength);
  }

  /** liburing, as this thread opened it. */
  get liburing(): Liburing {
    return this.#liburing;
  }

  /** The own ring. */
  get ring(): Ring {
    return this.#own;
  }

  // --- submission ---

  /** See `IoMethod.submit`. */
  submit(staged: readonly AioHandle[], count: number): number {
    const ring = this.#own;
    this.#bytes = 0;
    let first = 0;
    for (let i = 0; i < count; i++) {
      if (!ring.hasRoom) {
        this.#enter(staged, first, i);
        this.#makeRoom();
        first = i;
      }
      const handle = staged[i]!;
      this.#fill(handle);
      this.#backend.prepareSubmit(handle);
    }
    this.#enter(staged, first, count);
    if (ring.isReady) this.drain(ring, this.#backend.id);
    return count;
  }

  /** The kernel has all it may have at once: nothing is lost if one waits for it. */
  #makeRoom(): void {
    while (!this.#own.hasRoom) {
      if (this.drain(this.#own, this.#backend.id) === 0) this.#sleepOnRing();
    }
  }

  #fill(handle: AioHandle): void {
    const words = this.#words;
    const { base } = handle;
    const { sqes } = this.#own;
    const at = this.#own.nextEntry();
    sqes[at + SQE_WORDS.fd] = words[base + HANDLE.fd]!;
    sqes[at + SQE_WORDS.offsetLow] = words[base + HANDLE.offsetLow]!;
    sqes[at + SQE_WORDS.offsetHigh] = words[base + HANDLE.offsetHigh]!;
    sqes[at + SQE_WORDS.userDataLow] = handle.index;
    sqes[at + SQE_WORDS.userDataHigh] = words[base + HANDLE.generationLow]!;
    switch (words[base + HANDLE.operation]) {
      case OP_READV:
        this.#fillTransfer(handle, at, URING_OP.read, URING_OP.readFixed, URING_OP.readv);
        break;
      case OP_WRITEV:
        this.#fillTransfer(handle, at, URING_OP.write, URING_OP.writeFixed, URING_OP.writev);
        break;
      case OP_FSYNC:
        this.#fillFlush(at, URING_OP.fsync, 0, 0);
        break;
      case OP_FDATASYNC:
        this.#fillFlush(at, URING_OP.fsync, 0, FSYNC_DATASYNC);
        break;
      case OP_FLUSH_RANGE:
        this.#fillFlush(
          at,
          URING_OP.syncFileRange,
          words[base + HANDLE.length]!,
          SYNC_FILE_RANGE_WRITE,
        );
        break;
    }
  }

  #fillTransfer(handle: AioHandle, at: number, one: number, fixed: number, many: number): void {
    const words = this.#words;
    const { base } = handle;
    const iovecAt = handle.iovec.at;
    const { sqes } = this.#own;
    const count = words[base + HANDLE.iovecLength]!;
    this.#bytes += words[base + HANDLE.length]!;
    const flags = this.#bytes > INLINE_BYTES_MAX ? SQE_ASYNC : 0;
    if (count === 1) {
      const low = words[iovecAt + IOVEC_WORDS.baseLow]!;
      const high = words[iovecAt + IOVEC_WORDS.baseHigh]!;
      const length = words[iovecAt + IOVEC_WORDS.lengthLow]!;
      sqes[at + SQE_WORDS.addressLow] = low;
      sqes[at + SQE_WORDS.addressHigh] = high;
      sqes[at + SQE_WORDS.length] = length;
      sqes[at + SQE_WORDS.opcode] = (this.#isFixed(low, high, length) ? fixed : one) | flags;
      return;
    }
    const address = this.#controlAddress + iovecAt * Int32Array.BYTES_PER_ELEMENT;
    sqes[at + SQE_WORDS.addressLow] = lowWord(address);
    sqes[at + SQE_WORDS.addressHigh] = highWord(address);
    sqes[at + SQE_WORDS.length] = count;
    sqes[at + SQE_WORDS.opcode] = many | flags;
  }

  /** Whether a buffer lies in the part of the arena that the kernel knows. */
  #isFixed(low: number, high: number, length: number): boolean {
    const { fixedBytes } = this.#own;
    if (fixedBytes === 0) return false;
    const offset = fromWords(low, high) - this.#backend.arena.address;
    return offset >= 0 && offset + length <= fixedBytes;
  }

  #fillFlush(at: number, opcode: number, length: number, operationFlags: number): void {
    const { sqes } = this.#own;
    sqes[at + SQE_WORDS.addressLow] = 0;
    sqes[at + SQE_WORDS.addressHigh] = 0;
    sqes[at + SQE_WORDS.length] = length;
    sqes[at + SQE_WORDS.operationFlags] = operationFlags;
    sqes[at + SQE_WORDS.opcode] = opcode;
  }

  /** Hands the filled entries to the kernel; those that it will not have are executed here. */
  #enter(staged: readonly AioHandle[], first: number, end: number): void {
    const ring = this.#own;
    ring.publish();
    for (let attempts = 0; ring.filled > 0; attempts++) {
      const result = this.#liburing.enter(ring.fd, ring.filled, 0, 0);
      if (result > 0) {
        ring.noteSubmitted(result);
        continue;
      }
      const isPassing = result === 0 || result === -EINTR || result === -EAGAIN ||
        result === -EBUSY;
      if (!isPassing || attempts >= SUBMIT_ATTEMPTS_MAX) {
        return this.#performRest(staged, first, end);
      }
      this.#backend.counters[COUNTER.retries]!++;
      const taken = this.drain(ring, this.#backend.id);
      if (taken === 0 && attempts >= ATTEMPTS_AT_ONCE) sleepMs(ATTEMPT_PAUSE_MS);
    }
  }

  #performRest(staged: readonly AioHandle[], first: number, end: number): void {
    const rest = this.#own.filled;
    this.#own.takeBack();
    for (let i = Math.max(first, end - rest); i < end; i++) {
      this.#backend.counters[COUNTER.synchronousByMethod]!++;
      this.#backend.performSynchronously(staged[i]!);
    }
  }

  // --- completion ---

  /** The ring of a backend; null if it has none. */
  ringOf(id: number): Ring | null {
    if (id === this.#backend.id) return this.#own;
    const slot = slotAt(this.#backend.control, id);
    if (Atomics.load(this.#words, slot + SLOT.fd) === 0) return null;
    const known = this.#rings[id] ?? null;
    if (known !== null && known.epoch === this.#words[slot + SLOT.epoch]) return known;
    const ring = new Ring(this.#backend.control, id);
    this.#rings[id] = ring;
    return ring;
  }

  /**
   * Takes what the kernel has done, of one backend's ring, but no more than was there at first. Whoever
   * has the lock already does it otherwise.
   *
   * @returns how many completions were taken
   */
  drain(ring: Ring, owner: number): number {
    if (!ring.isReady) return 0;
    const lockAt = this.#backend.control.backendAt(owner) + BACKEND.completionLock;
    if (!this.#tryLock(lockAt)) return 0;
    const isThere = owner === this.#backend.id || this.ringOf(owner) === ring;
    const count = isThere ? this.#takeAll(ring) : 0;
    unlock(this.#words, lockAt, this.#threadId);
    this.#publishTaken();
    return count;
  }

  #tryLock(lockAt: number): boolean {
    const { libc } = this.#backend;
    this.#looksInVain++;
    const isAsking = this.#looksInVain % LOOKS_UNTIL_ASKED === 0;
    const isAlive = (threadId: number) => libc.isThreadAlive(threadId);
    const isLocked = tryLock(this.#words, lockAt, this.#threadId, isAlive, isAsking);
    if (isLocked) this.#looksInVain = 0;
    return isLocked;
  }

  /** The caller holds the lock. */
  #takeAll(ring: Ring): number {
    if (ring.hasOverflow) this.#liburing.enter(ring.fd, 0, 0, ENTER_GETEVENTS);
    const count = ring.ready;
    const completion = this.#completion;
    for (let i = 0; i < count; i++) {
      ring.peek(i, completion);
      this.#take(completion);
    }
    // Only now: if this thread ends before, the next one finds what it took in the handles.
    ring.release(count);
    return count;
  }

  #take({ userDataLow, userDataHigh, result }: Completion): void {
    if (userDataLow === NO_HANDLE) return;
    const handle = this.#backend.handleOf(userDataLow);
    const { words, base } = handle;
    if (Atomics.load(words, base + HANDLE.generationLow) !== userDataHigh) return;
    if (Atomics.load(words, base + HANDLE.state) !== SUBMITTED) return;
    if (result === -ECANCELED) {
      if (handle.backendId === this.#backend.id || this.#backend.claim(handle)) {
        this.#refused.push(handle);
      }
      return;
    }
    this.#backend.storeCompletion(handle, result);
    this.#taken.push(handle);
  }

  #publishTaken(): void {
    const { length } = this.#taken;
    for (let i = 0; i < length; i++) this.#backend.publishCompletion(this.#taken[i]!);
    this.#taken.length = 0;
    if (this.#refused.length === 0) return;
    for (const handle of this.#refused) this.#backend.performSynchronously(handle);
    this.#refused.length = 0;
  }

  // --- waiting ---

  /** See `IoMethod.checkOne`. */
  check(handle: AioHandle): void {
    const ring = this.ringOf(handle.backendId);
    if (ring !== null) this.drain(ring, handle.backendId);
  }

  /** See `IoMethod.waitOne`. */
  wait(handle: AioHandle): void {
    const { id } = this.#backend;
    if (handle.backendId !== id) this.check(handle);
    else if (this.drain(this.#own, id) === 0) {
      this.#sleepOnRing();
      this.drain(this.#own, id);
    }
  }

  #sleepOnRing(): void {
    this.#pollfd[POLLFD_WORDS.fd] = this.#own.fd;
    this.#pollfd[POLLFD_WORDS.events] = POLLIN;
    const timeoutMs = this.#backend.hasOthers ? WAIT_SLICE_MS : WAIT_ALONE_MS;
    this.#backend.libc.poll(this.#pollfdBytes, 1, timeoutMs);
  }

  // --- ends ---

  /** Runs something with the completion lock of a backend. */
  withLock(owner: number, use: () => void): void {
    const { control, libc } = this.#backend;
    const lockAt = control.backendAt(owner) + BACKEND.completionLock;
    lock(control.words, lockAt, this.#threadId, (holder) => libc.isThreadAlive(holder));
    use();
    unlock(control.words, lockAt, this.#threadId);
  }

  /** Takes what is left of the own ring, with nothing of interest in it. */
  finish(): void {
    while (this.#own.outstanding > 0) {
      if (this.drain(this.#own, this.#backend.id) === 0) this.#sleepOnRing();
    }
  }

  /**
   * Ends what a dead backend has in the kernel: cancels it and takes what came of it. IO that was
   * cancelled for its issuer's death stays submitted, and is done again by the core.
   *
   * @returns false if the kernel is not done with it yet
   */
  endDead(dead: number): boolean {
    const ring = this.ringOf(dead);
    if (ring === null) return true;
    let isDone = false;
    this.withLock(dead, () => {
      ring.adopt();
      this.#cancelAll(ring, dead);
      for (let i = 0; ring.inKernel > 0 && i < CANCEL_LOOKS_MAX; i++) {
        this.#takeDead(ring);
        if (ring.inKernel > 0) sleepMs(CANCEL_PAUSE_MS);
      }
      this.#takeDead(ring);
      isDone = ring.inKernel === 0;
    });
    this.#publishTaken();
    return isDone;
  }

  #cancelAll(ring: Ring, dead: number): void {
    const { control } = this.#backend;
    const first = dead * control.handlesPerBackend;
    for (let index = first; index < first + control.handlesPerBackend; index++) {
      const base = control.handleAt(index);
      if (Atomics.load(this.#words, base + HANDLE.state) !== SUBMITTED || !ring.hasRoom) continue;
      const at = ring.nextEntry();
      ring.sqes[at + SQE_WORDS.opcode] = URING_OP.asyncCancel;
      ring.sqes[at + SQE_WORDS.fd] = -1;
      ring.sqes[at + SQE_WORDS.offsetLow] = ring.sqes[at + SQE_WORDS.offsetHigh] = 0;
      ring.sqes[at + SQE_WORDS.addressLow] = index;
      ring.sqes[at + SQE_WORDS.addressHigh] = this.#words[base + HANDLE.generationLow]!;
      ring.sqes[at + SQE_WORDS.length] = 0;
      ring.sqes[at + SQE_WORDS.userDataLow] = NO_HANDLE;
      ring.sqes[at + SQE_WORDS.userDataHigh] = 0;
    }
    ring.publish();
    for (let attempts = 0; ring.filled > 0 && attempts < SUBMIT_ATTEMPTS_MAX; attempts++) {
      const result = this.#liburing.enter(ring.fd, ring.filled, 0, ENTER_GETEVENTS);
      if (result > 0) ring.noteSubmitted(result);
    }
    ring.takeBack();
  }

  #takeDead(ring: Ring): void {
    if (ring.hasOverflow) this.#liburing.enter(ring.fd, 0, 0, ENTER_GETEVENTS);
    const count = ring.ready;
    for (let i = 0; i < count; i++) {
      ring.peek(i, this.#completion);
      if (!DEATH_ERRORS.includes(this.#completion.result)) this.#take(this.#completion);
    }
    ring.release(count);
  }
}
