/**
 * append.ts: how `append` becomes IO: appends of one turn to one file are one write, and the
 * durable ones among all that were written share a flush (shared_flush.ts).
 *
 * ```text
 * append() ─► batch ─ end of the turn ─► handle ─► place ─► write ─► resolved with its offset
 *                                                             └► durable: a flush ─► resolved
 * ```
 *
 * Batches take their places one after another, in the order of the calls; any number of them are
 * under way at once. A batch that finds no handle or no room, and the very first one, which has to
 * ask for the file's size, goes slowly, and those behind it wait until it has its place.
 *
 * A batch of durable appends is written and made durable by one call (`RWF_DSYNC`), if all that
 * was appended before is durable (append_flushed.ts), unless others may append to the file or it
 * is on a server. Durable appends that come meanwhile, or while a flush is awaited, are the next
 * batch. Else a batch is written, and waits for the next flush: so do several that come at once.
 *
 * What a write did not do is given back if it was the last place; else it stays a hole, and the
 * error says so.
 *
 * @module
 */

import {
  type Backend,
  type FileCallForms,
  flushErrors,
  onAbort,
  runSteps,
  runStepsSync,
} from "../../core/inside.ts";
import type { AddressOf } from "./alignment.ts";
import {
  type Append,
  areDurable,
  type Batch,
  type FailedAppend,
  outcomeOf,
  reject,
  rejectChanged,
  tryCopy,
  type WholeAppend,
  wholeBytes,
  type Written,
} from "./append_batch.ts";
import { gather } from "../gather.ts";
import { appendError, isSystemError } from "./append_error.ts";
import { learnEnd } from "./append_end.ts";
import { FlushedAppends } from "./append_flushed.ts";
import { type AppendedFile, AppendPlace } from "./append_place.ts";
import { eraseRest, eraseRestSync } from "./append_rest.ts";
import type { FlaggedFile } from "./flagged_file.ts";
import type { FlushFailure } from "./flush_failure.ts";
import { cannotMakeDurable, type SharedFlush } from "./shared_flush.ts";
import type { MemoryUser, Transfers } from "./transfer.ts";
import { type TransferFile, transferRequest } from "./transfer_request.ts";
import { fixed, shareMemory, totalBytes } from "./view_cursor.ts";

/** The file that is appended to. */
export interface AppendFile extends AppendedFile, TransferFile {
  readonly fd: number;
  /** Whether a write is a flush as well. */
  readonly isDurable: boolean;
  /** Whether its size does not tell which writes have failed. */
  readonly isOnServer: boolean;
  /** The same file, whose writes are. */
  readonly durably: FlaggedFile;
  readonly calls: FileCallForms;
  readonly flushFailure: FlushFailure;
  readonly addressOf: AddressOf;
}

/** The appends of one open file, in one thread. */
export class Appends implements MemoryUser {
  readonly #file: AppendFile;
  readonly #backend: Backend;
  readonly #transfers: Transfers;
  readonly #flush: SharedFlush;
  readonly #flushed: FlushedAppends;
  readonly #queue: Batch[] = [];
  #isScheduled = false;
  #isSlow = false;
  /** Whether a durable write is under way, which durable appends wait for. */
  #isHeld = false;

  /**
   * Of one open file.
   *
   * @param file it
   * @param transfers of this thread
   * @param flush makes what was written durable
   */
  constructor(file: AppendFile, transfers: Transfers, flush: SharedFlush) {
    this.#file = file;
    this.#backend = transfers.backend;
    this.#transfers = transfers;
    this.#flush = flush;
    this.#flushed = new FlushedAppends(this.#ends, file.slot.slot);
  }

  /**
   * Appends.
   *
   * @param views checked
   * @returns the offset
   */
  append(
    views: readonly Uint8Array[],
    isDurable: boolean,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    return new Promise((resolve) => {
      const bytes = totalBytes(views);
      const ignoreAbort = ignore;
      const append: Append = { views, bytes, isDurable, resolve, ignoreAbort, isGivenUp: false };
      this.#enqueue(append);
      if (signal !== undefined) {
        append.ignoreAbort = onAbort(signal, () => this.#giveUp(append, signal));
      }
    });
  }

  #enqueue(append: Append): void {
    let batch = this.#queue.at(-1);
    const bytesMax = this.#transfers.space.pieceBytesMax;
    if (batch === undefined || batch.bytes + append.bytes > bytesMax) {
      batch = { appends: [], bytes: 0 };
      this.#queue.push(batch);
      this.#file.begin();
    }
    batch.appends.push(append);
    batch.bytes += append.bytes;
    // All that is held is to be durable: one that is not has it issued.
    if (this.#isScheduled || this.#isSlow || this.#isHeld && append.isDurable) return;
    this.#isScheduled = true;
    queueMicrotask(this.#issue);
  }

  /** Whether one of those that are not issued yet is of a part of a view. */
  isUsing(view: Uint8Array): boolean {
    return this.#queue.some(({ appends }) =>
      appends.some(({ views }) => views.some((one) => shareMemory(one, view)))
    );
  }

  /** What was not issued yet is not written. */
  #giveUp(append: Append, { reason }: AbortSignal): void {
    append.isGivenUp = true;
    append.resolve(Promise.reject(reason));
    for (const batch of this.#queue) {
      const at = batch.appends.indexOf(append);
      if (at < 0) continue;
      batch.appends.splice(at, 1);
      batch.bytes -= append.bytes;
    }
  }

  /**
   * Whether all that is not issued yet would have to wait for the next flush anyway, and may be
   * written durably then.
   */
  get #mayHold(): boolean {
    const isAwaited = this.#isHeld || this.#flush.isAwaited && this.#mayWriteDurably;
    return isAwaited && this.#queue.every(areDurable);
  }

  /** Whether a write may be a flush as well, where all before it is durable. */
  get #mayWriteDurably(): boolean {
    const { isDurable, isOnServer, durably, slot: { slot } } = this.#file;
    return !isDurable && !isOnServer && !durably.isFlushOwed && !this.#ends.mayOthersAppend(slot);
  }

  /** Issues all batches, or has them issued slowly. */
  readonly #issue = (): void => {
    this.#isScheduled = false;
    while (this.#queue.length > 0 && !this.#mayHold) {
      // Out of the queue before: where the thread is ended in the middle of this, the rest of its
      // turn may come here once more.
      const batch = this.#queue.shift()!;
      if (this.#tryIssue(batch)) continue;
      this.#queue.unshift(batch);
      this.#issueSlowly();
      return;
    }
  };

  #tryIssue(batch: Batch): boolean {
    const { space } = this.#transfers;
    if (!this.#ends.isKnown(this.#file.slot.slot)) return false;
    if (batch.bytes === 0) {
      this.#finish(batch, null, Promise.resolve(0));
      return true;
    }
    const straight = this.#straightOf(batch);
    const bounce = straight === null ? this.#tryGather(batch) : null;
    if (bounce === undefined) return this.#tryIssue(batch);
    const view = straight ?? bounce;
    if (view === null) return false;
    const hasTurn = this.#tryTakeTurn(batch);
    const place = this.#placeOf(batch, hasTurn);
    let written: Promise<number> | null = null;
    try {
      written = this.#transfers.tryFast(place, "write", view, 0);
    } catch (error) {
      written = Promise.reject(error);
    }
    if (written === null) {
      if (bounce !== null) space.giveBack(bounce);
      if (hasTurn) this.#endTurn();
      return false;
    }
    const done = bounce === null ? written : written.finally(() => space.giveBack(bounce));
    if (hasTurn) this.#finishTurn(batch, place, done);
    else this.#finish(batch, place, done);
    return true;
  }

  get #ends(): Backend["files"]["ends"] {
    return this.#backend.files.ends;
  }

  #placeOf({ bytes }: Batch, isDurable = false): AppendPlace {
    return new AppendPlace(this.#file, this.#ends, bytes, isDurable ? this.#file.durably : null);
  }

  /** @returns whether the write of a batch may be the flush of its appends as well */
  #tryTakeTurn(batch: Batch): boolean {
    // Several batches are written at once, and share flushes.
    if (this.#isHeld || this.#queue.length > 0 || !areDurable(batch)) return false;
    this.#isHeld = this.#flushed.areAll && this.#mayWriteDurably && this.#flush.tryTakeTurn();
    return this.#isHeld;
  }

  /** Its write will not be. */
  #endTurn(): void {
    this.#flush.endTurn();
    this.#isHeld = false;
  }

  /** The only view of a batch, if the kernel may have it as it is. */
  #straightOf({ appends }: Batch): Uint8Array | null {
    const view = appends.length === 1 && appends[0]!.views.length === 1
      ? appends[0]!.views[0]!
      : null;
    return view !== null && this.#transfers.isStraight(view) ? view : null;
  }

  /**
   * All of a batch in a row.
   *
   * @returns null if there is no room for that; undefined if the batch has fewer appends now
   */
  #tryGather(batch: Batch): Uint8Array<SharedArrayBuffer> | null | undefined {
    const { space } = this.#transfers;
    if (batch.bytes > space.pieceBytesMax) return null;
    const gathered = space.tryTake(batch.bytes, this.#file.alignment.memory);
    if (gathered === null || tryCopy(batch, gathered)) return gathered;
    space.giveBack(gathered);
    rejectChanged(batch);
    return undefined;
  }

  /** Those that come meanwhile wait behind. */
  async #issueSlowly(): Promise<void> {
    this.#isSlow = true;
    let error: unknown = null;
    await runSteps(learnEnd(this.#ends, this.#file.calls.awaited, this.#file)).catch((reason) =>
      error = reason
    );
    for (let batch = this.#queue.shift(); batch !== undefined; batch = this.#queue.shift()) {
      rejectChanged(batch);
      const place = this.#placeOf(batch);
      const written = error === null ? this.#writeSlowly(batch, place) : Promise.reject(error);
      this.#finish(batch, place, written);
      await place.taken;
    }
    this.#isSlow = false;
  }

  async #writeSlowly({ appends, bytes }: Batch, place: AppendPlace): Promise<number> {
    if (bytes === 0) return 0;
    const { addressOf } = this.#file;
    const views = appends.flatMap(({ views }) => views.map(fixed));
    return await this.#transfers.runSlowly(transferRequest(place, "write", views, 0, addressOf));
  }

  /** The end of a batch whose write is a flush. Those that it resolves may append once more. */
  async #finishTurn(batch: Batch, place: AppendPlace, writing: Promise<number>): Promise<void> {
    await this.#end(batch, place, writing.finally(() => this.#flush.endTurn()));
    await gather();
    this.#isHeld = false;
    this.#goOn();
  }

  /** The end of a batch whose write is none. */
  async #finish(batch: Batch, place: AppendPlace | null, writing: Promise<number>): Promise<void> {
    await this.#end(batch, place, writing);
    this.#goOn();
  }

  /** Issues what was held, if it need not be any more. */
  #goOn(): void {
    if (!this.#isScheduled && !this.#isSlow) this.#issue();
  }

  /** The end of a batch, once its write is over. */
  async #end(batch: Batch, place: AppendPlace | null, writing: Promise<number>): Promise<void> {
    this.#flushed.begin();
    const outcome = await outcomeOf(writing);
    this.#flushed.end();
    const written = this.#unlessFlush(batch, place, outcome);
    const whole = wholeBytes(batch, written.bytes);
    if (written.error !== null && whole < written.bytes) {
      const end = place!.from + written.bytes;
      await eraseRest(this.#transfers, this.#file, place!.from + whole, end);
      this.#flushed.left(end);
    }
    place?.over();
    // An empty one is where the file ends.
    const from = batch.bytes === 0 && written.error === null
      ? this.#ends.endOf(this.#file.slot.slot)
      : place!.from;
    const failed: FailedAppend[] = [];
    const left = this.#settle(batch, from, written, failed);
    if (failed.length > 0) await this.#failAll(failed, place, whole, written);
    if (left.length > 0) await this.#makeDurable(left, place);
    this.#file.end();
  }

  /**
   * A durable write that was a failed flush may be in the file: it keeps its place, and the flush
   * tells of it, or an earlier one that has failed.
   */
  #unlessFlush(batch: Batch, place: AppendPlace | null, written: Written): Written {
    const { error } = written;
    if (place?.isDurable !== true || this.#file.flushFailure.errno === 0) return written;
    const isFlush = isSystemError(error) && flushErrors.mayLoseWrites(error.errno);
    return isFlush ? { bytes: batch.bytes, error: null } : written;
  }

  /**
   * Resolves those that are written, and are not to be durable.
   *
   * @param failed takes those that are not
   * @returns those that are to be durable
   */
  #settle(
    { appends, bytes }: Batch,
    from: number,
    written: Written,
    failed: FailedAppend[],
  ): WholeAppend[] {
    const left: WholeAppend[] = [];
    let at = 0;
    for (const append of appends) {
      const end = at + append.bytes;
      const isFailed = from < 0 || end > written.bytes ||
        bytes > 0 && written.error !== null && append.bytes === 0;
      // A signal ends the wait for the flush, too.
      if (isFailed || !append.isDurable) append.ignoreAbort();
      if (isFailed) failed.push({ append, at });
      else if (append.isDurable) left.push({ append, offset: from + at });
      else append.resolve(from + at);
      at = end;
    }
    return left;
  }

  async #failAll(
    failed: readonly FailedAppend[],
    place: AppendPlace | null,
    whole: number,
    written: Written,
  ): Promise<void> {
    const from = place?.from ?? -1;
    let isHole = false;
    if (place?.giveBack(whole) === false) {
      await this.#file.settleFailed?.();
      isHole = this.#endsBehind(from + whole);
    }
    for (const { append, at } of failed) this.#fail(append, from, at, written, isHole);
  }

  /** Whether others have their places behind one that has failed. */
  #endsBehind(offset: number): boolean {
    return this.#ends.endOf(this.#file.slot.slot) > offset;
  }

  #fail(append: Append, from: number, at: number, written: Written, isHole: boolean): void {
    const bytesWritten = Math.min(append.bytes, Math.max(0, written.bytes - at));
    const place = from < 0 ? null : { offset: from + at, isHole };
    const error = appendError(this.#file.path, append.bytes, bytesWritten, place, written.error);
    if (append.isGivenUp && isHole) this.#backend.warn(error.message, error);
    reject(append, error);
  }

  /** Resolves what is written once it is durable, or rejects it. */
  async #makeDurable(
    written: readonly WholeAppend[],
    place: AppendPlace | null,
  ): Promise<void> {
    const { flushFailure, isDurable } = this.#file;
    const isNext = place?.isDurable === true && this.#flushed.isNext(place.takenAt);
    try {
      if (isDurable || isNext) {
        await flushFailure.settle(cannotMakeDurable, "pwritev");
        if (isNext) this.#flushed.written(place.takenAt);
      } else {
        const version = this.#flushed.ask();
        await this.#flush.join();
        this.#flushed.flushed(version);
      }
      for (const { append, offset } of written) append.resolve(offset);
    } catch (error) {
      // One that was given up hears nothing: then the end of the file tells of it.
      if (written.some(({ append }) => !append.isGivenUp)) flushFailure.noteTold(error);
      for (const { append } of written) reject(append, error);
    } finally {
      for (const { append } of written) append.ignoreAbort();
    }
  }

  /** As {@linkcode append}, blocking. */
  appendSync(views: readonly Uint8Array[], isDurable: boolean): number {
    const file = this.#file;
    runStepsSync(learnEnd(this.#ends, file.calls.blocking, file));
    const bytes = totalBytes(views);
    const offset = bytes === 0 ? this.#ends.endOf(file.slot.slot) : this.#writeSync(views, bytes);
    if (!isDurable) return offset;
    try {
      if (file.isDurable) file.flushFailure.settleSync(cannotMakeDurable, "pwritev");
      else this.#flush.joinSync();
    } catch (error) {
      throw file.flushFailure.noteTold(error);
    }
    return offset;
  }

  #writeSync(views: readonly Uint8Array[], bytes: number): number {
    const file = this.#file;
    const place = new AppendPlace(file, this.#ends, bytes);
    const request = transferRequest(place, "write", views, 0, file.addressOf);
    try {
      this.#transfers.runSync(request);
    } catch (error) {
      const written = request.cursor.done;
      if (written > 0) {
        eraseRestSync(this.#transfers, file, place.from, place.from + written);
        this.#flushed.left(place.from + written);
      }
      place.over();
      let isHole = false;
      if (!place.giveBack(0)) {
        file.settleFailedSync?.();
        isHole = this.#endsBehind(place.from);
      }
      const at = place.from < 0 ? null : { offset: place.from, isHole };
      throw appendError(file.path, bytes, written, at, error);
    }
    place.over();
    return place.from;
  }
}

function ignore(): void {}
