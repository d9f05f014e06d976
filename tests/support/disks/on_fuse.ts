/**
 * on_fuse.ts: tests on a slow and failing file system of their own, one for each method.
 *
 * @module
 */

import type { IoMethodName } from "../../../methods/mod.ts";
import { testEachMethod } from "../methods.ts";
import { fuseAvailable, type FuseServer, shareFuse } from "./fuse_server.ts";

/**
 * Has the tests of a file share one such file system. Called while the tests are registered.
 *
 * @param takeServer where other tests of the file take it, too
 * @returns registers a test for each method
 */
export function testsOnFuse(takeServer: () => Promise<FuseServer> = shareFuse()): (
  name: string,
  fn: (server: FuseServer, method: IoMethodName) => Promise<void>,
) => void {
  return (name, fn) =>
    testEachMethod(name, async (method) => await fn(await takeServer(), method), fuseAvailable());
}
