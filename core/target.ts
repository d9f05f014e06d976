/**
 * target.ts: what an IO is about, for descriptions and errors.
 *
 * Like callbacks, targets are known by small numbers, because the thread that describes an IO need
 * not be the one that started it. A target's data is six words in the handle.
 *
 * @module
 */

import { shown } from "./errors.ts";

/** A kind of thing that IO is done on. */
export interface AioTarget {
  /**
   * What the IO was about, in words: `file "a.db"`, `page 3 of table 7`.
   *
   * @param data the six words that were set
   */
  describeIdentity(data: Int32Array): string;
}

/** Gives a target its type, for modules of callbacks. */
export function defineTarget(target: AioTarget): AioTarget {
  return target;
}

/** The name of the target that is set before any other. */
export const INVALID_TARGET = "invalid";

/** Targets by id; 0 is none. */
export class TargetTable {
  readonly #names: string[] = [INVALID_TARGET];
  readonly #targets: (AioTarget | null)[] = [null];

  /** Adds a target under the next id. @throws {TypeError} if it is not one, or the name is taken */
  add(name: string, target: AioTarget): void {
    if (typeof target?.describeIdentity !== "function") {
      throw new TypeError(`Cannot register target "${name}": it has no describeIdentity()`);
    }
    if (this.#names.includes(name)) {
      throw new TypeError(`Cannot register target "${name}": the name is taken`);
    }
    this.#names.push(name);
    this.#targets.push(target);
  }

  /** All names, in order of their ids. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** The id of a name. @throws {RangeError} if there is no such target */
  idOf(name: string): number {
    const id = this.#names.indexOf(name);
    if (id > 0) return id;
    throw new RangeError(
      `Cannot find a target named ${shown(name)}: known are ${this.#names.slice(1).join(", ")}`,
    );
  }

  /** The name of an id; `"invalid"` for 0. */
  nameOf(id: number): string {
    return this.#names[id] ?? INVALID_TARGET;
  }

  /** Whether there is a target of that id. */
  has(id: number): boolean {
    return Number.isInteger(id) && id > 0 && id < this.#targets.length;
  }

  /** Describes what an IO is about; never throws, as it is called to tell errors. */
  describe(id: number, data: Int32Array): string {
    const target = this.#targets[id];
    if (target === null || target === undefined) return INVALID_TARGET;
    try {
      return String(target.describeIdentity(data));
    } catch (error) {
      return `${this.#names[id]} (its description failed: ${error})`;
    }
  }
}
