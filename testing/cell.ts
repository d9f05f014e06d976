/**
 * cell.ts: what may have reached the disk of one thing that the disk has as a whole: a sector, or
 * the size of a file. The changes of a cell that are not durable are in it, in the order in which
 * they began.
 *
 * A sector goes to the disk with all that is in it by then. So one of its changes is there only if
 * each is that was over before it began. A truncation that the size has is there anyway.
 *
 * @module
 */

import type { Chooser } from "./chooser.ts";
import type { Timeline } from "./timeline.ts";

/** The truncations, and zeros, that all of their sectors have. */
export interface Wholes {
  /** Whether one is among them. */
  has(id: number): boolean;
  /** Whether this sector may have one that is not. */
  isOnItsOwn(id: number): boolean;
}

/** The changes of one sector, or of one size, that are not durable yet. */
export class Cell {
  ids: number[] = [];
  /** Whether any state of it is that after some of the first changes: the usual case. */
  isChain = true;
  readonly #timeline: Timeline;

  /** Without changes. */
  constructor(timeline: Timeline) {
    this.#timeline = timeline;
  }

  /** A change begins. */
  add(id: number): void {
    this.isChain &&= this.#continues(this.ids.at(-1), id);
    this.ids.push(id);
  }

  #continues(last: number | undefined, id: number): boolean {
    // A truncation is on the disk in all sectors or in none.
    if (this.#isWhole(id)) return false;
    return last === undefined || this.#timeline.isBefore(last, id);
  }

  #isWhole(id: number): boolean {
    const { kind } = this.#timeline.changes[id]!;
    return kind === "cut" || kind === "zero";
  }

  /** Takes changes out. */
  remove(isGone: (id: number) => boolean): void {
    const ids = this.ids.filter((id) => !isGone(id));
    this.ids = [];
    this.isChain = true;
    for (const id of ids) this.add(id);
  }

  /**
   * Makes changes durable: those that are covered, and those that were over before one of them
   * began.
   *
   * @param isDropped whether one that failed is of no account any more, as this one is durable
   * @returns them in order, taken out
   */
  takeDurable(
    isCovered: (id: number) => boolean,
    isDropped: (failed: number, durable: number) => boolean,
  ): number[] {
    const covered = this.ids.filter(isCovered);
    if (covered.length === 0) return covered;
    const timeline = this.#timeline;
    const durable = this.ids.filter((id) =>
      covered.includes(id) || covered.some((later) => timeline.isBefore(id, later))
    );
    if (durable.length === this.ids.length) {
      this.ids = [];
      this.isChain = true;
    } else {
      this.remove((id) =>
        durable.includes(id) || durable.some((later) => later > id && isDropped(id, later))
      );
    }
    return durable;
  }

  /**
   * Chooses what is on the disk.
   *
   * @param wholes which changes are there in all of their cells; null: that is chosen here
   * @param into gets a 1 or a 0 for each change
   */
  choose(chooser: Chooser, wholes: Wholes | null, into: Uint8Array): void {
    const { ids } = this;
    const timeline = this.#timeline;
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i]!;
      const isWhole = wholes !== null && this.#isWhole(id);
      const isThereAsWhole = isWhole && wholes.has(id);
      if (isWhole && !isThereAsWhole && !wholes.isOnItsOwn(id)) {
        into[i] = 0;
        continue;
      }
      let isRefused = false;
      for (let j = 0; j < i; j++) {
        isRefused ||= into[j] === 0 && timeline.isBefore(ids[j]!, id);
      }
      into[i] = isThereAsWhole || !isRefused && chooser.coin() ? 1 : 0;
    }
  }
}
