/**
 * transfer.ts: how `readAt` and `writeAt` become IOs of the core.
 *
 * Most transfers are one IO: one buffer, room for it, a handle at hand. They take the fast path
 * (fast_transfer.ts). Everything else (several buffers, splits, short transfers, retries, waiting
 * for handles or space, signals) takes the slow path, an async function.
 *
 * Buffers in the arena or in adopted memory go straight to the kernel. All others are bounced,
 * except in the blocking calls on buffered files: there the kernel is done with the memory when the
 * call returns.
 *
 * @module
 */

import {
  alignUp,
  type Backend,
  backendOf,
  called,
  COUNTER,
  TRANSFER_BYTES_MAX,
} from "../../core/inside.ts";
import {
  type AioCore,
  type AioHandle,
  AioReturn,
  invalidWaitRef,
  type StartOptions,
  type WaitRef,
} from "../../core/mod.ts";
import { abortable, waitOrCancel } from "./abortable.ts";
import type { BounceSpace } from "./bounce.ts";
import { CachedCopies } from "./cached_copy.ts";
import { FastTransfer } from "./fast_transfer.ts";
import type { RefusedFlags } from "./flagged_file.ts";
import { ManyTransfer } from "./many_transfer.ts";
import {
  advance,
  closedMeanwhile,
  type Direction,
  isEnd,
  isRetry,
  mayGoOn,
  outcomeOf,
  settleFailed,
  type TransferFile,
  type TransferRequest,
  withProgress,
} from "./transfer_request.ts";
import { first, ViewCursor } from "./view_cursor.ts";

const END_OF_TURN: StartOptions = { submit: "endOfTurn" };

/** Has calls that are to come to memory of the user. */
export interface MemoryUser {
  /** Whether one of them has still to come to a part of a view. */
  isUsing(view: Uint8Array): boolean;
}

/** All transfers of one Aio in this thread. */
export class Transfers {
  /** The core that executes them. */
  readonly aio: AioCore;
  /** Its backend. */
  readonly backend: Backend;
  /** Where bytes are bounced. */
  readonly space: BounceSpace;
  /** Flags that a device does not know. */
  readonly refusedFlags: RefusedFlags = new Map();
  /** Reads of what is in the page cache that are no IO. */
  readonly cachedCopies: CachedCopies;
  readonly #pool: FastTransfer[] = [];
  /** All objects for transfers of one IO, under way or not. */
  readonly #fasts: FastTransfer[] = [];
  readonly #fastOf = new WeakMap<AioReturn, FastTransfer>();
  readonly #manyPool: ManyTransfer[] = [];
  /** All objects for the transfers of one call, under way or not. */
  readonly #manys: ManyTransfer[] = [];
  /** Those in pieces that are under way. */
  readonly #requests = new Set<TransferRequest>();
  /** What else may come to the user's memory later: the appends of each file. */
  readonly users: Set<MemoryUser> = new Set();
  /** For the blocking calls, which do not nest. */
  readonly #syncReturn = new AioReturn();
  readonly #syncRef = invalidWaitRef();
  /** The file of the blocking write of one IO that is under way, and where it ends. */
  #syncFile: TransferFile | null = null;
  #syncEnd = 0;
  /** As in `FastTransfer`. */
  #hasSyncBegun = false;

  /**
   * @param aio the core
   * @param space where bytes are bounced
   */
  constructor(aio: AioCore, space: BounceSpace) {
    this.aio = aio;
    this.backend = backendOf(aio);
    this.cachedCopies = new CachedCopies(this.backend);
    this.space = space;
    this.backend.callbacks.unfinished = (ret) => this.#unfinished(ret);
  }

  #unfinished(ret: AioReturn): void {
    if (ret !== this.#syncReturn) return this.#fastOf.get(ret)?.unfinished();
    if (this.#syncFile === null || !mayGoOn(outcomeOf(ret))) return;
    this.#hasSyncBegun = true;
    this.#syncFile.beginWrite?.(this.#syncEnd);
  }

  /** Whether the kernel may be pointed at a view while nobody holds it. */
  isStraight(view: Uint8Array): boolean {
    return this.backend.memory.addressOf(view) >= 0;
  }

  /**
   * Starts a transfer of one buffer as one IO, if that is possible right now.
   *
   * @returns the bytes, or null: take the slow path. A rejection is the file's doing.
   */
  tryFast(
    file: TransferFile,
    direction: Direction,
    buffer: Uint8Array,
    offset: number,
  ): Promise<number> | null {
    if (this.tryCopyCached(file, direction, buffer, offset)) {
      return Promise.resolve(buffer.byteLength);
    }
    const transfer = this.#pool.pop() ?? this.#makeFast();
    let hasStarted = false;
    try {
      hasStarted = transfer.tryStart(file, direction, buffer, offset);
    } finally {
      if (!hasStarted) this.#pool.push(transfer);
    }
    return hasStarted ? transfer.settle() : null;
  }

  #makeFast(): FastTransfer {
    const fast = new FastTransfer(this);
    this.#fasts.push(fast);
    this.#fastOf.set(fast.ret, fast);
    return fast;
  }

  /** See `TransferHost`. */
  tryCopyCached(
    file: TransferFile,
    direction: Direction,
    buffer: Uint8Array,
    offset: number,
  ): boolean {
    return direction === "read" && !this.isStraight(buffer) &&
      this.cachedCopies.tryRead(file, buffer, offset);
  }

  /** Takes an object for the transfers of one call. */
  takeMany(): ManyTransfer {
    return this.#manyPool.pop() ?? this.#makeMany();
  }

  #makeMany(): ManyTransfer {
    const many = new ManyTransfer(this);
    this.#manys.push(many);
    return many;
  }

  /** Takes it back. */
  recycleMany(many: ManyTransfer): void {
    this.#manyPool.push(many);
  }

  /**
   * Whether a transfer has still to come to a part of a view, with or without an IO in flight: it
   * may have a rest, which begins once it hears of the first IO. After an abort the piece in flight
   * is known by its handle.
   */
  isUsing(view: Uint8Array): boolean {
    for (const { cursor } of this.#requests) {
      if (cursor.overlaps(view)) return true;
    }
    for (const user of this.users) {
      if (user.isUsing(view)) return true;
    }
    return this.#fasts.some((fast) => fast.isUsing(view)) ||
      this.#manys.some((many) => many.isUsing(view));
  }

  /** Takes a fast transfer back. */
  recycle(transfer: FastTransfer): void {
    this.#pool.push(transfer);
  }

  /**
   * Does a transfer in as many IOs as it takes, one after another.
   *
   * @returns bytes; fewer than asked only at the end of the file
   */
  runSlowly(request: TransferRequest): Promise<number> {
    return called(this.#runSlowly(request), request.signal);
  }

  async #runSlowly(request: TransferRequest): Promise<number> {
    const { direction, cursor, file, signal } = request;
    let retries = 0;
    file.begin();
    beginWrite(request);
    this.#requests.add(request);
    try {
      while (cursor.remaining > 0) {
        signal?.throwIfAborted();
        const piece = this.#runPiece(request);
        const outcome = await (signal === undefined ? piece : abortable(piece, signal));
        retries = this.#countRetry(outcome, retries);
        if (isEnd(request, outcome, retries)) break;
      }
      endWrite(request);
    } catch (error) {
      endWrite(request);
      const settled = settleFailed(file, direction);
      // The reason of an abort is the user's own object, and it ends all waits.
      if (signal?.aborted === true) throw error;
      await settled;
      throw withProgress(request, this.aio.isClosed ? closedMeanwhile(request, error) : error);
    } finally {
      this.#requests.delete(request);
      file.end();
    }
    return cursor.done;
  }

  /** @returns the bytes of one IO, which the cursor has moved over, or -errno */
  async #runPiece(request: TransferRequest): Promise<number> {
    const { direction, cursor, file, signal } = request;
    const ret = new AioReturn();
    let bounce: Uint8Array<SharedArrayBuffer> | null = null;
    // An abort ends the wait for a piece, not the piece: the descriptor must outlive it by itself.
    file.begin();
    try {
      if (!request.isStraight) bounce = await this.#takeBounce(request);
      if (bounce !== null && direction === "write") cursor.copyTo(bounce);
      const iovec = bounce ?? this.#straightViews(request);
      const ref = await this.aio.acquireAsync(
        (handle) => startPiece(file, request, handle, iovec, END_OF_TURN),
        null,
        ret,
        signal,
      );
      await waitOrCancel(this.aio, ref, signal);
      // After an abort the buffer is the user's own again.
      if (signal?.aborted === true) return 0;
      return advance(request, outcomeOf(ret), bounce);
    } finally {
      if (bounce !== null) this.space.giveBack(bounce);
      file.end();
    }
  }

  /** @returns how often in a row the system was interrupted or busy */
  #countRetry(outcome: number, before: number): number {
    if (!isRetry(outcome)) return 0;
    this.backend.counters[COUNTER.retries]!++;
    return before + 1;
  }

  #takeBounce(
    request: TransferRequest,
  ): Promise<Uint8Array<SharedArrayBuffer>> | Uint8Array<SharedArrayBuffer> {
    const bytes = this.#bounceBytes(request);
    return this.space.take(bytes, request.file.alignment.memory, request.signal);
  }

  /** A direct read that goes over the end of the file is rounded up to what the kernel takes. */
  #bounceBytes({ cursor, file }: TransferRequest): number {
    return Math.min(alignUp(cursor.remaining, file.alignment.offset), this.space.pieceBytesMax);
  }

  #straightViews({ cursor }: TransferRequest): Uint8Array[] {
    return cursor.views(this.aio.options.ioCombineLimit, TRANSFER_BYTES_MAX);
  }

  /**
   * Does a transfer of one buffer, blocking: in one IO if the system does all of it at once.
   *
   * @param isStraight whether the kernel may keep the buffer; if not, the file must be buffered
   */
  runOneSync(
    file: TransferFile,
    direction: Direction,
    buffer: Uint8Array,
    offset: number,
    isStraight: boolean,
  ): number {
    if (direction === "write" && this.backend.idleCount === 0) {
      // It waits for a handle: appends of other threads keep behind it meanwhile.
      return this.runSync({
        file,
        direction,
        cursor: new ViewCursor([buffer]),
        offset,
        isStraight,
      });
    }
    const { byteLength } = buffer;
    const outcome = direction === "write"
      ? this.#writeSync(file, buffer, offset, !isStraight)
      : this.#runIoSync(file, direction, buffer, offset, !isStraight);
    if (outcome === byteLength) return outcome;
    const rest = this.#restSync(file, direction, buffer, byteLength, offset, outcome, isStraight);
    if (typeof rest === "number") return rest;
    rest.hasBegun = this.#hasSyncBegun;
    this.#hasSyncBegun = false;
    return this.runSync(rest);
  }

  /** Appends of other threads keep behind it while it is executed. */
  #writeSync(file: TransferFile, buffer: Uint8Array, offset: number, isLocal: boolean): number {
    const end = this.#syncEnd = offset + buffer.byteLength;
    file.reaches?.(end);
    this.#syncFile = file;
    try {
      return this.#runIoSync(file, "write", buffer, offset, isLocal);
    } catch (error) {
      this.#failSync(file, end);
      throw error;
    } finally {
      this.#syncFile = null;
    }
  }

  #failSync(file: TransferFile, end: number): void {
    if (this.#hasSyncBegun) file.endWrite?.(end);
    this.#hasSyncBegun = false;
    file.settleFailedSync?.();
  }

  /** As {@linkcode restOf}, blocking. */
  #restSync(...io: Parameters<Transfers["restOf"]>): TransferRequest | number {
    try {
      return this.restOf(...io);
    } catch (error) {
      const [file, direction, , bytes, offset] = io;
      if (direction === "write") this.#failSync(file, offset + bytes);
      throw error;
    }
  }

  /**
   * What there is to do after the first IO of a transfer, which was short, failed or interrupted.
   *
   * @param bytes of the buffer when it began: the rest of one that has become smaller since fails
   * @returns the bytes, if that was all of it
   * @throws if it failed
   */
  restOf(
    file: TransferFile,
    direction: Direction,
    buffer: Uint8Array,
    bytes: number,
    offset: number,
    outcome: number,
    isStraight: boolean,
  ): TransferRequest | number {
    const cursor = new ViewCursor([first(buffer, bytes)], bytes);
    const request: TransferRequest = { file, direction, cursor, offset, isStraight };
    if (outcome > 0) cursor.advance(outcome);
    return isEnd(request, outcome, this.#countRetry(outcome, 0)) ? cursor.done : request;
  }

  /** As {@linkcode runSlowly}, blocking. */
  runSync(request: TransferRequest): number {
    const { direction, cursor, file } = request;
    const isLocal = !request.isStraight && !file.direct;
    let retries = 0;
    beginWrite(request);
    try {
      while (cursor.remaining > 0) {
        const outcome = isLocal || request.isStraight
          ? this.#runPieceSync(request, this.#straightViews(request), null, isLocal)
          : this.#runBouncedSync(request);
        retries = this.#countRetry(outcome, retries);
        if (isEnd(request, outcome, retries)) break;
      }
      endWrite(request);
    } catch (error) {
      endWrite(request);
      if (direction === "write") file.settleFailedSync?.();
      throw withProgress(request, error);
    }
    return cursor.done;
  }

  #runBouncedSync(request: TransferRequest): number {
    const bytes = this.#bounceBytes(request);
    const bounce = this.space.takeSync(bytes, request.file.alignment.memory);
    try {
      if (request.direction === "write") request.cursor.copyTo(bounce);
      return this.#runPieceSync(request, [bounce], bounce, false);
    } finally {
      this.space.giveBack(bounce);
    }
  }

  #runPieceSync(
    request: TransferRequest,
    iovec: Uint8Array[],
    bounce: Uint8Array | null,
    isLocal: boolean,
  ): number {
    const { file, direction, cursor, offset } = request;
    const outcome = this.#runIoSync(file, direction, iovec, offset + cursor.done, isLocal);
    return advance(request, outcome, bounce);
  }

  /** @returns the bytes of one IO, or -errno */
  #runIoSync(
    file: TransferFile,
    direction: Direction,
    iovec: Uint8Array | Uint8Array[],
    offset: number,
    isLocal: boolean,
  ): number {
    const ret = this.#syncReturn;
    const handle = this.aio.acquire(null, ret);
    try {
      handle.setFlag(isLocal ? "referencesLocal" : "synchronous");
      handle.waitRef(this.#syncRef);
      handle.setIovec(iovec);
      file.start(direction, handle, offset);
    } catch (error) {
      if (handle.state === "handedOut") handle.release();
      throw error;
    }
    if (ret.result.status === "unknown") this.aio.waitSync(this.#syncRef);
    return outcomeOf(ret);
  }
}

function beginWrite({ direction, file, offset, cursor, hasBegun }: TransferRequest): void {
  if (direction === "write" && hasBegun !== true) file.beginWrite?.(offset + cursor.total);
}

function endWrite({ direction, file, offset, cursor }: TransferRequest): void {
  if (direction === "write") file.endWrite?.(offset + cursor.total);
}

/** Prepares and starts a handle for one piece. */
function startPiece(
  file: TransferFile,
  request: TransferRequest,
  handle: AioHandle,
  iovec: Uint8Array | Uint8Array[],
  options: StartOptions,
): WaitRef {
  const ref = handle.waitRef();
  handle.setIovec(iovec);
  file.start(request.direction, handle, request.offset + request.cursor.done, options);
  return ref;
}
