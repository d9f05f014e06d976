/**
 * private_read.ts: one read of neighbouring blocks into private pages, in as many IOs as it takes;
 * made once and used again.
 *
 * @module
 */

import { errnos, isAligned } from "../../core/inside.ts";
import { AioReturn, type CompletionWaiter, type WaitRef } from "../../core/mod.ts";
import { outcomeOf } from "../file/transfer_request.ts";
import { ReadOperation } from "./page_source.ts";

const { EAGAIN, EINTR } = errnos;

/** How often in a row a call is made again that was interrupted or found no room. */
const RETRIES_MAX = 1000;

/** An operation, and what it reads. */
export class PrivateOperation extends ReadOperation {
  /** What was started, or is to be; null: nothing. */
  read: PrivateRead | null = null;
}

/** One read. */
export class PrivateRead implements WaitRef, CompletionWaiter {
  // The wait reference of the IO in flight.
  index = 0;
  generation = 0;
  /** Its outcome. */
  readonly ret = new AioReturn();
  /** Where the pages are, by ascending block. */
  readonly places: Int32Array;
  /** How many they are. */
  count = 0;
  /** The lowest block. */
  firstBlock = 0;
  /** Where that begins in the file, in bytes. */
  offset = 0;
  /** Bytes of all pages. */
  bytes = 0;
  /** How many of them were read, from the lowest. */
  done = 0;
  /** The system's error number; 0: none. */
  errno = 0;
  /** Whether an IO is in flight, or its outcome not looked at yet. */
  isInFlight = false;
  /** Whether all was read that can be. */
  isOver = false;
  readonly #settle: (read: PrivateRead) => void;
  #retries = 0;
  /** The greatest end of a direct read that was no multiple of the unit: that of the file. */
  #oddEnd = 0;

  /**
   * @param pagesMax most pages of a read
   * @param settle called when an IO is done that was given up
   */
  constructor(pagesMax: number, settle: (read: PrivateRead) => void) {
    this.places = new Int32Array(pagesMax);
    this.#settle = settle;
  }

  /** Makes it a read of `count` pages from a block on, whose places are known. */
  begin(firstBlock: number, count: number, pageSize: number): void {
    this.firstBlock = firstBlock;
    this.count = count;
    this.offset = firstBlock * pageSize;
    this.bytes = count * pageSize;
    this.done =
      this.errno =
      this.#retries =
      this.#oddEnd =
        0;
    this.isOver = false;
  }

  /**
   * Takes the outcome of the IO. Afterwards the read is over, or goes on at `done`.
   *
   * @param unit what the end of a direct read is a multiple of, unless it is that of the file
   * @param fileBytes where the file ends for sure; may be infinite
   * @returns whether the system asks for the same call again
   */
  takeOutcome(unit: number, fileBytes: number): boolean {
    this.isInFlight = false;
    const outcome = outcomeOf(this.ret);
    if ((outcome === -EINTR || outcome === -EAGAIN) && this.#retries++ < RETRIES_MAX) return true;
    this.#retries = 0;
    if (outcome < 0) this.errno = -outcome;
    if (outcome <= 0) {
      this.isOver = true;
      // A direct read went back to a multiple of the unit.
      this.done = Math.max(this.done, this.#oddEnd);
      return false;
    }
    const end = Math.min(this.done + outcome, this.bytes);
    if (end === this.bytes || this.offset + end >= fileBytes) {
      this.done = end;
      this.isOver = true;
    } else if (isAligned(this.offset + end, unit)) {
      this.done = end;
    } else if (end > this.#oddEnd) {
      // It is tried again: what ends there twice is the file.
      this.#oddEnd = end;
      this.done = end - (this.offset + end) % unit;
    } else {
      this.done = this.#oddEnd;
      this.isOver = true;
    }
    return false;
  }

  completed(): void {
    this.#settle(this);
  }
}
