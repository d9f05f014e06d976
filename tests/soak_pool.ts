/**
 * soak_pool.ts: random work on a pool by four threads, some of which die, against the model of
 * model_test.ts, for as long as it takes to do 10^8 operations, or as one wants.
 *
 *     deno task soak:pool [--method io_uring|linux_aio|worker|sync] [--ops N] [--seed N]
 *       [--minutes N]
 *
 * Without `--method` all methods of the machine take turns, and so do the kinds of work. Prints a
 * line every ten seconds, and fails with the method, the kind and the seed of the first program
 * that finds a fault.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { METHODS_UNDER_TEST } from "./support/methods.ts";
import { runPoolModel } from "./support/pool/pool_model.ts";
import { POOL_MODEL_KINDS } from "./support/pool/pool_model_check.ts";
import { numberOf } from "./support/soak_numbers.ts";

const PROGRESS_MS = 10_000;
const THREADS = 4;
/** Of each thread, in one program. */
const STEPS = 16_000;

const { values } = parseArgs({
  options: {
    method: { type: "string" },
    ops: { type: "string", default: "100000000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    minutes: { type: "string", default: "2880" },
  },
});

const methods = METHODS_UNDER_TEST.filter(({ name, ignore }) =>
  !ignore && (values.method === undefined || values.method === name)
).map(({ name }) => name);
if (methods.length === 0) throw new RangeError(`There is no method ${values.method} here`);

const wanted = numberOf(values, "ops");
const end = performance.now() + numberOf(values, "minutes") * 60_000;
const total = { programs: 0, operations: 0, deaths: 0 };
const isOver = () => total.operations >= wanted || performance.now() > end;
let seed = numberOf(values, "seed");
let toldAt = performance.now();
for (; !isOver(); seed++) {
  for (const method of methods) {
    for (const [kind, work] of Object.entries(POOL_MODEL_KINDS)) {
      if (isOver()) break;
      const plan = { method, seed: seed >>> 0, threads: THREADS, steps: STEPS, ...work };
      total.deaths += await runPoolModel(plan).catch((fault: Error) => {
        fault.message = `${method}, ${kind}, seed ${plan.seed}: ${fault.message}`;
        throw fault;
      });
      total.programs++;
      total.operations += THREADS * STEPS;
      if (performance.now() - toldAt < PROGRESS_MS) continue;
      toldAt = performance.now();
      console.log(`${JSON.stringify(total)}, seed ${seed}`);
    }
  }
}
console.log(`${methods.join(", ")}: ${JSON.stringify(total)}, no fault`);
