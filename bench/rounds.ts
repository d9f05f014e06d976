/**
 * rounds.ts: alternating rounds, medians and spread: what all benchmarks here report.
 *
 * @module
 */

/** The arguments of every benchmark here, for `parseArgs` of `node:util`. */
export const ROUND_OPTIONS = {
  /** How many rounds. */
  rounds: { type: "string", default: "9" },
  /** How long each contender runs in a round. */
  seconds: { type: "string", default: "1" },
  /** Where the file is made that they work on. */
  dir: { type: "string", default: "." },
} as const;

/** What one contender reached over all rounds, in ns per operation. */
export interface Figures {
  /** The middle of all rounds. */
  readonly median: number;
  /** The fastest round. */
  readonly min: number;
  /** The slowest round. */
  readonly max: number;
}

/** Runs a number of operations; may be asynchronous. */
export type Contender = (operations: number) => void | Promise<void>;

/** Median and spread of some values. */
export function figures(values: readonly number[]): Figures {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1]!, min: sorted[0]!, max: sorted.at(-1)! };
}

/**
 * Times contenders in turn: A B C, A B C, ... so that a machine that becomes slower is slower for
 * all.
 *
 * @param contenders by name; each is warmed up first
 * @param rounds how many
 * @param operations of each round
 * @param before runs untimed before each timed run, such as to warm a cache
 * @returns ns per operation, by name, one entry a round
 */
export async function alternate(
  contenders: Readonly<Record<string, Contender>>,
  rounds: number,
  operations: number,
  before: () => void = () => {},
): Promise<Record<string, number[]>> {
  const results: Record<string, number[]> = {};
  for (const [name, run] of Object.entries(contenders)) {
    results[name] = [];
    await run(Math.min(operations, 50_000));
  }
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(contenders)) {
      before();
      const start = performance.now();
      await run(operations);
      results[name]!.push((performance.now() - start) * 1e6 / operations);
    }
  }
  return results;
}

/** The ratios of two contenders, round by round. */
export function ratios(over: readonly number[], under: readonly number[]): Figures {
  return figures(over.map((value, i) => value / under[i]!));
}
