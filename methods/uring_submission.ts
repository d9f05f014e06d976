/**
 * uring_submission.ts: how a backend hands IOs to its ring, and waits for them.
 *
 * @module
 */

import * as counting from "../core/counters.ts";
import type { AioHandle } from "../core/handle.ts";
import { SUBMITTED } from "../core/handle_state.ts";
import type { MethodBackend } from "../core/method.ts";
import * as operations from "../core/operation.ts";
import { OP_FDATASYNC, OP_FLUSH_RANGE, OP_FSYNC } from "../core/operation.ts";
import { PinnedMemory } from "../core/pinned_memory.ts";
import * as layout from "../core/shared_memory.ts";
import { sleepMs } from "../core/sleep.ts";
import { EAGAIN, EBUSY, EINTR } from "../ffi/errno.ts";
import * as system from "../ffi/layout.ts";
import { POLLFD_WORDS, POLLIN, SYNC_FILE_RANGE_WRITE } from "../ffi/layout.ts";
import * as addresses from "../ffi/memory.ts";
import type { UringCalls } from "../ffi/uring_calls.ts";
import * as uring from "../ffi/uring_layout.ts";
import { FSYNC_DATASYNC } from "../ffi/uring_layout.ts";
import { CachedReads } from "./uring_cached_reads.ts";
import { askCancel, type UringCompletions } from "./uring_completion.ts";
import { RingFiles } from "./uring_files.ts";
import { SLOT, slotAt } from "./uring_memory.ts";
import { Ring } from "./uring_ring.ts";
import type { UringTuning } from "./uring_tuning.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { COUNTER } = counting;
const { OP_READV, OP_WRITEV } = operations;
const { HANDLE } = layout;
const { IOVEC_WORDS } = system;
const { fromWords, highWord, lowWord } = addresses;
const { SQE_ASYNC, SQE_FIXED_FILE, SQE_WORDS, URING_OP } = uring;

/** Attempts of a submit that is interrupted or finds the kernel short of something. */
const SUBMIT_ATTEMPTS_MAX = 100;
const ATTEMPTS_AT_ONCE = 10;
const ATTEMPT_PAUSE_MS = 1;
/** The same of a cancel, which may as well not happen. */
const CANCEL_ATTEMPTS_MAX = 10;
/** How long a blocking wait sleeps before it looks who else may have completed the IO. */
const WAIT_SLICE_MS = 1;
/** The same where no other thread could. */
const WAIT_ALONE_MS = 100;

/** The ring of one backend, as its owner uses it. */
export class UringSubmission {
  /** The own ring. */
  readonly ring: Ring;
  readonly #backend: MethodBackend;
  readonly #calls: UringCalls;
  readonly #completions: UringCompletions;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #controlAddress: number;
  readonly #inlineBytesMax: number;
  readonly #cachedReads: CachedReads;
  /** Null: the ring cannot know any. */
  readonly #files: RingFiles | null;
  readonly #pollfd: Int32Array<SharedArrayBuffer>;
  readonly #pollfdBytes: Uint8Array<SharedArrayBuffer>;
  /**
   * The kernel goes on when this thread is terminated, and then nobody else may be left who holds what
   * it writes to.
   */
  readonly #pinned: readonly PinnedMemory[];
  /** Bytes of the submit that is being filled. */
  #bytes = 0;

  /**
   * For a backend whose ring is there.
   *
   * @param backend whose it is
   * @param calls of the system
   * @param completions takes what the kernel has done
   * @param tuning what was chosen by measuring
   */
  constructor(
    backend: MethodBackend,
    calls: UringCalls,
    completions: UringCompletions,
    tuning: UringTuning,
  ) {
    const { control, libc, id } = backend;
    this.#backend = backend;
    this.#calls = calls;
    this.#completions = completions;
    this.#inlineBytesMax = tuning.inlineBytesMax;
    this.#cachedReads = new CachedReads(backend, tuning);
    this.#words = control.words;
    this.ring = new Ring(control, id);
    completions.adopt(id, this.ring);
    const hasFiles = control.words[slotAt(control, id) + SLOT.hasFiles] !== 0;
    this.#files = hasFiles ? new RingFiles(backend, calls, this.ring.fd, tuning.fileUsesMin) : null;
    this.#pinned = [control.buffer, backend.arena.buffer].map((memory) => new PinnedMemory(memory));
    this.#controlAddress = libc.addressOf(control.bytes);
    const pollfdAt = (slotAt(control, id) + SLOT.pollfd) * Int32Array.BYTES_PER_ELEMENT;
    this.#pollfd = new Int32Array(control.buffer, pollfdAt, POLLFD_WORDS.size);
    this.#pollfdBytes = new Uint8Array(control.buffer, pollfdAt, this.#pollfd.byteLength);
  }

  #drain(): number {
    return this.#completions.drainOwn(this.ring);
  }

  /** See `IoMethod.submit`. */
  submit(staged: readonly AioHandle[], count: number): number {
    const ring = this.ring;
    const isAlone = count === 1 && ring.outstanding === 0 &&
      this.#cachedReads.isCandidate(staged[0]!);
    if (isAlone && this.#cachedReads.tryPerform(staged[0]!)) return 1;
    this.#bytes = 0;
    let first = 0;
    let room = ring.room;
    for (let i = 0; i < count; i++, room--) {
      if (room <= 0) {
        this.#enter(staged, first, i);
        room = this.#makeRoom();
        first = i;
      }
      const handle = staged[i]!;
      this.#fill(handle);
      this.#backend.prepareSubmit(handle);
    }
    this.#enter(staged, first, count);
    const taken = ring.isReady ? this.#drain() : 0;
    if (isAlone) this.#cachedReads.learn(taken > 0);
    return count;
  }

  /** The kernel has all it may have at once: nothing is lost if one waits for it. */
  #makeRoom(): number {
    while (this.ring.room <= 0) {
      if (this.#drain() === 0) this.#sleepOnRing();
    }
    return this.ring.room;
  }

  #fill(handle: AioHandle): void {
    const words = this.#words;
    const { base } = handle;
    const { sqes } = this.ring;
    const at = this.ring.nextEntry();
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
    const { sqes } = this.ring;
    const count = words[base + HANDLE.iovecLength]!;
    this.#bytes += words[base + HANDLE.length]!;
    let flags = this.#bytes > this.#inlineBytesMax ? SQE_ASYNC : 0;
    const number = this.#files === null ? -1 : this.#files.numberOf(words, base);
    if (number >= 0) {
      flags |= SQE_FIXED_FILE;
      sqes[at + SQE_WORDS.fd] = number;
    }
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
    const { fixedBytes } = this.ring;
    if (fixedBytes === 0) return false;
    const offset = fromWords(low, high) - this.#backend.arena.address;
    return offset >= 0 && offset + length <= fixedBytes;
  }

  #fillFlush(at: number, opcode: number, length: number, operationFlags: number): void {
    const { sqes } = this.ring;
    sqes[at + SQE_WORDS.addressLow] = 0;
    sqes[at + SQE_WORDS.addressHigh] = 0;
    sqes[at + SQE_WORDS.length] = length;
    sqes[at + SQE_WORDS.operationFlags] = operationFlags;
    sqes[at + SQE_WORDS.opcode] = opcode;
  }

  /** Hands the filled entries to the kernel; those that it will not have are executed here. */
  #enter(staged: readonly AioHandle[], first: number, end: number): void {
    const ring = this.ring;
    ring.publish();
    for (let attempts = 0; ring.filled > 0; attempts++) {
      const result = this.#calls.enter(ring.fd, ring.filled, 0, 0);
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
      const taken = this.#drain();
      if (taken === 0 && attempts >= ATTEMPTS_AT_ONCE) sleepMs(ATTEMPT_PAUSE_MS);
    }
  }

  /** See `IoMethod.cancelOne`. Without room it is left to end by itself. */
  cancel(handle: AioHandle): void {
    const ring = this.ring;
    if (ring.room <= 0) this.#drain();
    // It may be over by now.
    const { words, base } = handle;
    if (ring.room <= 0 || words[base + HANDLE.state] !== SUBMITTED) return;
    askCancel(handle);
    ring.fillCancel(handle.index, words[base + HANDLE.generationLow]!);
    ring.publish();
    for (let attempts = 0; ring.filled > 0 && attempts < CANCEL_ATTEMPTS_MAX; attempts++) {
      const result = this.#calls.enter(ring.fd, ring.filled, 0, 0);
      if (result > 0) ring.noteSubmitted(result);
    }
    ring.takeBack();
  }

  #performRest(staged: readonly AioHandle[], first: number, end: number): void {
    const rest = this.ring.filled;
    this.ring.takeBack();
    for (let i = Math.max(first, end - rest); i < end; i++) {
      this.#backend.counters[COUNTER.synchronousByMethod]!++;
      this.#backend.performSynchronously(staged[i]!);
    }
  }

  /** See `IoMethod.waitOne`. */
  wait(handle: AioHandle): void {
    const { id } = this.#backend;
    if (handle.backendId !== id) this.#completions.check(handle);
    else if (this.#drain() === 0) {
      this.#sleepOnRing();
      this.#drain();
    }
  }

  #sleepOnRing(): void {
    this.#pollfd[POLLFD_WORDS.fd] = this.ring.fd;
    this.#pollfd[POLLFD_WORDS.events] = POLLIN;
    const timeoutMs = this.#backend.hasOthers ? WAIT_SLICE_MS : WAIT_ALONE_MS;
    this.#backend.libc.poll(this.#pollfdBytes, 1, timeoutMs);
  }

  /** Takes what is left of the own ring, with nothing of interest in it, and lets go of it. */
  finish(): void {
    while (this.ring.outstanding > 0) {
      if (this.#drain() === 0) this.#sleepOnRing();
    }
    this.#completions.letGo(this.#backend.id);
    for (const pinned of this.#pinned) pinned.release();
  }
}
