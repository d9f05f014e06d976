/**
 * soak_fuzz.ts: random programs of the whole core interface, in one thread (fuzz_test.ts) and in
 * three (fuzz_threads_test.ts) by turns, for as long as one wants.
 *
 *     deno task soak:fuzz [--method held|io_uring|worker|sync] [--seed N] [--minutes N] [--steps N]
 *
 * Without `--method` all methods of the machine take turns. Prints a line every ten seconds, and
 * fails with the seed and the last steps of the first program that finds a fault.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { openDescriptors } from "./support/belongings.ts";
import { CORE_METHODS } from "./support/core_methods.ts";
import { fuzzCore } from "./support/fuzz/fuzz_run.ts";
import { fuzzThreads } from "./support/fuzz/fuzz_threads.ts";
import { numberOf } from "./support/soak_numbers.ts";

const PROGRESS_MS = 10_000;
/** Deno keeps some descriptors of a terminated Worker open for a while. */
const SPARE_DESCRIPTORS = 64;
/** How often each thread attaches. */
const ROUNDS = 3;

const { values } = parseArgs({
  options: {
    method: { type: "string" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    minutes: { type: "string", default: "10" },
    steps: { type: "string", default: "2000" },
  },
});

const methods = CORE_METHODS.filter(({ name, ignore }) =>
  !ignore && (values.method === undefined || values.method === name)
).map(({ name }) => name);
if (methods.length === 0) throw new RangeError(`There is no method ${values.method} here`);

const end = performance.now() + numberOf(values, "minutes") * 60_000;
const total = { programs: 0, steps: 0, started: 0, checked: 0 };
let seed = numberOf(values, "seed");
let toldAt = performance.now();
let descriptorsAtFirst: number | null = null;
do {
  for (const method of methods) {
    const plan = { method, seed: seed >>> 0, steps: numberOf(values, "steps"), rounds: ROUNDS };
    const running = seed % 2 === 0 ? fuzzCore(plan) : fuzzThreads(plan);
    const report = await running.catch((fault: Error) => {
      fault.message = `${method}: ${fault.message}`;
      throw fault;
    });
    total.programs++;
    total.steps += report.steps;
    total.started += report.started;
    total.checked += report.checked;
  }
  seed++;
  const descriptors = openDescriptors().length;
  descriptorsAtFirst ??= descriptors;
  if (descriptors > descriptorsAtFirst + SPARE_DESCRIPTORS) {
    throw new Error(`${descriptors} descriptors are open, and ${descriptorsAtFirst} were at first`);
  }
  if (performance.now() - toldAt < PROGRESS_MS) continue;
  toldAt = performance.now();
  console.log(`${JSON.stringify(total)}, next seed ${seed}`);
} while (performance.now() < end);
console.log(`${methods.join(", ")}: ${JSON.stringify(total)}, no fault`);
