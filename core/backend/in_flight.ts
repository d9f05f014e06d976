/**
 * in_flight.ts: the own IOs that the method has, the oldest first.
 *
 * @module
 */

import type { AioHandle } from "../io/handle.ts";
import { HandleList } from "../base/handle_list.ts";

/** The list of one backend. */
export class InFlight {
  readonly #handles: readonly AioHandle[];
  readonly #first: number;
  readonly #list: HandleList;

  /**
   * @param handles all own handles, in order of their numbers
   */
  constructor(handles: readonly AioHandle[]) {
    this.#handles = handles;
    this.#first = handles[0]!.index;
    this.#list = new HandleList(handles.length);
  }

  /** How many there are. */
  get count(): number {
    return this.#list.count;
  }

  /** The one that has been there longest. */
  get oldest(): AioHandle | null {
    return this.#handles[this.#list.first] ?? null;
  }

  /** The oldest that is as asked; null if none is. */
  find(isWanted: (handle: AioHandle) => boolean): AioHandle | null {
    for (let local = this.#list.first; local >= 0; local = this.#list.after(local)) {
      const handle = this.#handles[local]!;
      if (isWanted(handle)) return handle;
    }
    return null;
  }

  /**
   * Hands on all that are as asked, the oldest first. Each is to be taken out by that, and no
   * other: callbacks and hooks run meanwhile, which may start, wait for and give back nothing.
   *
   * @returns how many there were
   */
  takeEach(isWanted: (handle: AioHandle) => boolean, take: (handle: AioHandle) => void): number {
    let count = 0;
    for (let local = this.#list.first; local >= 0;) {
      const handle = this.#handles[local]!;
      local = this.#list.after(local);
      if (!isWanted(handle)) continue;
      take(handle);
      count++;
    }
    return count;
  }

  /** Adds the newest. */
  append(handle: AioHandle): void {
    this.#list.append(handle.index - this.#first);
  }

  /** Takes one out. @returns whether it was in: an IO executed in its start call never is */
  remove(handle: AioHandle): boolean {
    const local = handle.index - this.#first;
    if (!this.#list.has(local)) return false;
    this.#list.remove(local);
    return true;
  }
}
