/**
 * handle.ts: one IO being prepared, and a view of it afterwards.
 *
 * A handle is acquired (`aio.acquire()`), given a target, callbacks and buffers, and started, which
 * consumes it: from then on the IO is known by its wait reference. Objects are made once for each
 * record in shared memory and used again and again, so a handle may not be kept after its start.
 *
 * @module
 */

import * as addresses from "../../ffi/memory.ts";
import * as callbacks from "./callback.ts";
import {
  type CallbackHandle,
  type CallbackTable,
  loadHandleData,
  type OperationData,
} from "./callback.ts";
import * as flags from "./handle_flag.ts";
import { flagBit, type HandleFlag } from "./handle_flag.ts";
import * as states from "../memory/handle_state.ts";
import { type HandleState, STATE_NAMES } from "../memory/handle_state.ts";
import { INSPECT } from "../base/inspect.ts";
import { Iovec } from "./iovec.ts";
import type { MemoryMap } from "../memory/memory_map.ts";
import * as operations from "./operation.ts";
import type { Operands } from "./operation.ts";
import * as table from "./operation_table.ts";
import {
  OPERATION_NAMES,
  OPERATION_ROWS,
  type OperationName,
  type OperationRow,
  OPERATIONS,
  type StartedName,
} from "./operation_table.ts";
import {
  refuseCallbacks,
  refuseHandleData,
  refuseHandleDatum,
  refuseIncomplete,
  refuseLocalMemory,
  refuseState,
  refuseTarget,
  refuseTargetWord,
} from "./refusals.ts";
import * as results from "./result.ts";
import * as layout from "../memory/shared_memory.ts";
import type { Control } from "../memory/shared_memory.ts";
import type { TargetTable } from "./target.ts";
import type { WaitRef } from "./wait_ref.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { fromWords, highWord, lowWord } = addresses;
const { CALLBACKS_MAX } = callbacks;
const { FLAG_BITS } = flags;
const { HANDED_OUT, STAGED } = states;
const { checkOperands, checkPosition, checkTransfer, defineArguments, defineOperation } =
  operations;
const { rangeIn, rowNamed } = operations;
const { OP_READV, OP_WRITEV } = table;
const { TARGET_DATA_WORDS } = results;
const { HANDLE } = layout;

/** When a started IO goes to the method. */
export interface StartOptions {
  /**
   * `"now"` (default): in the start call, unless a batch is open. `"endOfTurn"`: with all others
   * of this turn of the event loop, by one microtask.
   */
  readonly submit?: "now" | "endOfTurn";
}

/** The owner that a handle is charged to until it is reclaimed. */
export interface HandleOwner {
  /** The handle was acquired for this owner. */
  remember(handle: AioHandle): void;
  /** The handle was reclaimed. */
  forget(handle: AioHandle): void;
}

/** What a handle needs of the backend that made it. */
export interface HandleHost {
  /** Shared memory. */
  readonly control: Control;
  /** This thread's backend. */
  readonly id: number;
  /** The callbacks by id. */
  readonly callbacks: CallbackTable;
  /** The targets by id. */
  readonly targets: TargetTable;
  /** The memory that IO may use. */
  readonly memory: MemoryMap;
  /** Throws if the call may not be made now: from a callback, or after `close()`. */
  checkUsable(call: string): void;
  /** Takes over a handle whose operation is defined. */
  stage(handle: AioHandle, submitAtEndOfTurn: boolean): void;
  /** Takes back a handle that was not started. */
  releaseHandle(handle: AioHandle): void;
}

/** Makes the object for a record in shared memory. */
export let makeHandle: (host: HandleHost, index: number) => AioHandle;

/**
 * One IO, from `aio.acquire()`: given a target, callbacks and buffers, then started, which consumes
 * it.
 */
export class AioHandle implements CallbackHandle {
  /** The number of the handle, in all backends. */
  readonly index: number;
  /** The backend whose handle it is. */
  readonly backendId: number;
  /**
   * Where its record is, in words of the control memory. For methods.
   *
   * @ignore
   */
  readonly base: number;
  /**
   * Its memory. For methods.
   *
   * @ignore
   */
  readonly iovec: Iovec;
  /**
   * The control memory. For methods.
   *
   * @ignore
   */
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly #host: HandleHost;

  /** @ignore */
  private constructor(host: HandleHost, index: number) {
    const { control } = host;
    this.#host = host;
    this.index = index;
    this.backendId = Math.floor(index / control.handlesPerBackend);
    this.words = control.words;
    this.base = control.handleAt(index);
    this.iovec = new Iovec(control, index, host.memory);
  }

  static {
    makeHandle = (host, index) => new AioHandle(host, index);
  }

  /** The number of the handle; the same as `index`. */
  get id(): number {
    return this.index;
  }

  /** Where it is in its life. */
  get state(): HandleState {
    return STATE_NAMES[Atomics.load(this.words, this.base + HANDLE.state)]!;
  }

  /** What it does; `"invalid"` until it is started. */
  get operation(): OperationName {
    return OPERATION_NAMES[this.words[this.base + HANDLE.operation]!]!;
  }

  /** With what it does it. */
  get operationData(): OperationData {
    const { words, base } = this;
    // What the operation does not have is what the handle's last use has left.
    const row = OPERATION_ROWS[words[base + HANDLE.operation]!] ?? null;
    const range = rangeIn(words, base);
    return {
      fd: row === null ? 0 : words[base + HANDLE.fd]!,
      offset: range?.offset ?? 0,
      length: range?.length ?? this.length,
      flags: row !== null && row.hasFlags ? words[base + HANDLE.argumentFlags]! >>> 0 : 0,
      iovecLength: words[base + HANDLE.iovecLength]!,
    };
  }

  /** Bytes of the buffers; 0 without any. */
  get length(): number {
    const { words, base } = this;
    return words[base + HANDLE.iovecLength] === 0 ? 0 : words[base + HANDLE.length]!;
  }

  /** Whether a target was set. */
  get hasTarget(): boolean {
    return this.words[this.base + HANDLE.target] !== 0;
  }

  /** The name of what it is about; `"invalid"` until it is set. */
  get targetName(): string {
    return this.#host.targets.nameOf(this.words[this.base + HANDLE.target]!);
  }

  /** Whether it is about an open file: its target's words are those of the target `file`. */
  get isOnFile(): boolean {
    return this.#host.targets.isFile(this.words[this.base + HANDLE.target]!);
  }

  /** A copy of the target's six words. */
  get targetData(): Int32Array {
    const at = this.base + HANDLE.targetData;
    return this.words.slice(at, at + TARGET_DATA_WORDS);
  }

  /** What it is about, in words. */
  describeTarget(): string {
    return this.#host.targets.describe(this.words[this.base + HANDLE.target]!, this.targetData);
  }

  /** One line for `console.log(handle)`: `AioHandle 12 (readv on file, submitted)`. */
  [INSPECT](): string {
    const { operation } = this;
    const what = operation === "invalid" ? "" : `${operation} on ${this.targetName}, `;
    return `AioHandle ${this.index} (${what}${this.state})`;
  }

  /**
   * Gives the handle back unused. State before: handedOut; after: idle.
   *
   * @throws {AioApiError} `release in unexpected state` if it is not the one handed out
   */
  release(): void {
    this.#host.checkUsable("release");
    this.#host.releaseHandle(this);
  }

  /**
   * Adds a flag. State: handedOut.
   *
   * @throws {RangeError} for an unknown flag
   */
  setFlag(flag: HandleFlag): void {
    this.#checkHandedOut("setFlag");
    this.words[this.base + HANDLE.flags]! |= flagBit(flag);
  }

  /**
   * Names this use of the handle, to wait for it. State: handedOut, defined or staged.
   *
   * @param into filled and returned, if given: saves an object per IO
   * @throws {AioApiError} in any other state: after the start it may be another IO already
   */
  waitRef(into?: WaitRef): WaitRef {
    const { words, base } = this;
    const state = words[base + HANDLE.state]!;
    if (state < HANDED_OUT || state > STAGED) {
      refuseState("waitRef", this.index, state, "take the wait reference before the start");
    }
    const low = words[base + HANDLE.generationLow]!;
    const high = words[base + HANDLE.generationHigh]!;
    if (into === undefined) return { index: this.index, generation: fromWords(low, high) };
    into.index = this.index;
    // Apart, so that what is small stays an integer: a double is an object of its own.
    if (high === 0 && low >= 0) into.generation = low;
    else into.generation = fromWords(low, high);
    return into;
  }

  /**
   * Says what the IO is about. State: handedOut, once.
   *
   * @param id from `aio.targetId()`
   * @param data up to six 32-bit integers, whose meaning is the target's
   * @throws {RangeError} for an unknown target or data that does not fit
   * @throws {AioApiError} if it was set before
   */
  setTarget(id: number, data: ArrayLike<number> = []): void {
    this.#checkHandedOut("setTarget");
    const { words, base } = this;
    const count = data.length;
    if (
      words[base + HANDLE.target] !== 0 || !this.#host.targets.has(id) || count > TARGET_DATA_WORDS
    ) {
      refuseTarget(this.index, id, this.hasTarget ? this.targetName : "", count);
    }
    const at = base + HANDLE.targetData;
    for (let i = 0; i < count; i++) {
      const word = data[i]!;
      if (word !== (word | 0)) refuseTargetWord(i, word);
      words[at + i] = word;
    }
    for (let i = count; i < TARGET_DATA_WORDS; i++) words[at + i] = 0;
    words[base + HANDLE.target] = id;
  }

  /**
   * Adds a layer's callbacks; the last added runs first. State: handedOut, at most four times.
   *
   * @param id from `aio.callbackId()`
   * @param data handed to the callbacks, 0..255
   * @throws {RangeError} for an unknown callback, a fifth one, or data out of range
   */
  registerCallbacks(id: number, data = 0): void {
    this.#checkHandedOut("registerCallbacks");
    const { words, base } = this;
    const count = words[base + HANDLE.callbackCount]!;
    const isKnown = this.#host.callbacks.has(id);
    if (!isKnown || count >= CALLBACKS_MAX || !Number.isInteger(data) || data < 0 || data > 255) {
      refuseCallbacks(isKnown, id, count, data);
    }
    words[base + HANDLE.callbackIds + count] = id;
    words[base + HANDLE.callbackData + count] = data;
    words[base + HANDLE.callbackCount] = count + 1;
  }

  /**
   * Leaves numbers for the callbacks, such as which buffers the IO fills. State: handedOut, once.
   *
   * @param values 1..`ioMaxCombineLimit` integers from 0 to 2^53 - 1, or any 64-bit ones as a
   *   BigUint64Array
   * @throws {RangeError} if there are none, too many, or one does not fit
   * @throws {AioApiError} if they were set before
   */
  setHandleData(values: ArrayLike<number> | BigUint64Array): void {
    this.#checkHandedOut("setHandleData");
    const { words, base } = this;
    const { control } = this.#host;
    const { longs, iovecsPerHandle: limit } = control;
    const count = values.length;
    const isSet = words[base + HANDLE.handleDataLength] !== 0;
    if (isSet || !(count >= 1 && count <= limit)) refuseHandleData(this.index, isSet, count, limit);
    const at = control.handleDataAt(this.index);
    for (let i = 0; i < count; i++) {
      const value = values[i]!;
      if (typeof value === "bigint") longs[at / 2 + i] = value;
      else {
        if (!(Number.isSafeInteger(value) && value >= 0)) refuseHandleDatum(value);
        words[at + 2 * i] = lowWord(value);
        words[at + 2 * i + 1] = highWord(value);
      }
    }
    words[base + HANDLE.handleDataLength] = count;
  }

  /**
   * The numbers left for the callbacks. Any state but idle.
   *
   * @throws {RangeError} if one is beyond 2^53 - 1; {@linkcode handleData64} has those
   */
  handleData(): number[] {
    return Array.from(this.handleData64(), (value) => {
      if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
      throw new RangeError(`Cannot give handle data ${value} as a number: use handleData64()`);
    });
  }

  /** The numbers left for the callbacks, as 64-bit values. */
  handleData64(): BigUint64Array {
    const count = this.words[this.base + HANDLE.handleDataLength]!;
    return loadHandleData(this.#host.control, this.index, count);
  }

  /**
   * Says which memory to read into or write from. State: handedOut; a second call replaces the
   * first.
   *
   * @param buffers one view or up to `ioMaxCombineLimit`, none empty. Views of the arena or of
   *   adopted memory; others only with the flag `"referencesLocal"`.
   * @throws {TypeError} for something else than a Uint8Array
   * @throws {RangeError} for an empty or too long list, an empty view, or over 2147479552 bytes
   */
  setIovec(buffers: Uint8Array | readonly Uint8Array[]): void {
    this.#checkHandedOut("setIovec");
    this.iovec.set(buffers);
  }

  /**
   * The memory that is read into or written from, one view a buffer: for callbacks, in whichever
   * thread they run. Any state from the setting of the iovec to its reuse.
   */
  buffers(): Uint8Array[] {
    return this.iovec.views();
  }

  /**
   * Starts reading into the iovec, which consumes the handle. State before: handedOut with target
   * and iovec; after: staged or anything later. With the method sync it blocks until it is done.
   *
   * @param fd the file
   * @param offset where in it, in bytes
   * @param options when to submit
   * @throws {AioApiError} in another state, without a target, or from a callback
   * @throws {RangeError} for a negative or unsafe offset
   * @throws {TypeError} for memory that may go away, without the flag `"referencesLocal"`
   * @throws {Deno.errors.BadResource} after `aio.close()`, or if the file is being closed
   */
  startReadv(fd: number, offset: number, options?: StartOptions): void {
    this.#startTransfer("startReadv", OP_READV, fd, offset, options);
  }

  /**
   * Starts writing the iovec. As {@linkcode startReadv} in all else.
   *
   * @param fd the file
   * @param offset where in it, in bytes
   * @param options when to submit
   */
  startWritev(fd: number, offset: number, options?: StartOptions): void {
    this.#startTransfer("startWritev", OP_WRITEV, fd, offset, options);
  }

  /**
   * Starts making a file durable. State before: handedOut with target; after: staged or later.
   *
   * @param fd the file
   * @param options `dataOnly`: only what reading the data back needs (`fdatasync`)
   * @throws {AioApiError} in another state, without a target, or from a callback
   */
  startFsync(fd: number, options?: StartOptions & { readonly dataOnly?: boolean }): void {
    const row = options?.dataOnly === true ? OPERATIONS.fdatasync : OPERATIONS.fsync;
    this.#start("startFsync", row, fd, {}, options);
  }

  /**
   * Has the system begin to write a range of a file back, which makes a later flush shorter.
   * Durable it is not. State before: handedOut with target; after: staged or later. Linux only;
   * elsewhere it does nothing.
   *
   * @param fd the file
   * @param offset where the range begins, in bytes
   * @param length of the range, in bytes; 0: to the end of the file. io_uring takes one of 4 GiB or
   *   more as 0, and so flushes more than was asked for.
   * @param options when to submit
   * @throws {AioApiError} in another state, without a target, or from a callback
   * @throws {RangeError} for a negative or unsafe offset, or such a length
   */
  startFlushRange(fd: number, offset: number, length: number, options?: StartOptions): void {
    this.#start("startFlushRange", OPERATIONS.flush_range, fd, { offset, length }, options);
  }

  /**
   * Starts an operation by its name, which consumes the handle. State before: handedOut with
   * target, and with an iovec where the operation has buffers; after: staged or later.
   *
   * {@linkcode startReadv} and {@linkcode startWritev} do the same for one operation each, and
   * faster.
   *
   * @param name of the operation
   * @param fd the file
   * @param operands what it takes: an `offset` for all but `"fsync"` and `"fdatasync"`, a `length`
   *   for `"flush_range"`, `"fallocate"` and `"fadvise"`; `flags`: of `preadv2(2)` and
   *   `pwritev2(2)` for `"readv"` and `"writev"`, the mode of `fallocate(2)`, the advice of
   *   `posix_fadvise(2)`
   * @param options when to submit
   * @throws {TypeError} for an unknown name, an operand that the operation does not take or lacks
   * @throws as {@linkcode startReadv}
   */
  start(name: StartedName, fd: number, operands: Operands = {}, options?: StartOptions): void {
    this.#start("start", rowNamed(name), fd, operands, options);
  }

  #start(
    call: string,
    row: OperationRow,
    fd: number,
    operands: Operands,
    options: StartOptions | undefined,
  ): void {
    const { offset, length, flags } = operands;
    // An operation without a range has no offset, and its words say 0.
    const position = row.range ? offset! : 0;
    this.#checkStart(call, fd, position);
    checkOperands(call, row, operands);
    const { words, base } = this;
    if (row.moves !== null) {
      this.#checkBuffers(call, position);
    } else {
      this.iovec.clear();
      words[base + HANDLE.length] = 0;
    }
    defineArguments(words, base, length ?? 0, flags ?? 0);
    defineOperation(words, base, row.code, fd, position);
    this.#host.stage(this, options?.submit === "endOfTurn");
  }

  #startTransfer(
    call: string,
    op: number,
    fd: number,
    offset: number,
    options?: StartOptions,
  ): void {
    this.#checkStart(call, fd, offset);
    this.#checkBuffers(call, offset);
    this.words[this.base + HANDLE.argumentFlags] = 0;
    defineOperation(this.words, this.base, op, fd, offset);
    this.#host.stage(this, options !== undefined && options.submit === "endOfTurn");
  }

  #checkBuffers(call: string, offset: number): void {
    const { words, base } = this;
    if (words[base + HANDLE.iovecLength] === 0) {
      refuseIncomplete(call, this.index, "buffers", "setIovec()");
    }
    checkTransfer(call, offset, words[base + HANDLE.length]!);
    if (this.iovec.isLocal && (words[base + HANDLE.flags]! & FLAG_BITS.referencesLocal) === 0) {
      refuseLocalMemory(call);
    }
  }

  #checkStart(call: string, fd: number, offset: number): void {
    this.#host.checkUsable(call);
    this.#checkHandedOut(call);
    checkPosition(call, fd, offset);
    if (this.words[this.base + HANDLE.target] === 0) {
      refuseIncomplete(call, this.index, "a target", "setTarget()");
    }
  }

  #checkHandedOut(call: string): void {
    const state = this.words[this.base + HANDLE.state]!;
    if (state !== HANDED_OUT) refuseState(call, this.index, state, "acquire a handle for each IO");
  }
}
