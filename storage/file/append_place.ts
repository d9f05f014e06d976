/**
 * append_place.ts: a place at the end of a file for what several appends write together, and the
 * file as the transfer sees it that writes them: offsets count from the place, which is taken with
 * the first IO's handle in hand. So a place that was taken is always an IO, or the intent of a
 * thread (core/files/file_ends.ts), and nothing is lost sight of if that thread dies.
 *
 * @module
 */

import type { Backend, FileSlot } from "../../core/inside.ts";
import type { AioHandle, StartOptions } from "../../core/mod.ts";
import type { FlaggedFile } from "./flagged_file.ts";
import type { Direction, TransferFile } from "./transfer_request.ts";
import { WrappedFile } from "./wrapped_file.ts";

/** What is needed of the file. */
export interface AppendedFile extends Omit<TransferFile, "start"> {
  /** Its place in the table of open files. */
  readonly slot: FileSlot;
  /** Starts an IO that writes a place which was taken. */
  startAppend(
    handle: AioHandle,
    offset: number,
    options: StartOptions | undefined,
    flags: number,
  ): void;
}

/** One place, of one transfer. */
export class AppendPlace extends WrappedFile implements TransferFile {
  /** Resolves when it is taken, or never will be. */
  readonly taken: Promise<void>;
  readonly #file: AppendedFile;
  readonly #ends: Backend["files"]["ends"];
  readonly #bytes: number;
  readonly #durably: FlaggedFile | null;
  #from = -1;
  #takenAt = 0;
  /** Whether it takes more than one IO, or waits for its first. */
  #isSlow = false;
  /** Where a write ends that has begun, as which the place counts until it is over; 0: none. */
  #entered = 0;
  #isLong = false;
  #isIntent = false;
  #resolve: () => void = () => {};

  /**
   * For one transfer.
   *
   * @param file appended to
   * @param ends has its end, which is known
   * @param bytes of the place
   * @param durably the file with writes that are durable, if this is to be one
   */
  constructor(
    file: AppendedFile,
    ends: Backend["files"]["ends"],
    bytes: number,
    durably: FlaggedFile | null = null,
  ) {
    super(file);
    this.#durably = durably;
    this.#file = file;
    this.#ends = ends;
    this.#bytes = bytes;
    this.taken = new Promise((resolve) => this.#resolve = resolve);
  }

  /** Where it begins; -1: it was not taken. */
  get from(): number {
    return this.#from;
  }

  /** The version that the end got by it. */
  get takenAt(): number {
    return this.#takenAt;
  }

  /** Whether what was written in it is durable by that. */
  get isDurable(): boolean {
    return this.#durably?.isFlushOwed === false;
  }

  /** See `TransferFile`. */
  giveUpRefused(before: number): boolean {
    return this.#durably?.giveUpRefused(before) ?? false;
  }

  /** The place stays taken until it is {@linkcode over}. */
  beginWrite(): void {
    this.#isSlow = true;
    if (this.#from >= 0) this.#enter(this.#from);
  }

  #enter(from: number): void {
    this.#entered = from + this.#bytes;
    this.#ends.beginWrite(this.#file.slot.slot, this.#entered);
  }

  /** @param at within the place */
  start(_direction: Direction, handle: AioHandle, at: number, options?: StartOptions): void {
    const { slot } = this.#file;
    if (this.#from >= 0) {
      this.#intendLong(this.#from + at);
      this.#startAppend(handle, this.#from + at, options);
      return;
    }
    const from = this.#ends.reserve(slot, this.#bytes);
    this.#takenAt = this.#ends.takenAt;
    try {
      if (this.#isSlow) this.#enter(from);
      if (handle.length < this.#bytes) this.#intendLong(from, from + this.#bytes);
      // Before: it may be over when it has started, and have come short.
      this.#from = from;
      this.#startAppend(handle, from, options);
    } catch (error) {
      this.#from = -1;
      this.#ends.giveBack(slot.slot, { from, to: from + this.#bytes });
      throw error;
    } finally {
      this.#ends.started();
    }
    this.#resolve();
  }

  #startAppend(handle: AioHandle, offset: number, options: StartOptions | undefined): void {
    this.#file.startAppend(handle, offset, options, this.#durably?.flags ?? 0);
  }

  /** What the system wrote only a part of takes more than one IO, too. */
  #intendLong(from: number, to = this.#from + this.#bytes): void {
    if (this.#isLong) return;
    this.#isLong = true;
    this.#isIntent = this.#ends.beginLong(this.#file.slot, { from, to });
  }

  /** The transfer is over. */
  over(): void {
    if (this.#entered > 0) this.#ends.endWrite(this.#file.slot.slot, this.#entered);
    if (this.#isIntent) this.#ends.endLong();
    this.#resolve();
  }

  /**
   * Gives what was not written back.
   *
   * @param written how much of it is to be kept
   * @returns false if others have their places behind it, or may have them in it, or write there:
   *   only the system knows where the file ends
   */
  giveBack(written: number): boolean {
    if (this.#from < 0) return true;
    const { slot } = this.#file.slot;
    const part = { from: this.#from + written, to: this.#from + this.#bytes };
    const asked = this.#ends.askedVersion(slot);
    if (this.#ends.writesEnd(slot) > part.from) return false;
    return this.#ends.giveBack(slot, part, { takenAt: this.#takenAt, asked });
  }
}
