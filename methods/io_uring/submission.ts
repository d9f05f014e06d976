/**
 * io_uring/submission.ts: how a backend hands IOs to its ring, and waits for them.
 *
 * @module
 */

import * as counting from "../../core/io/counters.ts";
import type { AioHandle } from "../../core/io/handle.ts";
import * as flags from "../../core/io/handle_flag.ts";
import { SUBMITTED } from "../../core/memory/handle_state.ts";
import { type MethodBackend, SUBMIT_BATCH_COUNT_MAX } from "../../core/io/method.ts";
import * as table from "../../core/io/operation_table.ts";
import type { OperationCode } from "../../core/io/operation_table.ts";
import { CHECK_ALIVE_MS, LOOK_AGAIN_MS } from "../../core/base/pauses.ts";
import { PinnedMemory } from "../../core/memory/pinned_memory.ts";
import * as layout from "../../core/memory/shared_memory.ts";
import { ECANCELED, errnoName, errnoText } from "../../ffi/errno.ts";
import * as system from "../../ffi/layout.ts";
import { POLLFD_WORDS, SYNC_FILE_RANGE_WRITE } from "../../ffi/layout.ts";
import * as addresses from "../../ffi/memory.ts";
import type { UringCalls } from "../../ffi/uring_calls.ts";
import * as uring from "../../ffi/uring_layout.ts";
import { FSYNC_DATASYNC } from "../../ffi/uring_layout.ts";
import { isBufferedRead } from "../../core/io/cached_read.ts";
import { isPassing, UringBacklog } from "./backlog.ts";
import { CachedReads } from "./cached_reads.ts";
import { askCancel, type UringCompletions } from "./completion.ts";
import { RingFiles } from "./files.ts";
import { SLOT, slotAt } from "./memory.ts";
import { Ring } from "./ring.ts";
import type { UringTuning } from "./tuning.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { COUNTER } = counting;
const { OP_FADVISE, OP_FALLOCATE, OP_FDATASYNC, OP_FLUSH_RANGE, OP_FSYNC } = table;
const { OP_READV, OP_WRITEV } = table;
const { FLAG_BITS, FUSE_BIT } = flags;
const { HANDLE } = layout;
const { IOVEC_WORDS } = system;
const { fromWords, highWord, lowWord, setPollfd } = addresses;
const { SQE_ASYNC, SQE_FIXED_FILE, SQE_WORDS, URING_OP } = uring;

/** Attempts of a submit that is interrupted or finds the kernel short of something. */
const SUBMIT_ATTEMPTS_MAX = 10;
/** The same of a cancel, which may as well not happen. */
const CANCEL_ATTEMPTS_MAX = 10;
/**
 * With so many IOs in the kernel, further reads through the page cache are left to its threads:
 * their read-ahead waits for a place in the queue of the device, which a device that hangs gives to
 * nobody.
 */
const INLINE_READS_MAX = 64;

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
   * The kernel keeps writing after this thread is terminated; this holds the memory in case no
   * other thread does.
   */
  readonly #pinned: readonly PinnedMemory[];
  readonly #backlog = new UringBacklog();
  /** Bytes of the submit that is being filled. */
  #bytes = 0;
  /** Whether the kernel has much to do already, when the submit begins. */
  #isCrowded = false;

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
    completions.again = (handle) => this.#doAgain(handle);
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
    this.#begin();
    const room = this.#backlog.count > 0 ? 0 : Math.min(count, ring.room);
    for (let i = 0; i < count; i++) {
      const handle = staged[i]!;
      if (i < room) this.#fill(handle);
      else this.#backlog.append(handle);
      this.#backend.prepareSubmit(handle);
    }
    const left = this.#enter();
    if (left > 0) this.#backlog.putBack(staged, room - left, room);
    const taken = ring.isReady ? this.#drain() : 0;
    if (isAlone) this.#cachedReads.learn(taken > 0);
    if (this.#backlog.count > 0) this.#goOn();
    return count;
  }

  #begin(): void {
    this.#bytes = 0;
    this.#isCrowded = this.ring.outstanding >= INLINE_READS_MAX;
  }

  /**
   * Hands over what is left, as far as it goes now, and sees to it that the rest is not forgotten.
   */
  #goOn(): void {
    this.#refill();
    if (this.#backlog.count > 0) this.#backend.keepLooking();
  }

  #refill(): void {
    const { ring } = this;
    const backlog = this.#backlog;
    while (backlog.count > 0) {
      this.#drain();
      const count = Math.min(backlog.count, ring.room, SUBMIT_BATCH_COUNT_MAX);
      if (count <= 0) return;
      this.#begin();
      for (let i = 0; i < count; i++) this.#fill(backlog.handles[i]!);
      const left = this.#enter();
      backlog.drop(count - left);
      if (left > 0) return;
    }
  }

  /** The kernel has given up an own IO, unasked. If it does so twice, that is the outcome. */
  #doAgain(handle: AioHandle): void {
    askCancel(handle);
    this.#backlog.append(handle);
    this.#backend.keepLooking();
  }

  /** See `IoMethod.checkOne`. */
  check(handle: AioHandle): void {
    this.#completions.check(handle, false);
    if (this.#backlog.count === 0 || handle.backendId !== this.#backend.id) return;
    this.#refill();
    const { failure } = this.#backlog;
    if (failure !== 0) this.#failAll(failure);
  }

  /** See `IoMethod.sleepMsMax`. Nothing tells that the kernel would take what it has refused. */
  get sleepMsMax(): number {
    return this.#backlog.isRefused ? LOOK_AGAIN_MS : Infinity;
  }

  /** Ends what the kernel will not have: this thread may not wait for it, let alone execute it. */
  #failAll(failure: number): void {
    const backlog = this.#backlog;
    const { count } = backlog;
    if (count === 0) return;
    while (backlog.count > 0) {
      const handle = backlog.handles[0]!;
      backlog.drop(1);
      this.#backend.processCompletion(handle, failure);
    }
    // Only now: the hook may wait for IO of this thread, also for these.
    this.#backend.warn(
      `Cannot submit to io_uring, so ${count} IOs fail: ${errnoName(-failure)}, ` +
        errnoText(-failure),
    );
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
    const operation = words[base + HANDLE.operation] as OperationCode;
    switch (operation) {
      case OP_READV:
        this.#fillTransfer(handle, at, URING_OP.read, URING_OP.readFixed, URING_OP.readv);
        break;
      case OP_WRITEV:
        this.#fillTransfer(handle, at, URING_OP.write, URING_OP.writeFixed, URING_OP.writev);
        break;
      case OP_FSYNC:
        this.#fillPlain(at, URING_OP.fsync, 0, 0);
        break;
      case OP_FDATASYNC:
        this.#fillPlain(at, URING_OP.fsync, 0, FSYNC_DATASYNC);
        break;
      case OP_FLUSH_RANGE:
        this.#fillPlain(
          at,
          URING_OP.syncFileRange,
          shortLength(words, base),
          SYNC_FILE_RANGE_WRITE,
        );
        break;
      case OP_FALLOCATE:
        this.#fillPlain(at, URING_OP.fallocate, words[base + HANDLE.argumentFlags]!, 0);
        sqes[at + SQE_WORDS.addressLow] = words[base + HANDLE.argumentLow]!;
        sqes[at + SQE_WORDS.addressHigh] = words[base + HANDLE.argumentHigh]!;
        break;
      case OP_FADVISE:
        this.#fillPlain(
          at,
          URING_OP.fadvise,
          shortLength(words, base),
          words[base + HANDLE.argumentFlags]!,
        );
        break;
      default:
        this.#fillUnknown(at, operation);
    }
  }

  /**
   * Of an operation that has no case above: the compiler refuses that, and if it comes to run all
   * the same the kernel does. Without this the entry would be that of an older IO.
   */
  #fillUnknown(at: number, _operation: never): void {
    this.#fillPlain(at, URING_OP.unknown, 0, 0);
  }

  #fillTransfer(handle: AioHandle, at: number, one: number, fixed: number, many: number): void {
    const words = this.#words;
    const { base } = handle;
    const iovecAt = handle.iovec.at;
    const { sqes } = this.ring;
    const count = words[base + HANDLE.iovecLength]!;
    sqes[at + SQE_WORDS.operationFlags] = words[base + HANDLE.argumentFlags]!;
    this.#bytes += words[base + HANDLE.length]!;
    const isLong = this.#bytes > this.#inlineBytesMax;
    const isSlow = isLong || (words[base + HANDLE.flags]! & FUSE_BIT) !== 0;
    let flags = isSlow || (this.#isCrowded && isBufferedRead(handle)) ? SQE_ASYNC : 0;
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

  /** Of an operation without buffers. */
  #fillPlain(at: number, opcode: number, length: number, operationFlags: number): void {
    const { sqes } = this.ring;
    sqes[at + SQE_WORDS.addressLow] = 0;
    sqes[at + SQE_WORDS.addressHigh] = 0;
    sqes[at + SQE_WORDS.length] = length;
    sqes[at + SQE_WORDS.operationFlags] = operationFlags;
    sqes[at + SQE_WORDS.opcode] = opcode;
  }

  /**
   * Hands the filled entries to the kernel.
   *
   * @returns how many of them, the last, it does not take now
   */
  #enter(): number {
    const ring = this.ring;
    if (ring.filled === 0) return 0;
    ring.publish();
    for (let failures = 0; ring.filled > 0;) {
      const result = this.#calls.enter(ring.fd, ring.filled, 0, 0);
      if (result > 0) {
        ring.noteSubmitted(result);
        this.#backlog.noteTaken();
        continue;
      }
      if (!isPassing(result) || ++failures > SUBMIT_ATTEMPTS_MAX) {
        const left = ring.filled;
        ring.takeBack();
        this.#backlog.noteRefused(result);
        return left;
      }
      this.#backend.counters[COUNTER.retries]!++;
      this.#drain();
    }
    return 0;
  }

  /** See `IoMethod.cancelOne`. Without room it is left to end by itself. */
  cancel(handle: AioHandle): void {
    const ring = this.ring;
    if (this.#backlog.remove(handle)) return this.#backend.processCompletion(handle, -ECANCELED);
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

  /** For a thread that blocks for the IO anyway. */
  #performHere(handle: AioHandle): void {
    const { words, base } = handle;
    words[base + HANDLE.flags]! |= FLAG_BITS.synchronous;
    this.#backend.counters[COUNTER.synchronousByMethod]!++;
    this.#backend.performSynchronously(handle);
  }

  /** See `IoMethod.waitOne`. */
  wait(handle: AioHandle): void {
    const { id } = this.#backend;
    if (handle.backendId !== id) this.#completions.check(handle, true);
    else if (this.#drain() === 0) {
      if (this.#backlog.count > 0) this.#refill();
      if (this.#backlog.remove(handle)) return this.#performHere(handle);
      this.#sleepOnRing();
      this.#drain();
    }
  }

  #sleepOnRing(): void {
    setPollfd(this.#pollfd, 0, this.ring.fd);
    // Another thread may take the completion out of the ring, or the IO over.
    const timeoutMs = this.#backend.hasOthers ? LOOK_AGAIN_MS : CHECK_ALIVE_MS;
    this.#backend.counters[COUNTER.blockingSleeps]!++;
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

/**
 * The length of a range to be written back, or advised on, in the 32 bits that an entry has for it:
 * for advice newer kernels have 64, which older ones refuse. 0 is what is too long for them: it
 * means to the end of the file, so that more is written back or meant, never less.
 */
function shortLength(words: Int32Array, base: number): number {
  return words[base + HANDLE.argumentHigh] === 0 ? words[base + HANDLE.argumentLow]! : 0;
}
