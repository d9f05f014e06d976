/**
 * methods.ts: one suite, every method. A test of something that executes IO is registered once a
 * method, with the method's name first; where the machine lacks the method it is ignored by name.
 *
 * @module
 */

import { availableMethods, type IoMethodName } from "../../methods/mod.ts";
import type { AioOptions } from "../../core/mod.ts";
import { Aio } from "../../storage/mod.ts";
import { warnOfOthers } from "./forgotten.ts";
import { fileUnderTest, isQuickPart } from "./house/part.ts";
import { isLong } from "./house/plan.ts";
import { PartOfTests, thinned } from "./house/thinning.ts";
import { type Shareable, SharedAio, sharedKey } from "./shared_aios.ts";
import { type MethodChoice, methodsByName } from "./turns.ts";
import { METHODS_FOR_TESTS, ONE_WORKER, poolUp, SMALL_POOL } from "./workers/worker_pool.ts";

/** A method, and whether its tests can run here. */
export interface MethodUnderTest {
  /** Its name, as in the option `method`. */
  readonly name: IoMethodName;
  /** Whether this machine lacks it. */
  readonly ignore: boolean;
}

/** Every method of this version. */
export const METHODS_UNDER_TEST: readonly MethodUnderTest[] = availableMethods()
  .map(({ name, ok }) => ({ name, ignore: !ok }));

/**
 * Registers a test for each method, named `sync: readAt() reads` and so on.
 *
 * @param name what is shown, in words
 * @param fn gets the method's name
 * @param isPossible whether the machine has what the test needs beside the method
 * @param turns those of its subject, or what else chooses some of the methods
 */
export function testEachMethod(
  name: string,
  fn: (method: IoMethodName) => void | Promise<void>,
  isPossible = true,
  turns: MethodChoice | null = null,
): void {
  for (const { name: method, ignore } of methodsOfPart(name, METHODS_UNDER_TEST, turns)) {
    Deno.test({
      name: `${method}: ${name}`,
      ignore: ignore || !isPossible,
      fn: () => fn(method),
    });
  }
}

/**
 * The methods that a test is registered for in this part of the suite. Those that the machine lacks
 * are among them, so that each test is ignored by name.
 */
export function methodsOfPart<T extends { readonly ignore: boolean }>(
  name: string,
  methods: readonly T[],
  turns: MethodChoice | null = null,
): readonly T[] {
  PartOfTests.choose(name);
  const available = methods.filter(({ ignore }) => !ignore);
  const byPart = turns?.next(available) ?? methodsByName(name, available);
  const chosen = thinned(name, available) ?? byPart;
  if (isQuickPart() && chosen.length < available.length) checkLongPart(fileUnderTest());
  return methods.filter((method) => method.ignore || chosen.includes(method));
}

/** Throws if the long part does not know of a file that leaves something to it. */
function checkLongPart(file: string): void {
  if (isLong(file)) return;
  throw new Error(`${file} leaves tests to the long part, in which house/plan.ts does not see it`);
}

/** What a test that shares its Aio needs beside the method. */
export interface SharedAioNeeds {
  /** The options of the Aio, in addition. */
  readonly options?: AioOptions;
  /** Whether the machine has what else it needs; default: yes. */
  readonly isPossible?: boolean;
}

const sharedAios = new Map<string, SharedAio<Shareable>>();

/**
 * The same for a test that leaves its Aio as it found it: one Aio a method does for all such tests
 * of a file that want the same options.
 *
 * @param name what is shown, in words
 * @param fn gets the Aio, and the method's name
 * @param needs what else it needs, and the options of its Aio
 */
export function testSharedAios(
  name: string,
  fn: (aio: Aio, method: IoMethodName) => void | Promise<void>,
  { options = {}, isPossible = true }: SharedAioNeeds = {},
): void {
  for (const { name: method, ignore: isLacking } of methodsOfPart(name, METHODS_UNDER_TEST)) {
    const ignore = isLacking || !isPossible;
    const shared = ignore ? null : sharedAioOf(method, options);
    Deno.test({
      name: `${method}: ${name}`,
      ignore,
      async fn() {
        await fn(shared!.take().aio, method);
        shared!.giveBack();
      },
    });
  }
}

function sharedAioOf(method: IoMethodName, options: AioOptions): SharedAio<Shareable> {
  const key = sharedKey(method, options);
  const shared = sharedAios.get(key) ?? new SharedAio(async () => {
    const aio = await openAio(method, { workers: ONE_WORKER, ...options });
    return { aio, [Symbol.asyncDispose]: () => aio.close() };
  });
  sharedAios.set(key, shared);
  return shared;
}

/**
 * Opens an Aio with one method, and no more memory and Workers than tests need; those run already.
 */
export async function openAio(method: IoMethodName, options: AioOptions = {}): Promise<Aio> {
  const own = {
    method,
    arenaBytes: 1024 * 1024,
    workers: SMALL_POOL,
    onWarning: warnOfOthers,
    ...options,
  };
  return await poolUp(await Aio.open(own, METHODS_FOR_TESTS));
}
