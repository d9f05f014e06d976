/**
 * crash_state.ts: class {@linkcode CrashState}: what a power cut may leave.
 *
 * @module
 */

import { dirname, join } from "node:path";
import type { DiskState } from "./disk.ts";

/** Makes one. */
export let crashStateOf: <T>(parts: CrashStateParts<T>) => CrashState<T>;

/** What one is made of. */
export interface CrashStateParts<T> extends DiskState {
  readonly marks: readonly T[];
  readonly markCount: number;
  readonly seed: string;
  /** Says what happened last, in words. */
  readonly describe: () => string;
}

/** What the files of a recorded program may be after a power cut. */
export class CrashState<T = unknown> {
  readonly #parts: CrashStateParts<T>;

  /** @ignore */
  private constructor(parts: CrashStateParts<T>) {
    this.#parts = parts;
  }

  static {
    crashStateOf = (parts) => new CrashState(parts);
  }

  /** The files, by path from the directory on. Other states share the bytes: do not change them. */
  get files(): ReadonlyMap<string, Uint8Array> {
    return this.#parts.files;
  }

  /** The directories in it, those above first. */
  get directories(): readonly string[] {
    return [...this.#parts.directories].sort();
  }

  /** What the program had marked by then, the oldest first. */
  get acknowledged(): readonly T[] {
    return this.#parts.marks.slice(0, this.#parts.markCount);
  }

  /** What makes this state of the same recording again, by {@linkcode crashState}. */
  get seed(): string {
    return this.#parts.seed;
  }

  /** When the power was cut, in words: `after step 12: flush of "log"`. */
  get moment(): string {
    return this.#parts.describe();
  }

  /**
   * Makes these files, for a program that recovers them.
   *
   * @param directory which is there
   */
  async writeTo(directory: string): Promise<void> {
    for (const path of this.directories) await Deno.mkdir(join(directory, path));
    for (const [path, bytes] of this.files) {
      await Deno.mkdir(dirname(join(directory, path)), { recursive: true });
      await Deno.writeFile(join(directory, path), bytes);
    }
  }
}
