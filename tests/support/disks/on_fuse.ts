/**
 * on_fuse.ts: tests on a slow and failing file system of their own, one for each method.
 *
 * @module
 */

import type { IoMethodName } from "../../../methods/mod.ts";
import { testEachMethod } from "../methods.ts";
import type { Turns } from "../turns.ts";
import { fuseAvailable, type FuseServer, shareFuse } from "./fuse_server.ts";

/**
 * Has the tests of a file share one such file system. Called while the tests are registered.
 *
 * @param turns those of their subject; null: each test runs with each method
 * @param takeServer where other tests of the file take it, too
 * @returns registers a test for each method
 */
export function testsOnFuse(
  turns: Turns | null = null,
  takeServer: () => Promise<FuseServer> = shareFuse(),
): (
  name: string,
  fn: (server: FuseServer, method: IoMethodName) => Promise<void>,
) => void {
  return (name, fn) => {
    const test = async (method: IoMethodName) => await fn(await takeServer(), method);
    testEachMethod(name, test, fuseAvailable(), turns);
  };
}
