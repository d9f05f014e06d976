/**
 * name_table.ts: names with small numbers, the same in every thread that adds them in the same
 * order.
 *
 * @module
 */

import { shown } from "./errors.ts";

/** The name of id 0, which is none. */
export const INVALID_NAME = "invalid";

/** Names by id, and ids by name. */
export class NameTable {
  readonly #kind: string;
  readonly #names: string[] = [INVALID_NAME];

  /**
   * An empty table.
   *
   * @param kind what is named, for errors: `"callback"`
   */
  constructor(kind: string) {
    this.#kind = kind;
  }

  /** All names, in order of their ids. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** Gives a name the next id. @throws {TypeError} if it is taken */
  protected addName(name: string): void {
    if (this.#names.includes(name)) {
      throw new TypeError(`Cannot register ${this.#kind} "${name}": the name is taken`);
    }
    this.#names.push(name);
  }

  /** The id of a name. @throws {RangeError} if there is none */
  idOf(name: string): number {
    const id = this.#names.indexOf(name);
    if (id > 0) return id;
    throw new RangeError(
      `Cannot find a ${this.#kind} named ${shown(name)}: known are ${
        this.#names.slice(1).join(", ")
      }`,
    );
  }

  /** The name of an id; `"invalid"` for 0 and for what is none. */
  nameOf(id: number): string {
    return this.#names[id] ?? INVALID_NAME;
  }

  /** Whether there is a name of that id. */
  has(id: number): boolean {
    return Number.isInteger(id) && id > 0 && id < this.#names.length;
  }
}
