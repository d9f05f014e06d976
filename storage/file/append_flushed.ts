/**
 * append_flushed.ts: whether all that was appended to a file is durable. A durable write makes
 * nothing durable but itself, and whoever reads record after record does not come to one behind a
 * record that a power cut took. So such a write may only follow what is durable already.
 *
 * The end of a file has a version, which moves with each place that is taken, in whichever thread.
 *
 * @module
 */

import type { Backend } from "../../core/inside.ts";

/** What is known to be durable of the appends to one open file, by one of its users. */
export class FlushedAppends {
  readonly #ends: Backend["files"]["ends"];
  readonly #slot: number;
  /** Batches of this user that are being written. */
  #underWay = 0;
  /** The version of the end with which all was durable; null: nothing is known. */
  #version: number | null = null;
  /** Where what appends that have failed had written ends; 0: none has. */
  #restEnd = 0;
  /** The version of the end that had set it back last when that was written. */
  #setBack = 0;

  /**
   * Of one open file.
   *
   * @param ends has its end
   * @param slot its place in the table of open files
   */
  constructor(ends: Backend["files"]["ends"], slot: number) {
    this.#ends = ends;
    this.#slot = slot;
  }

  /**
   * Whether all is, and the file is no larger than its end says: if a durable write fails, its size
   * must tell whether anything of that was written.
   */
  get areAll(): boolean {
    return this.#version === this.#ends.versionOf(this.#slot) && !this.#hasRest;
  }

  get #hasRest(): boolean {
    if (this.#restEnd === 0) return false;
    // Where the end was set back it is the size of the file.
    const isThere = this.#setBack === this.#ends.setBackAt(this.#slot);
    return isThere && this.#restEnd > this.#ends.endOf(this.#slot);
  }

  /** A part of an append that has failed was written, up to there, and stays in the file. */
  left(end: number): void {
    this.#restEnd = Math.max(this.#restEnd, end);
    this.#setBack = this.#ends.setBackAt(this.#slot);
  }

  /** A batch is being written. */
  begin(): void {
    this.#underWay++;
  }

  /** It is over. */
  end(): void {
    this.#underWay--;
  }

  /**
   * Before a flush begins.
   *
   * @returns for {@linkcode flushed}: the version with which it makes all durable, if it does
   */
  ask(): number | null {
    // First: whoever comes after that look at others, and appends, moves it on.
    const version = this.#ends.versionOf(this.#slot);
    return this.#underWay > 0 || this.#ends.mayOthersAppend(this.#slot) ? null : version;
  }

  /** That flush has gone well. */
  flushed(version: number | null): void {
    if (version !== null) this.#version = version;
  }

  /**
   * Whether a place comes right behind all that is durable: another thread may have got one before
   * it, since this one has looked for others.
   *
   * @param takenAt the version that the end got by it
   */
  isNext(takenAt: number): boolean {
    return this.#version !== null && takenAt === (this.#version + 1 | 0);
  }

  /** A durable write in such a place has gone well. */
  written(takenAt: number): void {
    if (this.isNext(takenAt)) this.#version = takenAt;
  }
}
