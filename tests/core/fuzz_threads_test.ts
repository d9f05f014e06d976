/**
 * fuzz_threads_test.ts: random programs of the core in three threads on one Aio, on every method:
 * each with a model of its own backend (fuzz_test.ts), waiting for each other's IO, attaching and
 * detaching. A failure tells the seeds and the last steps; `AIO_TEST_SEED=<the run's seed>` has the
 * same programs run again, but not the same order among the threads.
 *
 * The canaries break a rule in one thread, which another one has to notice.
 */

import { backendOf } from "../../core/inside.ts";
import { assert, AssertionError, assertRejects } from "@std/assert";
import type { AioHandle } from "../../core/io/handle.ts";
import { EIO } from "../../ffi/errno.ts";
import type { Aio } from "../../storage/aio.ts";
import { replace } from "../support/bells/bells.ts";
import { CORE_METHODS } from "../support/core_methods.ts";
import { fuzzThreads } from "../support/fuzz/fuzz_threads.ts";
import { testSeed } from "../support/prng.ts";

const STEPS = 400;
const ROUNDS = 2;
const CANARY_STEPS = 3000;

for (const { name: method, ignore } of CORE_METHODS) {
  Deno.test({
    name: `${method}: random programs in three threads find everything as it should be`,
    ignore,
    fn: async () =>
      void await fuzzThreads({ method, seed: testSeed(), steps: STEPS, rounds: ROUNDS }),
  });
}

/** Has this thread say something of the IO of others instead of performing it. */
function endOthers(aio: Aio, resultOf: (handle: AioHandle) => number): Disposable {
  const backend = backendOf(aio);
  const perform = backend.performSynchronously.bind(backend);
  return replace(backend, "performSynchronously", (handle) => {
    if (handle.backendId === backend.id) perform(handle);
    else backend.processCompletion(handle, resultOf(handle));
  });
}

const CANARIES: Readonly<Record<string, (aio: Aio) => Disposable>> = {
  // Of a flush that failed its file would tell, too.
  "another thread's read ends with an error that there was not": (aio) =>
    endOthers(aio, ({ operation, length }) => operation === "readv" ? -EIO : length),
  "another thread's IO is said to be done, but is not": (aio) =>
    endOthers(aio, ({ length }) => length),
};

for (const [name, sabotage] of Object.entries(CANARIES)) {
  Deno.test(`held: fuzz canary: it is found when ${name}`, async () => {
    const plan = { method: "held", seed: testSeed(), steps: CANARY_STEPS, rounds: 1, sabotage };
    const fault = await assertRejects(() => fuzzThreads(plan), Error);
    assert(fault instanceof AssertionError && fault.message.includes("thread"), fault.stack);
  });
}
