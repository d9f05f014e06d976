/**
 * fuzz_test.ts: random programs of the whole core interface in one thread, on every method,
 * compared with a model after each step (tests/support/fuzz). A failure shows the seed and the last
 * steps; `AIO_TEST_SEED=<that seed>` repeats them. Where a method executes IO elsewhere, the
 * machine too decides when an IO is over, so a repetition may take a few tries.
 *
 * The canaries break one rule each, and the model has to notice.
 */

import { type Backend, backendOf } from "../../core/inside.ts";
import { assert, AssertionError, assertRejects } from "@std/assert";
import { AioInvariantError } from "../../core/base/assert.ts";
import { ResourceOwner } from "../../core/life/resource_owner.ts";
import { HANDLE } from "../../core/memory/shared_memory.ts";
import type { Aio } from "../../storage/aio.ts";
import { replace } from "../support/bells/bells.ts";
import { CORE_METHODS } from "../support/core_methods.ts";
import { methodsOfPart } from "../support/methods.ts";
import { fuzzCore } from "../support/fuzz/fuzz_run.ts";
import { testSeed } from "../support/prng.ts";
import { isQuickPart } from "../support/house/part.ts";

/** Each with options of its own: one handle or 40, with the log or without, … */
const RUNS = isQuickPart() ? 1 : 2;
const STEPS = 600;
/** A broken rule is found within so many steps. */
const CANARY_STEPS = 3000;
/**
 * A seed whose program finds each of them. With other seeds a broken core may loop for ever before
 * the model can look.
 */
const CANARY_SEED = 1;

const NAME = "a random program of the core finds everything as it should be";
for (const { name: method, ignore } of methodsOfPart(NAME, CORE_METHODS)) {
  Deno.test({
    name: `${method}: ${NAME}`,
    ignore,
    async fn() {
      for (let run = 0; run < RUNS; run++) {
        await fuzzCore({ method, seed: (testSeed() + run) >>> 0, steps: STEPS });
      }
    },
  });
}

const CANARIES: Readonly<Record<string, (backend: Backend) => Disposable>> = {
  "the return slot of an IO that was given up is written": (backend) =>
    replace(backend, "abandon", () => {}),
  "a waiter is told twice": ({ turn }) => {
    const handOut = turn.handOut.bind(turn);
    return replace(turn, "handOut", (waiter) => {
      handOut(waiter);
      handOut(waiter);
    });
  },
  "a waiter is not told": ({ turn }) => {
    const handOut = turn.handOut.bind(turn);
    let count = 0;
    return replace(turn, "handOut", (waiter) => {
      if (++count % 10 === 0) waiter.completed = () => {};
      handOut(waiter);
    });
  },
  "the generation moves by two": (backend) => {
    const recycle = backend.recycle.bind(backend);
    return replace(backend, "recycle", (handle) => {
      handle.words[handle.base + HANDLE.generationLow]!++;
      recycle(handle);
    });
  },
  "an error leaves the batch open": ({ staging }) =>
    replace(staging, "errorCleanup", () => staging.submit()),
  "a batch is submitted as soon as it is begun": ({ staging }) => {
    const add = staging.add.bind(staging);
    return replace(staging, "add", (handle, isAtEndOfTurn) => {
      add(handle, isAtEndOfTurn);
      staging.submit();
    });
  },
  "local callbacks do not run": ({ callbacks }) => replace(callbacks, "runLocal", () => {}),
  "shared callbacks do not run": ({ callbacks }) => replace(callbacks, "runShared", () => {}),
  "an owner keeps what is over": () => replace(ResourceOwner.prototype, "forget", () => {}),
  "cancel forgets what is staged": (backend) => replace(backend, "cancel", () => {}),
  "a read brings a wrong byte": (backend) => {
    const perform = backend.performSynchronously.bind(backend);
    return replace(backend, "performSynchronously", (handle) => {
      const [view] = handle.operation === "readv" ? handle.buffers() : [];
      perform(handle);
      if (view !== undefined) view[0]! ^= 1;
    });
  },
  "a write is said to be done, but is not": (backend) => {
    const perform = backend.performSynchronously.bind(backend);
    return replace(backend, "performSynchronously", (handle) => {
      if (handle.operation !== "writev") perform(handle);
      else backend.processCompletion(handle, handle.length);
    });
  },
  "a method completes an IO twice": (backend) => {
    const perform = backend.performSynchronously.bind(backend);
    return replace(backend, "performSynchronously", (handle) => {
      perform(handle);
      perform(handle);
    });
  },
};

for (const [name, sabotage] of Object.entries(CANARIES)) {
  Deno.test(`held: fuzz canary: it is found when ${name}`, async () => {
    const plan = {
      method: "held",
      seed: CANARY_SEED,
      steps: CANARY_STEPS,
      sabotage: (aio: Aio) => sabotage(backendOf(aio)),
    };
    const fault = await assertRejects(() => fuzzCore(plan), Error);
    assert(fault instanceof AssertionError || fault instanceof AioInvariantError, fault.stack);
  });
}
