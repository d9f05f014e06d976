/**
 * timeline.ts: when each change of a recording began and ended, and at which moments a power cut
 * leaves states that no other moment does.
 *
 * @module
 */

import type { Change } from "./changes.ts";
import type { Recorded } from "./recording.ts";

/** Never. */
export const NEVER = 0x7fff_ffff;

/** The order of things. */
export class Timeline {
  readonly changes: readonly Change[];
  /** The step at which each change begins. */
  readonly begins: Int32Array;
  /** The step at which each ends; {@linkcode NEVER}: it does not, or a write of it failed. */
  readonly ends: Int32Array;
  /** The step at which each has failed; {@linkcode NEVER}: it has not. */
  readonly failures: Int32Array;

  /** Reads a recording. */
  constructor({ changes, steps }: Recorded<unknown>) {
    this.changes = changes;
    this.begins = new Int32Array(changes.length);
    this.ends = new Int32Array(changes.length).fill(NEVER);
    this.failures = new Int32Array(changes.length).fill(NEVER);
    for (const [at, step] of steps.entries()) {
      if (step.kind === "begin") this.begins[step.change] = at;
      // Nobody knows how much of a failed write there is, so nothing relies on it.
      else if (step.kind === "end") (step.ok ? this.ends : this.failures)[step.change] = at;
    }
  }

  /** Whether one change was over before the other one began: then the system keeps their order. */
  isBefore(first: number, second: number): boolean {
    return this.ends[first]! < this.begins[second]!;
  }
}

/**
 * The moments to cut the power at, as numbers of steps that were taken. Where the next step only
 * adds to what may be on the disk, the moment behind it has all states that this one has.
 */
export function momentsOf({ changes, steps }: Recorded<unknown>): number[] {
  const moments: number[] = [];
  for (const [at, step] of steps.entries()) {
    if (step.kind === "mark") moments.push(at);
    else if (step.kind === "end") {
      const change = changes[step.change]!;
      const isFlush = change.kind === "flush" || change.kind === "flushNames" ||
        change.kind === "write" && change.isDurable;
      if (isFlush || !step.ok) moments.push(at);
    }
  }
  moments.push(steps.length);
  return moments;
}
