/**
 * many_transfer.ts: how `readAtMany` and `writeAtMany` become IOs: many transfers of one file, one
 * submit, one promise, and no object an IO, as the slots of a finished call serve the next.
 *
 * All are checked before the first one starts. Each that is one IO takes the fast path: as many at
 * a time as there are handles and room, and another one for each that ends. The others take the
 * slow path of transfer.ts, one by one. The promise settles when all have ended, so that the
 * buffers are the caller's again whatever came of them.
 *
 * @module
 */

import { checkEnd, shown } from "../../core/inside.ts";
import { AioReturn, type CompletionWaiter, invalidWaitRef, type WaitRef } from "../../core/mod.ts";
import { type AddressOf, misalignment } from "./alignment.ts";
import { AT_ONCE, takeBounced, type TransferHost, tryStartOne } from "./fast_transfer.ts";
import {
  type Direction,
  isOneIo,
  outcomeOf,
  settleFailed,
  type TransferFile,
  type TransferRequest,
  transferRequest,
} from "./transfer_request.ts";
import { becameSmaller, fixed, shareMemory } from "./view_cursor.ts";

/** One of many transfers. */
export interface FileTransfer {
  /** What is filled or written. It must not be used, or change, until the promise settles. */
  readonly buffer: Uint8Array;
  /** In bytes from the start of the file. */
  readonly offset: number;
}

/** What the error of one of many transfers tells beside what it tells alone. */
export interface ManyTransfersError extends Error {
  /** Which one failed: the first in the list. */
  readonly index: number;
  /** The bytes of each; null: it failed, too. */
  readonly results: readonly (number | null)[];
}

/** The file of many transfers. */
export interface ManyTransfersFile extends TransferFile {
  /** Where memory is that the kernel may keep. */
  readonly addressOf: AddressOf;
  /** Refuses a transfer that the file was not opened for, or that has no place in any file. */
  checkAccess(direction: Direction, offset: number): void;
}

/** Does what is not one IO, and takes the object of a call back. */
interface ManyTransferHost extends TransferHost {
  recycleMany(many: ManyTransfer): void;
}

/** Which way one of the transfers goes: as one IO, or as several. */
const FAST = 0;
const SLOW = 1;

/** What became of the transfers of one call. */
interface Outcome {
  /** By place in the list; null: it failed. */
  readonly results: (number | null)[];
  /** Errors, by place in the list. */
  readonly errors: Map<number, unknown>;
  /** What is left of those that are not one IO, by place in the list. */
  readonly requests: Map<number, TransferRequest>;
}

/** The transfers of one call; made once and used again. */
export class ManyTransfer implements CompletionWaiter {
  readonly #transfers: ManyTransferHost;
  // By place in the list, and kept for the next call.
  readonly #ways: number[] = [];
  readonly #refs: WaitRef[] = [];
  readonly #returns: AioReturn[] = [];
  readonly #bounces: (Uint8Array<SharedArrayBuffer> | null)[] = [];
  // The caller may go on to use the list, and what is in it, for something else.
  #buffers: Uint8Array[] = [];
  #offsets: number[] = [];
  #file: ManyTransfersFile | null = null;
  #direction: Direction = "read";
  #signal: AbortSignal | undefined = undefined;
  #outcome: Outcome | null = null;
  /** The first in the list that has not started. */
  #next = 0;
  /** Those that have just started, and those that call when they are over. */
  readonly #started: number[] = [];
  readonly #awaited: number[] = [];
  #isToLook = false;
  /** Where the one ends that reaches furthest, as was known when they began. */
  #reach = 0;
  #resolve: (results: number[] | Promise<number[]>) => void = ignore;

  /** @param transfers all of this thread */
  constructor(transfers: ManyTransferHost) {
    this.#transfers = transfers;
  }

  /**
   * Starts them all.
   *
   * @throws {TypeError} or {RangeError} for one that cannot be done; nothing has started then
   */
  start(
    file: ManyTransfersFile,
    direction: Direction,
    list: readonly FileTransfer[],
    signal: AbortSignal | undefined,
  ): Promise<number[]> {
    if (!Array.isArray(list)) {
      this.#leave();
      throw new TypeError(
        `Cannot ${direction} ${shown(file.path)}: pass a list of { buffer, offset }: got ${
          shown(list)
        }`,
      );
    }
    this.#file = file;
    this.#direction = direction;
    this.#signal = signal;
    const count = list.length;
    const results: number[] = new Array(count).fill(0);
    this.#outcome = { results, errors: new Map(), requests: new Map() };
    this.#reach = 0;
    try {
      for (let i = 0; i < count; i++) this.#ways[i] = this.#check(list[i], i, count);
    } catch (error) {
      this.#leave();
      throw error;
    }
    file.begin();
    if (direction === "write") file.beginWrite?.(this.#reach);
    this.#next = 0;
    this.#startMore();
    for (let i = this.#next; i < count; i++) {
      if (this.#ways[i] === FAST) this.#buffers[i] = fixed(this.#buffers[i]!);
    }
    this.#lookSoon();
    return new Promise(this.#keep);
  }

  /** Refuses what cannot be done, and tells what is one IO from what is not. */
  #check(transfer: FileTransfer | undefined, i: number, count: number): number {
    const file = this.#file!;
    const direction = this.#direction;
    try {
      if (typeof transfer !== "object" || transfer === null) {
        throw new TypeError(
          `Cannot ${direction} ${shown(file.path)}: a transfer is { buffer, offset }: got ${
            shown(transfer)
          }`,
        );
      }
      const { buffer, offset } = transfer;
      this.#buffers.push(buffer);
      this.#offsets.push(offset);
      file.checkAccess(direction, offset);
      if (this.#isOneIo(buffer, offset)) {
        this.#reach = Math.max(this.#reach, offset + buffer.byteLength);
        return FAST;
      }
      this.#goSlowly(i);
      return SLOW;
    } catch (error) {
      if (error instanceof Error) error.message += ` (transfer ${i} of ${count})`;
      throw error;
    }
  }

  #isOneIo(buffer: Uint8Array, offset: number): boolean {
    if (this.#signal !== undefined || !(buffer instanceof Uint8Array) || !isOneIo(buffer)) {
      return false;
    }
    checkEnd(this.#direction, offset, buffer.byteLength);
    const { direct, alignment, addressOf } = this.#file!;
    return !direct || misalignment(alignment, buffer, offset, addressOf) === null;
  }

  #goSlowly(i: number): void {
    const buffer = this.#buffers[i]!;
    const offset = this.#offsets[i]!;
    const file = this.#file!;
    const { addressOf } = file;
    const request = transferRequest(
      file,
      this.#direction,
      buffer,
      offset,
      addressOf,
      this.#signal,
    );
    this.#outcome!.requests.set(i, request);
    this.#reach = Math.max(this.#reach, offset + request.cursor.total);
  }

  /** Its buffer may have been transferred since it was checked: no throw. */
  #tryGoSlowly(i: number): void {
    try {
      this.#checkThere(this.#buffers[i]!);
      this.#goSlowly(i);
    } catch (error) {
      this.#fail(i, error);
    }
  }

  /** One that was taken away since it was checked has no bytes. */
  #checkThere({ byteLength }: Uint8Array): void {
    if (byteLength === 0) throw becameSmaller(this.#direction);
  }

  /**
   * Starts the next ones, until there is no handle, or no room. Those that ended at once have their
   * handles back: they count until the turn has time for them, so that a long list leaves some to
   * the event loop.
   */
  #startMore(): void {
    const most = this.#transfers.backend.control.handlesPerBackend;
    for (; this.#next < this.#buffers.length; this.#next++) {
      if (this.#started.length + this.#awaited.length >= most) return;
      if (this.#ways[this.#next] === FAST && !this.#tryStart(this.#next)) return;
    }
  }

  /** Others may have started: no throw. @returns false: there is no handle or room for it now */
  #tryStart(i: number): boolean {
    const buffer = this.#buffers[i]!;
    const offset = this.#offsets[i]!;
    const ret = this.#returns[i] ??= new AioReturn();
    const ref = this.#refs[i] ??= invalidWaitRef();
    try {
      const direction = this.#direction;
      this.#checkThere(buffer);
      if (this.#transfers.tryCopyCached(this.#file!, direction, buffer, offset)) {
        this.#outcome!.results[i] = buffer.byteLength;
        return true;
      }
      const bounce = tryStartOne(this.#transfers, this.#file!, direction, buffer, offset, ret, ref);
      if (bounce === undefined) return false;
      this.#bounces[i] = bounce;
      this.#started.push(i);
    } catch (error) {
      this.#fail(i, error);
    }
    return true;
  }

  #fail(i: number, error: unknown): void {
    this.#outcome!.results[i] = null;
    this.#outcome!.errors.set(i, error);
  }

  /** One function for all its promises. */
  readonly #keep = (resolve: (results: number[] | Promise<number[]>) => void): void => {
    this.#resolve = resolve;
  };

  completed(): void {
    this.#lookSoon();
  }

  /** Behind the submit of what has started, and of all that end at once by one look. */
  #lookSoon(): void {
    if (this.#isToLook) return;
    this.#isToLook = true;
    AT_ONCE.then(this.#look);
  }

  readonly #look = (): void => {
    this.#isToLook = false;
    // A call for what the look before has found.
    if (this.#file === null) return;
    this.#takeOver();
    this.#startMore();
    if (this.#started.length > 0) this.#lookSoon();
    else if (this.#awaited.length === 0) this.#end();
  };

  /** Takes those that are over. */
  #takeOver(): void {
    const { waiting } = this.#transfers.backend;
    const awaited = this.#awaited;
    let count = 0;
    for (const i of awaited) {
      if (this.#returns[i]!.result.status === "unknown") awaited[count++] = i;
      else this.#take(i);
    }
    awaited.length = count;
    for (const i of this.#started) {
      try {
        if (waiting.whenDone(this.#refs[i]!, this)) this.#take(i);
        else awaited.push(i);
      } catch (error) {
        this.#fail(i, error);
      }
    }
    this.#started.length = 0;
  }

  /** None is under way. */
  #end(): void {
    const resolve = this.#resolve;
    const file = this.#file!;
    const outcome = this.#outcome!;
    const direction = this.#direction;
    const signal = this.#signal;
    const reach = this.#reach;
    // Without a single handle for them they wait for one.
    for (; this.#next < this.#buffers.length; this.#next++) {
      if (this.#ways[this.#next] === FAST) this.#tryGoSlowly(this.#next);
    }
    const transfers = this.#transfers;
    this.#leave();
    if (outcome.requests.size > 0) {
      return resolve(runRest(transfers, file, direction, reach, outcome, signal));
    }
    if (direction === "write") file.endWrite?.(reach);
    resolve(resultsOf(file, direction, outcome, signal));
    file.end();
  }

  /** The object is free for another call. */
  #leave(): void {
    this.#file = null;
    this.#buffers = [];
    this.#offsets = [];
    this.#outcome = null;
    this.#signal = undefined;
    this.#resolve = ignore;
    this.#transfers.recycleMany(this);
  }

  /** Whether a call is under way, and has come or will come to a part of a view. */
  isUsing(view: Uint8Array): boolean {
    if (this.#file === null) return false;
    const isSlow = (i: number) => this.#outcome!.requests.get(i)?.cursor.overlaps(view) === true;
    return this.#buffers.some((buffer, i) =>
      this.#ways[i] === SLOW ? isSlow(i) : shareMemory(buffer, view)
    );
  }

  #take(i: number): void {
    const outcome = this.#outcome!;
    const buffer = this.#buffers[i]!;
    const offset = this.#offsets[i]!;
    const bounce = this.#bounces[i]!;
    const transfers = this.#transfers;
    const direction = this.#direction;
    const done = outcomeOf(this.#returns[i]!);
    this.#bounces[i] = null;
    try {
      if (bounce !== null) takeBounced(transfers, direction, buffer, bounce, done);
      const isStraight = bounce === null;
      const bytes = isStraight ? buffer.byteLength : bounce.byteLength;
      const rest = done === bytes
        ? done
        : transfers.restOf(this.#file!, direction, buffer, bytes, offset, done, isStraight);
      if (typeof rest === "number") outcome.results[i] = rest;
      else outcome.requests.set(i, rest);
    } catch (error) {
      this.#fail(i, error);
    }
  }
}

/** Does what is not one IO. */
async function runRest(
  transfers: TransferHost,
  file: ManyTransfersFile,
  direction: Direction,
  reach: number,
  outcome: Outcome,
  signal: AbortSignal | undefined,
): Promise<number[]> {
  const { results, errors, requests } = outcome;
  const run = async ([i, request]: [number, TransferRequest]) => {
    try {
      results[i] = await transfers.runSlowly(request);
    } catch (error) {
      results[i] = null;
      errors.set(i, error);
    }
  };
  try {
    await Promise.all(Array.from(requests, run));
    if (direction === "write") file.endWrite?.(reach);
    return await resultsOf(file, direction, outcome, signal);
  } finally {
    file.end();
  }
}

/** What comes of them, once all are over. */
function resultsOf(
  file: ManyTransfersFile,
  direction: Direction,
  outcome: Outcome,
  signal: AbortSignal | undefined,
): number[] | Promise<number[]> {
  if (outcome.errors.size === 0) return outcome.results as number[];
  const error = failed(outcome, signal);
  const settled = settleFailed(file, direction);
  // An abort ends all waits.
  if (settled === null || signal?.aborted === true) return Promise.reject(error);
  return settled.then(() => Promise.reject(error));
}

/** The error of the first that failed, which tells of the others, too. */
function failed({ errors, results }: Outcome, signal: AbortSignal | undefined): unknown {
  const index = Math.min(...errors.keys());
  const error = errors.get(index);
  // The reason of an abort is the user's own object.
  if (!(error instanceof Error) || error === signal?.reason) return error;
  const done = results.length - errors.size;
  error.message += `: transfer ${index} of ${results.length}, of which ${done} were done`;
  return Object.assign(error, { index, results });
}

function ignore(): void {}
