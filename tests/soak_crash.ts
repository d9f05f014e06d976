/**
 * soak_crash.ts: power cuts of small logs, 10^9 of them, on all processors: see log_states.ts.
 *
 *     deno task soak:crash [--states N] [--seed N] [--minutes N]
 *
 * Prints a line every ten seconds, and fails with the method, the options and the seed of the first
 * program after which anything is lost or invented.
 *
 * @module
 */

import { parseArgs } from "node:util";
import type { StatesPlan } from "./support/log/log_states.ts";
import { METHODS_UNDER_TEST } from "./support/methods.ts";
import { AskedThread } from "./support/threads/asked_thread.ts";
import { numberOf } from "./support/soak_numbers.ts";
import { turnOf } from "./support/soak_turns.ts";

const PROGRESS_MS = 10_000;
/** States of one program. */
const STATES = 200_000;
const WAYS = [
  {},
  { sync: "fdatasync" },
  { direct: false },
  { direct: false, sync: "fdatasync" },
] as const;
const WORKER = new URL("./support/log/log_states_worker.ts", import.meta.url);

const { values } = parseArgs({
  options: {
    states: { type: "string", default: "1000000000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    minutes: { type: "string", default: "2880" },
  },
});

const methods = METHODS_UNDER_TEST.filter(({ ignore }) => !ignore).map(({ name }) => name);
const wanted = numberOf(values, "states");
const start = performance.now();
const end = start + numberOf(values, "minutes") * 60_000;
const isOver = () => states >= wanted || performance.now() > end;
let seed = numberOf(values, "seed");
let states = 0;
let toldAt = start;

/** Has one thread look at programs, until it is over. */
async function run(thread: AskedThread<StatesPlan>): Promise<void> {
  while (!isOver()) {
    const { method, way: options } = turnOf(seed, methods, WAYS);
    const plan: StatesPlan = { method, seed: seed++ >>> 0, states: STATES, options };
    await thread.ask(plan).catch((cause) => {
      throw new Error(`${JSON.stringify(plan)}: ${cause.message}`, { cause });
    });
    states += STATES;
    tell();
  }
}

function tell(): void {
  const now = performance.now();
  if (now - toldAt < PROGRESS_MS) return;
  toldAt = now;
  console.log(`${states} states, ${Math.round(states / (now - start) * 1000)} a second`);
}

const threads = Array.from(
  { length: navigator.hardwareConcurrency },
  () => new AskedThread<StatesPlan>(WORKER),
);
try {
  await Promise.all(threads.map(run));
} finally {
  for (const thread of threads) thread.terminate();
}
console.log(`${states} states from seed ${values.seed}, no fault`);
