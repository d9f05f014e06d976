/**
 * target.ts: what an IO is about, for descriptions and errors.
 *
 * Like callbacks, targets are known by small numbers, because the thread that describes an IO need
 * not be the one that started it. A target's data is six words in the handle.
 *
 * @module
 */

import { assert } from "../base/assert.ts";
import { INVALID_NAME, NameTable } from "../base/name_table.ts";
import { refusePromise } from "../base/promise.ts";

/** The name of the target that stands for an open file. */
export const FILE_TARGET_NAME = "file";

/** Where in a target's data the words of the target `file` are, and of all that stand for files. */
export const FILE_TARGET = {
  slot: 0,
  slotGeneration: 1,
  offsetLow: 2,
  offsetHigh: 3,
  length: 4,
  /** 1: it is an append, whose place nobody else writes. */
  isAppend: 5,
} as const;

/** A kind of thing that IO is done on. */
export interface AioTarget {
  /**
   * What the IO was about, in words: `file "a.db"`, `page 3 of table 7`.
   *
   * @param data the six words that were set
   */
  describeIdentity(data: Int32Array): string;
}

/** What an IO was about, for whoever puts its outcome into words. */
export interface TargetIdentity {
  /** The target's id, as `aio.targetId()` tells it. */
  readonly id: number;
  /** The target's name. */
  readonly name: string;
  /** Whether its words are those of the target `file`, which it may name in its own way. */
  readonly isFile: boolean;
  /** What the IO was about, in the target's own words; never throws. */
  describe(): string;
}

/** Gives a target its type, for modules of callbacks. */
export function defineTarget(target: AioTarget): AioTarget {
  return target;
}

/** Targets by id; 0 is none. Those that stand for open files come first. */
export class TargetTable extends NameTable {
  readonly #targets: (AioTarget | null)[] = [null];
  #lastFileId = 0;

  /** An empty table. */
  constructor() {
    super("target");
  }

  /** The last id of a target that stands for an open file: all before it do, but 0. */
  get lastFileId(): number {
    return this.#lastFileId;
  }

  /**
   * Adds a target that stands for an open file, with the words of {@linkcode FILE_TARGET}: whoever
   * looks after files finds them in it. To be called before {@linkcode add}.
   */
  addFileTarget(name: string, target: AioTarget): void {
    assert(this.#lastFileId === this.#targets.length - 1, "Targets that are files come first");
    this.add(name, target);
    this.#lastFileId++;
  }

  /** Whether a target stands for an open file. */
  isFile(id: number): boolean {
    return id > 0 && id <= this.#lastFileId;
  }

  /** Adds a target under the next id. @throws {TypeError} if it is not one, or the name is taken */
  add(name: string, target: AioTarget): void {
    if (typeof target?.describeIdentity !== "function") {
      throw new TypeError(`Cannot register target "${name}": it has no describeIdentity()`);
    }
    this.addName(name);
    this.#targets.push(target);
  }

  /** Describes what an IO is about; never throws, as it is called to tell errors. */
  describe(id: number, data: Int32Array): string {
    const target = this.#targets[id];
    if (target === null || target === undefined) return INVALID_NAME;
    try {
      const words: unknown = target.describeIdentity(data);
      refusePromise(words, "a description may not be a promise");
      return String(words);
    } catch (error) {
      return `${this.nameOf(id)} (its description failed: ${error})`;
    }
  }

  /** What an IO was about, to be handed to a callback's `report`. */
  identify(id: number, data: Int32Array): TargetIdentity {
    const describe = () => this.describe(id, data);
    return { id, name: this.nameOf(id), isFile: this.isFile(id), describe };
  }
}
