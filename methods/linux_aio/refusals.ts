/**
 * linux_aio/refusals.ts: which files the kernel would make a submit wait for, or cannot do without
 * waiting: each refusal costs a call, so after one the next IOs of the file go to the pool at once,
 * twice as many after each.
 *
 * @module
 */

import type { AioHandle } from "../../core/io/handle.ts";
import type { MethodBackend } from "../../core/io/method.ts";
import * as table from "../../core/io/operation_table.ts";
import * as targets from "../../core/io/target.ts";
import * as layout from "../../core/memory/shared_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { OP_READV, OP_WRITEV } = table;
const { FILE_TARGET } = targets;
const { HANDLE, HEADER } = layout;

/** The most IOs that go to the pool after a refusal. */
const PAUSE_MAX = 63;
/** Reads, writes, flushes: a file that grows refuses writes alone. */
const KINDS = 3;

function kindOf(operation: number): number {
  return operation === OP_READV ? 0 : operation === OP_WRITEV ? 1 : 2;
}

/** What one backend has met. */
export class Refusals {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #lastFileTargetId: number;
  /** By file and kind; the last file stands for all descriptors that are none of this library's. */
  readonly #pauses: Int32Array;
  readonly #left: Int32Array;
  /** By file: which use of it that is. */
  readonly #generations: Int32Array;

  /**
   * @param backend whose they are
   */
  constructor({ control, lastFileTargetId }: MethodBackend) {
    this.#words = control.words;
    this.#lastFileTargetId = lastFileTargetId;
    const count = control.words[HEADER.maxFiles]! + 1;
    this.#pauses = new Int32Array(count * KINDS);
    this.#left = new Int32Array(count * KINDS);
    this.#generations = new Int32Array(count);
  }

  #indexOf({ base }: AioHandle): number {
    const words = this.#words;
    const kind = kindOf(words[base + HANDLE.operation]!);
    const last = this.#generations.length - 1;
    const target = words[base + HANDLE.target]!;
    if (target === 0 || target > this.#lastFileTargetId) return last * KINDS + kind;
    const number = words[base + HANDLE.targetData + FILE_TARGET.slot]!;
    if (!(number >= 0 && number < last)) return last * KINDS + kind;
    const generation = words[base + HANDLE.targetData + FILE_TARGET.slotGeneration]!;
    if (this.#generations[number] !== generation) {
      this.#generations[number] = generation;
      this.#pauses.fill(0, number * KINDS, (number + 1) * KINDS);
      this.#left.fill(0, number * KINDS, (number + 1) * KINDS);
    }
    return number * KINDS + kind;
  }

  /** Whether an IO goes to the kernel: no refusal of its file is as recent as that. */
  isToTry(handle: AioHandle): boolean {
    const at = this.#indexOf(handle);
    if (this.#left[at]! === 0) return true;
    this.#left[at]!--;
    return false;
  }

  /** What came of it. */
  note(handle: AioHandle, isRefused: boolean): void {
    const at = this.#indexOf(handle);
    this.#pauses[at] = isRefused ? Math.min(PAUSE_MAX, 2 * this.#pauses[at]! + 1) : 0;
    this.#left[at] = this.#pauses[at]!;
  }
}
