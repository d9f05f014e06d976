/**
 * fast_transfer.ts: a transfer of one buffer as one IO: a reused object that is wait reference,
 * return slot and waiter in one, and one promise. How such an IO is started, and how its bytes are
 * taken out of the bounce space, serves many transfers of one call, too (many_transfer.ts).
 *
 * @module
 */

import { type Backend, called, isAligned, TRANSFER_BYTES_MAX } from "../../core/inside.ts";
import {
  type AioHandle,
  AioReturn,
  type CompletionWaiter,
  type StartOptions,
  type WaitRef,
} from "../../core/mod.ts";
import type { BounceSpace } from "./bounce.ts";
import {
  type Direction,
  mayGoOn,
  outcomeOf,
  settleFailed,
  type TransferFile,
  type TransferRequest,
} from "./transfer_request.ts";
import { becameSmaller, shareMemory } from "./view_cursor.ts";

/**
 * Calls back by a microtask, and takes less for it than a promise that is resolved from outside.
 */
export const AT_ONCE: Promise<void> = Promise.resolve();

const END_OF_TURN: StartOptions = { submit: "endOfTurn" };

/** What a fast transfer needs of all transfers: `Transfers` in transfer.ts. */
export interface TransferHost {
  /** Has the handles. */
  readonly backend: Backend;
  /** Where bytes are bounced. */
  readonly space: BounceSpace;
  /** Whether the kernel may be pointed at a view while nobody holds it. */
  isStraight(view: Uint8Array): boolean;
  /**
   * Fills plain memory with what is in the page cache, without an IO.
   *
   * @returns whether it did
   */
  tryCopyCached(
    file: TransferFile,
    direction: Direction,
    buffer: Uint8Array,
    offset: number,
  ): boolean;
  /** What there is to do after an IO that was short, failed or interrupted. */
  restOf(
    file: TransferFile,
    direction: Direction,
    buffer: Uint8Array,
    bytes: number,
    offset: number,
    outcome: number,
    isStraight: boolean,
  ): TransferRequest | number;
  /** Does a transfer in as many IOs as it takes. */
  runSlowly(request: TransferRequest): Promise<number>;
}

/**
 * Starts a transfer of one buffer as one IO, if that is possible right now.
 *
 * @param ret takes the outcome
 * @param ref is filled: what to wait for
 * @returns the bounce space that it takes, or null if it goes straight to the buffer; undefined if
 *   it takes more than one IO, or there is no handle or room now
 */
export function tryStartOne(
  transfers: TransferHost,
  file: TransferFile,
  direction: Direction,
  buffer: Uint8Array,
  offset: number,
  ret: AioReturn,
  ref: WaitRef,
): Uint8Array<SharedArrayBuffer> | null | undefined {
  const { backend, space } = transfers;
  if (!backend.mayAcquire) return undefined;
  const bounce = transfers.isStraight(buffer)
    ? null
    : tryBounce(transfers, file, buffer.byteLength);
  if (bounce === undefined || buffer.byteLength > TRANSFER_BYTES_MAX) return undefined;
  let handle: AioHandle | null = null;
  try {
    handle = backend.tryAcquire(null, ret);
    if (handle !== null) {
      handle.waitRef(ref);
      if (bounce !== null && direction === "write") bounce.set(buffer);
      handle.setIovec(bounce ?? buffer);
      file.start(direction, handle, offset, END_OF_TURN);
      return bounce;
    }
  } catch (error) {
    if (handle?.state === "handedOut") handle.release();
    if (bounce !== null) space.giveBack(bounce);
    throw error;
  }
  if (bounce !== null) space.giveBack(bounce);
  return undefined;
}

/** @returns undefined if there is no room, or the transfer needs more than one piece */
function tryBounce(
  { space }: TransferHost,
  { alignment }: TransferFile,
  bytes: number,
): Uint8Array<SharedArrayBuffer> | undefined {
  if (bytes > space.pieceBytesMax || !isAligned(bytes, alignment.offset)) return undefined;
  return space.tryTake(bytes, alignment.memory) ?? undefined;
}

/**
 * Takes what was read out of the bounce space, and gives that back.
 *
 * @throws {TypeError} if the buffer has become smaller meanwhile
 */
export function takeBounced(
  { space }: TransferHost,
  direction: Direction,
  buffer: Uint8Array,
  bounce: Uint8Array<SharedArrayBuffer>,
  outcome: number,
): void {
  try {
    if (direction === "write" || outcome <= 0) return;
    if (buffer.byteLength < bounce.byteLength) throw becameSmaller("read");
    buffer.set(outcome === bounce.byteLength ? bounce : bounce.subarray(0, outcome));
  } finally {
    space.giveBack(bounce);
  }
}

/** A transfer of one buffer as one IO; made once and used again. */
export class FastTransfer implements WaitRef, CompletionWaiter {
  index = 0;
  generation = 0;
  readonly #transfers: TransferHost & { recycle(transfer: FastTransfer): void };
  readonly #ret = new AioReturn();
  #file: TransferFile | null = null;
  #direction: Direction = "read";
  #buffer: Uint8Array | null = null;
  #bytes = 0;
  #bounce: Uint8Array<SharedArrayBuffer> | null = null;
  #offset = 0;
  /** Whether it is a write that came short: until its rest is over, others keep behind it. */
  #hasBegun = false;
  #resolve: (bytes: number | Promise<number>) => void = ignore;

  constructor(transfers: TransferHost & { recycle(transfer: FastTransfer): void }) {
    this.#transfers = transfers;
  }

  /** Where its IO tells the outcome. */
  get ret(): AioReturn {
    return this.#ret;
  }

  /** One function for all its promises. */
  readonly #keep = (resolve: (bytes: number | Promise<number>) => void): void => {
    this.#resolve = resolve;
  };

  /** @returns false if it takes more than one IO, or there is no handle or room for it now */
  tryStart(
    file: TransferFile,
    direction: Direction,
    buffer: Uint8Array,
    offset: number,
  ): boolean {
    // Before: it may be over when it has started.
    this.#file = file;
    this.#direction = direction;
    this.#buffer = buffer;
    this.#bytes = buffer.byteLength;
    this.#offset = offset;
    let bounce: Uint8Array<SharedArrayBuffer> | null | undefined = undefined;
    try {
      bounce = tryStartOne(this.#transfers, file, direction, buffer, offset, this.#ret, this);
    } finally {
      if (bounce === undefined) this.#file = this.#buffer = null;
    }
    if (bounce === undefined) return false;
    file.begin();
    this.#bounce = bounce;
    return true;
  }

  /**
   * Its IO has done less than all, and its handle is about to be given back. What is left of a
   * write counts as a write that has begun, until it is over.
   */
  unfinished(): void {
    if (this.#direction === "read" || !mayGoOn(outcomeOf(this.#ret))) return;
    this.#hasBegun = true;
    this.#file!.beginWrite?.(this.#offset + this.#bytes);
  }

  /** Whether it is under way, and uses a part of a view. */
  isUsing(view: Uint8Array): boolean {
    return this.#buffer !== null && shareMemory(this.#buffer, view);
  }

  /** The promise of the bytes. @throws if the IO is over already, and failed */
  settle(): Promise<number> {
    const { waiting } = this.#transfers.backend;
    // What is in the page cache is there once this turn's IOs were submitted.
    if (!this.#file!.direct && waiting.isStaged(this)) return AT_ONCE.then(this.#afterSubmit);
    if (waiting.whenDone(this, this)) return this.#settleNow();
    return new Promise(this.#keep);
  }

  readonly #afterSubmit = (): number | Promise<number> =>
    this.#transfers.backend.waiting.whenDone(this, this)
      ? this.#outcome()
      : new Promise(this.#keep);

  #settleNow(): Promise<number> {
    const bytes = this.#takeOutcome();
    return typeof bytes === "number" ? Promise.resolve(bytes) : bytes;
  }

  completed(): void {
    const resolve = this.#resolve;
    resolve(this.#outcome());
  }

  /** The bytes, or a promise that rejects with the error. */
  #outcome(): number | Promise<number> {
    try {
      return this.#takeOutcome();
    } catch (error) {
      return called(Promise.reject(error));
    }
  }

  /** Takes the outcome; the object is free for another transfer afterwards. */
  #takeOutcome(): number | Promise<number> {
    const file = this.#file!;
    const buffer = this.#buffer!;
    const bounce = this.#bounce;
    const direction = this.#direction;
    const offset = this.#offset;
    const outcome = outcomeOf(this.#ret);
    const bytes = this.#bytes;
    this.#file = null;
    this.#buffer = null;
    this.#bounce = null;
    this.#resolve = ignore;
    this.#transfers.recycle(this);
    try {
      if (bounce !== null) takeBounced(this.#transfers, direction, buffer, bounce, outcome);
      if (outcome === bytes) return outcome;
      return this.#finish(file, direction, buffer, bytes, offset, outcome, bounce === null);
    } finally {
      // Behind the beginning of the rest: until that is over the file stays open.
      file.end();
    }
  }

  /** Does the rest, after an IO that did not do all of it. */
  #finish(...io: Parameters<TransferHost["restOf"]>): number | Promise<number> {
    const transfers = this.#transfers;
    const hasBegun = this.#hasBegun;
    this.#hasBegun = false;
    try {
      const rest = transfers.restOf(...io);
      if (typeof rest === "number") return rest;
      rest.hasBegun = hasBegun;
      return transfers.runSlowly(rest);
    } catch (error) {
      const [file, direction, , bytes, offset] = io;
      if (hasBegun) file.endWrite?.(offset + bytes);
      const settled = settleFailed(file, direction);
      if (settled === null) throw error;
      return called(settled.then(() => Promise.reject(error)));
    }
  }
}

function ignore(): void {}
