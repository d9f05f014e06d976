/**
 * fuzz_threads_canary.ts: canaries of the random programs in several threads: each breaks a rule in
 * one thread, which another one has to notice.
 *
 * @module
 */

import { assert, AssertionError, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import { EIO } from "../../../ffi/errno.ts";
import type { Aio } from "../../../storage/aio.ts";
import { replace } from "../bells/bells.ts";
import { testSeed } from "../prng.ts";
import { fuzzThreads } from "./fuzz_threads.ts";

const STEPS = 3000;

/** Makes this thread end the IO of others with a made-up result instead of performing it. */
function endOthers(aio: Aio, resultOf: (handle: AioHandle) => number): Disposable {
  const backend = backendOf(aio);
  const perform = backend.performSynchronously.bind(backend);
  return replace(backend, "performSynchronously", (handle) => {
    if (handle.backendId === backend.id) perform(handle);
    else backend.processCompletion(handle, resultOf(handle));
  });
}

const CANARIES = {
  // Only of reads: after a failed flush the file itself would report errors, too.
  "another thread's read ends with an error that there was not": (aio: Aio) =>
    endOthers(aio, ({ operation, length }) => operation === "readv" ? -EIO : length),
  "another thread's IO is said to be done, but is not": (aio: Aio) =>
    endOthers(aio, ({ length }) => length),
};

/** Registers a test that a broken rule is found. */
export function testThreadsCanary(name: keyof typeof CANARIES): void {
  const sabotage = CANARIES[name];
  Deno.test(`held: fuzz canary: it is found when ${name}`, async () => {
    const plan = { method: "held", seed: testSeed(), steps: STEPS, rounds: 1, sabotage };
    const fault = await assertRejects(() => fuzzThreads(plan), Error);
    assert(fault instanceof AssertionError && fault.message.includes("thread"), fault.stack);
  });
}
