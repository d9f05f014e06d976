/**
 * linux_aio/submission.ts: how a backend hands its direct transfers and its flushes to the kernel,
 * and waits for them; whatever else there is goes to the pool of IO Workers.
 *
 * Each transfer says that the submit may wait for nothing (`RWF_NOWAIT`): the kernel refuses what
 * it cannot begin at once, such as a write that makes the file longer, and the pool executes that.
 * The kernel copies entries and iovecs in the submit, and holds the pages of buffers by itself, so
 * nothing of this has to be kept if the thread is terminated.
 *
 * @module
 */

import { CHECK_ALIVE_MS, LOOK_AGAIN_MS } from "../../core/base/pauses.ts";
import * as counting from "../../core/io/counters.ts";
import type { AioHandle } from "../../core/io/handle.ts";
import * as flags from "../../core/io/handle_flag.ts";
import { type IoMethod, type MethodBackend, SUBMIT_BATCH_COUNT_MAX } from "../../core/io/method.ts";
import * as table from "../../core/io/operation_table.ts";
import * as states from "../../core/memory/handle_state.ts";
import * as layout from "../../core/memory/shared_memory.ts";
import * as system from "../../ffi/layout.ts";
import type { LinuxAioCalls } from "../../ffi/linux_aio_calls.ts";
import * as structs from "../../ffi/linux_aio_layout.ts";
import * as addresses from "../../ffi/memory.ts";
import { bringIn, leaveOutside, lookAfterPool } from "../worker.ts";
import type { LinuxAioCompletions } from "./completions.ts";
import { contextOf, endContexts, letGoOfContext, takeContext } from "./context.ts";
import { isMarkedInKernel, markInKernel, SLOT, slotAt, unmarkInKernel } from "./memory.ts";
import { contextReason } from "./probe.ts";
import { Refusals } from "./refusals.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { COUNTER } = counting;
const { FLAG_BITS, FUSE_BIT } = flags;
const { OP_FDATASYNC, OP_FSYNC, OP_READV, OP_WRITEV } = table;
const { SUBMITTED } = states;
const { HANDLE } = layout;
const { IOVEC_WORDS, POLLFD_WORDS, RWF_NOWAIT } = system;
const { IOCB_COMMAND, IOCB_FLAG_EVENTFD, IOCB_WORDS } = structs;
const { highWord, lowWord, setPollfd } = addresses;

const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;
const POINTER_BYTES = 8;
const NO_EVENT_FD = -1;

/** What one backend hands to the kernel. */
export class LinuxAioSubmission {
  readonly #backend: MethodBackend;
  readonly #calls: LinuxAioCalls;
  readonly #completions: LinuxAioCompletions;
  readonly #pool: IoMethod;
  /** Transfers with one of these go to the pool. */
  readonly #flagsOfPool: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #slot: number;
  readonly #controlAddress: number;
  readonly #refusals: Refusals;
  /** The entries of one submit; the kernel copies them. */
  readonly #entries = new Int32Array(SUBMIT_BATCH_COUNT_MAX * IOCB_WORDS.size);
  /** Their addresses, and what is left of the list behind each. */
  readonly #list = new BigUint64Array(SUBMIT_BATCH_COUNT_MAX);
  readonly #lists: Uint8Array<ArrayBuffer>[];
  /** What goes to the kernel, and what to the pool. They grow, but are never emptied. */
  readonly #forKernel: AioHandle[] = [];
  readonly #forPool: AioHandle[] = [];
  readonly #pollfd: Int32Array<SharedArrayBuffer>;
  readonly #pollfdBytes: Uint8Array<SharedArrayBuffer>;
  /** What a read of the eventfd says: how often the kernel wrote to it, once for each IO. */
  readonly #counter = new Int32Array(2);
  readonly #counterBytes = new Uint8Array(this.#counter.buffer);
  /** How often it did so, of which this thread has read; wraps around as what was handed over. */
  #signals = 0;
  /** Null: there is none yet, or none to be had. */
  #context: bigint | null = null;
  #hasFailed = false;
  /** Whether completions may be there of which the eventfd says nothing any more. */
  #mustLook = false;

  /**
   * For a backend.
   *
   * @param backend whose it is
   * @param calls of the system
   * @param completions takes what the kernel has done
   * @param pool the method that executes the rest
   * @param takesBuffered whether transfers of the page cache are no part of that rest
   */
  constructor(
    backend: MethodBackend,
    calls: LinuxAioCalls,
    completions: LinuxAioCompletions,
    pool: IoMethod,
    takesBuffered: boolean,
  ) {
    const { control, libc, id } = backend;
    this.#backend = backend;
    this.#calls = calls;
    this.#completions = completions;
    this.#pool = pool;
    // A server of FUSE would be waited for within the submit.
    this.#flagsOfPool = takesBuffered ? FUSE_BIT : FUSE_BIT | FLAG_BITS.buffered;
    this.#words = control.words;
    this.#slot = slotAt(control, id);
    this.#controlAddress = libc.addressOf(control.bytes);
    this.#refusals = new Refusals(backend);
    completions.learn = (handle, isRefused) => this.#refusals.note(handle, isRefused);
    const entries = libc.addressOf(new Uint8Array(this.#entries.buffer));
    this.#lists = Array.from(this.#list, (_, i) => {
      this.#list[i] = BigInt(entries + i * IOCB_WORDS.size * WORD_BYTES);
      return new Uint8Array(this.#list.buffer, i * POINTER_BYTES);
    });
    const pollfdAt = (this.#slot + SLOT.pollfd) * WORD_BYTES;
    this.#pollfd = new Int32Array(control.buffer, pollfdAt, POLLFD_WORDS.size);
    this.#pollfdBytes = new Uint8Array(control.buffer, pollfdAt, this.#pollfd.byteLength);
  }

  /** See `IoMethod.pollFd`. */
  pollFd(): number {
    // Unread, it would end each sleep at once, for as long as the pool has IO.
    if (this.#isSignalDue && !this.#hasOutstanding) this.#readSignals();
    return this.#eventFd;
  }

  /** Can be read when IO in the kernel may be done; -1: none was ever there. */
  get #eventFd(): number {
    return this.#context === null ? NO_EVENT_FD : this.#words[this.#slot + SLOT.eventFd]!;
  }

  /** Whether completions are to be looked for before this thread sleeps. */
  get hasCompletions(): boolean {
    return this.#mustLook && this.#hasOutstanding;
  }

  /**
   * Whether any own IO is in the kernel, or was and nobody has taken it back. A thread that died
   * may have taken some without counting them: then this says so once too often.
   */
  get #hasOutstanding(): boolean {
    const words = this.#words;
    return words[this.#slot + SLOT.submitted] !== Atomics.load(words, this.#slot + SLOT.taken);
  }

  /**
   * Whether the kernel has still to write to the eventfd, or has done so unread: it does that after
   * it has given out the completion, which may have been taken before.
   */
  get #isSignalDue(): boolean {
    const submitted = this.#words[this.#slot + SLOT.submitted]!;
    return this.#context !== null && (submitted - this.#signals | 0) > 0;
  }

  /** See `IoMethod.submit`. */
  submit(staged: readonly AioHandle[], count: number): number {
    let kernelCount = 0;
    let poolCount = 0;
    for (let i = 0; i < count; i++) {
      const handle = staged[i]!;
      if (this.#isForKernel(handle)) this.#forKernel[kernelCount++] = handle;
      else {
        unmarkInKernel(this.#words, handle.base);
        this.#forPool[poolCount++] = handle;
      }
    }
    if (kernelCount > 0) this.#submitToKernel(kernelCount);
    if (poolCount > 0) this.#pool.submit(this.#backend, this.#forPool, poolCount);
    return count;
  }

  #isForKernel(handle: AioHandle): boolean {
    const { words, base } = handle;
    if (!this.#isKind(words[base + HANDLE.operation]!, words[base + HANDLE.flags]!)) return false;
    return !this.#backend.completesHere && this.#refusals.isToTry(handle) && this.#hasContext();
  }

  #isKind(operation: number, flags: number): boolean {
    if (operation === OP_FSYNC || operation === OP_FDATASYNC) return true;
    return (operation === OP_READV || operation === OP_WRITEV) && (flags & this.#flagsOfPool) === 0;
  }

  #hasContext(): boolean {
    if (this.#context !== null) return true;
    if (this.#hasFailed) return false;
    const result = takeContext(this.#backend, this.#calls);
    if (result < 0) {
      this.#hasFailed = true;
      this.#warnLater(contextReason(this.#backend.libc, -result));
      return false;
    }
    this.#context = contextOf(this.#backend.control, this.#slot);
    // What the thread that had it before has not read says nothing about this one's IO.
    this.#readSignals();
    this.#signals = 0;
    // The thread that had it before may have died with completions untold.
    this.#mustLook = true;
    // A sleep that is under way does not know of the eventfd.
    this.#backend.doorbells.ring(this.#backend.id);
    return true;
  }

  /** Once the submit is over: the user's hook may start IO, or wait for some. */
  #warnLater(reason: string): void {
    queueMicrotask(() =>
      this.#backend.warn(`IO Workers execute direct I/O and flushes of this thread, too: ${reason}`)
    );
  }

  #submitToKernel(count: number): void {
    const words = this.#words;
    // From here on: if this thread ends, whoever reaps it cannot know what the kernel has.
    Atomics.store(words, this.#slot + SLOT.isSubmitting, 1);
    for (let i = 0; i < count; i++) {
      const handle = this.#forKernel[i]!;
      this.#fill(i * IOCB_WORDS.size, handle);
      markInKernel(words, handle.base);
      this.#backend.prepareSubmit(handle);
    }
    const submittedAt = this.#slot + SLOT.submitted;
    words[submittedAt] = words[submittedAt]! + count | 0;
    for (let done = 0; done < count;) {
      const result = this.#calls.submit(this.#context!, count - done, this.#lists[done]!);
      if (result > 0) done += result;
      else this.#leaveToPool(this.#forKernel[done++]!);
    }
    Atomics.store(words, this.#slot + SLOT.isSubmitting, 0);
  }

  /** The kernel does not have this one; if it cannot be executed at all, the pool hears why. */
  #leaveToPool(handle: AioHandle): void {
    const words = this.#words;
    const submittedAt = this.#slot + SLOT.submitted;
    words[submittedAt] = words[submittedAt]! - 1 | 0;
    this.#refusals.note(handle, true);
    leaveOutside(this.#backend, handle);
    unmarkInKernel(words, handle.base);
    bringIn(this.#backend);
  }

  #fill(at: number, handle: AioHandle): void {
    const words = this.#words;
    const entries = this.#entries;
    const { base } = handle;
    entries[at + IOCB_WORDS.dataLow] = handle.index + 1;
    entries[at + IOCB_WORDS.dataHigh] = words[base + HANDLE.generationLow]!;
    entries[at + IOCB_WORDS.fd] = words[base + HANDLE.fd]!;
    entries[at + IOCB_WORDS.flags] = IOCB_FLAG_EVENTFD;
    entries[at + IOCB_WORDS.eventFd] = words[this.#slot + SLOT.eventFd]!;
    const operation = words[base + HANDLE.operation];
    if (operation === OP_READV || operation === OP_WRITEV) {
      const isOne = words[base + HANDLE.iovecLength] === 1;
      const { read, readv, write, writev } = IOCB_COMMAND;
      const command = operation === OP_READV ? (isOne ? read : readv) : (isOne ? write : writev);
      entries[at + IOCB_WORDS.command] = command;
      entries[at + IOCB_WORDS.transferFlags] = words[base + HANDLE.argumentFlags]! | RWF_NOWAIT;
      entries[at + IOCB_WORDS.offsetLow] = words[base + HANDLE.offsetLow]!;
      entries[at + IOCB_WORDS.offsetHigh] = words[base + HANDLE.offsetHigh]!;
      this.#fillBuffers(at, handle, isOne);
      return;
    }
    entries[at + IOCB_WORDS.command] = operation === OP_FSYNC
      ? IOCB_COMMAND.fsync
      : IOCB_COMMAND.fdatasync;
    // The kernel wants all else to be 0 here.
    entries.fill(0, at + IOCB_WORDS.bufferLow, at + IOCB_WORDS.flags);
    entries[at + IOCB_WORDS.transferFlags] = 0;
  }

  #fillBuffers(at: number, handle: AioHandle, isOne: boolean): void {
    const words = this.#words;
    const entries = this.#entries;
    const iovecAt = handle.iovec.at;
    if (isOne) {
      entries[at + IOCB_WORDS.bufferLow] = words[iovecAt + IOVEC_WORDS.baseLow]!;
      entries[at + IOCB_WORDS.bufferHigh] = words[iovecAt + IOVEC_WORDS.baseHigh]!;
      entries[at + IOCB_WORDS.lengthLow] = words[iovecAt + IOVEC_WORDS.lengthLow]!;
    } else {
      const address = this.#controlAddress + iovecAt * WORD_BYTES;
      entries[at + IOCB_WORDS.bufferLow] = lowWord(address);
      entries[at + IOCB_WORDS.bufferHigh] = highWord(address);
      entries[at + IOCB_WORDS.lengthLow] = words[handle.base + HANDLE.iovecLength]!;
    }
    entries[at + IOCB_WORDS.lengthHigh] = 0;
  }

  /** Takes what the kernel has done of the own IO. @returns how many */
  #take(): number {
    if (!this.#hasOutstanding) return 0;
    // Read before the completions are taken: what comes later writes to it again.
    const hasNews = this.#readSignals();
    if (!hasNews && !this.#mustLook) return 0;
    const count = this.#completions.take(this.#backend.id);
    this.#mustLook = count < 0;
    return Math.max(0, count);
  }

  /** @returns whether the kernel has written to the eventfd since the last time */
  #readSignals(): boolean {
    if (this.#backend.libc.read(this.#eventFd, this.#counterBytes) <= 0) return false;
    this.#signals = this.#signals + this.#counter[0]! | 0;
    return true;
  }

  /** See `IoMethod.checkOne`. */
  check(handle: AioHandle): void {
    const isOwn = handle.backendId === this.#backend.id;
    if (isOwn) this.#take();
    else if (this.#isInKernel(handle)) this.#completions.take(handle.backendId);
    if (this.#isInPool(handle)) this.#pool.checkOne!(this.#backend, handle);
    else if (isOwn) lookAfterPool(this.#backend);
  }

  /** See `IoMethod.waitOne`. */
  wait(handle: AioHandle, generation: number): void {
    if (this.#isInPool(handle)) {
      if (handle.backendId === this.#backend.id) this.#take();
      if (this.#isInPool(handle)) this.#pool.waitOne!(this.#backend, handle, generation);
    } else if (handle.backendId !== this.#backend.id) this.#completions.take(handle.backendId);
    else if (this.#take() === 0) {
      // Any own IO may be the one that is waited for.
      lookAfterPool(this.#backend);
      this.#sleep();
      this.#take();
    }
  }

  #isInKernel({ words, base }: AioHandle): boolean {
    return isMarkedInKernel(words, base);
  }

  #isInPool(handle: AioHandle): boolean {
    const { words, base } = handle;
    return Atomics.load(words, base + HANDLE.state) === SUBMITTED && !this.#isInKernel(handle);
  }

  #sleep(): void {
    setPollfd(this.#pollfd, 0, this.#eventFd);
    // Another thread may take the completion.
    const timeoutMs = this.#backend.hasOthers ? LOOK_AGAIN_MS : CHECK_ALIVE_MS;
    this.#backend.counters[COUNTER.blockingSleeps]!++;
    this.#backend.libc.poll(this.#pollfdBytes, 1, timeoutMs);
  }

  /** See `IoMethod.cancelOne`. What the kernel has ends by itself. */
  cancel(handle: AioHandle): void {
    if (this.#isInPool(handle)) this.#pool.cancelOne!(this.#backend, handle);
  }

  /** Lets go of the context, with nothing in it; the end of the Aio ends those of others, too. */
  async finish(): Promise<void> {
    const ended = letGoOfContext(this.#backend, this.#backend.id);
    this.#context = null;
    await endContexts(this.#backend, this.#calls, ended);
  }
}
