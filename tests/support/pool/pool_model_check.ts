/**
 * pool_model_check.ts: the tests that model_test.ts makes with few steps and model_long_test.ts
 * with many.
 *
 * @module
 */

import { assertFound } from "../canary.ts";
import { METHODS_UNDER_TEST, methodsOfPart } from "../methods.ts";
import { describeSeed, testSeed } from "../prng.ts";
import { type PoolModelPlan, runPoolModel, type Sabotage } from "./pool_model.ts";

/** Kinds of work, by their names. */
export const POOL_MODEL_KINDS: Readonly<
  Record<string, Pick<PoolModelPlan, "tasks" | "isBlocking" | "dies">>
> = {
  "three tasks a thread": { tasks: 3, isBlocking: false, dies: false },
  "threads that block": { tasks: 1, isBlocking: true, dies: false },
  "threads that die": { tasks: 3, isBlocking: false, dies: true },
  "threads that block and die": { tasks: 1, isBlocking: true, dies: true },
};

/** Registers the tests, with so many steps of each of so many threads. */
export function testPoolModel(threads: number, steps: number): void {
  const kinds = Object.entries(POOL_MODEL_KINDS);
  for (const [kind, work] of kinds) {
    const name = `a pool is as its model says after ${threads * steps} steps of ${kind}`;
    for (const { name: method, ignore } of methodsOfPart(name, METHODS_UNDER_TEST)) {
      Deno.test({
        name: `${method}: ${name}`,
        ignore,
        async fn() {
          const seed = testSeed();
          try {
            await runPoolModel({ method, seed, threads, steps, ...work });
          } catch (error) {
            throw new Error(`${kind}: ${describeSeed(seed)}`, { cause: error });
          }
        },
      });
    }
  }
}

/** Registers a test that the model finds a rule that is broken. */
export function testPoolModelCanary(sabotage: Sabotage, what: string): void {
  Deno.test(`sync: canary: a pool's model finds ${what}`, async () => {
    const plan = { method: "sync", threads: 2, steps: 3000, tasks: 4 } as const;
    await assertFound((seed) =>
      runPoolModel({ ...plan, seed, dies: false, isBlocking: false, sabotage })
    );
  });
}
