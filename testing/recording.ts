/**
 * recording.ts: what record_io.ts makes, and crash_states.ts takes.
 *
 * @module
 */

import { type Change, describeChange, DIRECTORY, type Step } from "./changes.ts";
import type { FileTree } from "./observed_files.ts";

/** What a recording consists of. */
export interface Recorded<T> {
  /** The files at its beginning, all of them durable. */
  readonly base: FileTree;
  readonly changes: readonly Change[];
  readonly steps: readonly Step[];
  /** What was marked, before and in it. */
  readonly marks: readonly T[];
  /** How many of them were marked before it began. */
  readonly marksBefore: number;
}

/** Makes a recording. */
export let recordingOf: <T>(recorded: Recorded<T>) => Recording<T>;
/** What is in one. */
export let recordedOf: <T>(recording: Recording<T>) => Recorded<T>;

/** What a program had its files told, by {@linkcode recordIo}. */
export class Recording<T = unknown> {
  readonly #recorded: Recorded<T>;

  /** @ignore */
  private constructor(recorded: Recorded<T>) {
    this.#recorded = recorded;
  }

  static {
    recordingOf = (recorded) => new Recording(recorded);
    recordedOf = (recording) => recording.#recorded;
  }

  /** What the program marked, and before that what it began with, in this order. */
  get marks(): readonly T[] {
    return this.#recorded.marks;
  }

  /**
   * What happened, in words: one line each time that a change began or ended, or the program marked
   * something.
   */
  get steps(): string[] {
    const { steps } = this.#recorded;
    const nameOf = fileNames(this.#recorded);
    return steps.map((step) => stepInWords(this.#recorded, step, nameOf));
  }
}

/** A step in words. */
export function stepInWords(
  { changes }: Recorded<unknown>,
  step: Step,
  nameOf: (node: number) => string,
): string {
  if (step.kind === "mark") return "mark";
  const what = describeChange(changes[step.change]!, nameOf);
  return step.kind === "begin" ? what : `${step.ok ? "end" : "failure"} of ${what}`;
}

/** How files are called in words: by the first name of each. */
export function fileNames({ base, changes }: Recorded<unknown>): (node: number) => string {
  const names = new Map<number, string>();
  for (const [path, bytes] of base) if (bytes !== null) names.set(names.size, path);
  for (const change of changes) {
    if (change.kind !== "name" || change.node === null || change.node === DIRECTORY) continue;
    if (!names.has(change.node)) names.set(change.node, change.path);
  }
  return (node) => names.has(node) ? `"${names.get(node)}"` : "a file without a name";
}
