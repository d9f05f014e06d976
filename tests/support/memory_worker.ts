/**
 * memory_worker.ts: the Worker of arena_test.ts that attaches with the token it is sent, and posts
 * whether `aio.memory` is where it gets memory from.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type AioToken } from "../../mod.ts";

self.onmessage = async ({ data: token }: MessageEvent<AioToken>) => {
  self.postMessage(await isInMemory(token));
};

async function isInMemory(token: AioToken): Promise<boolean> {
  await using aio = await Aio.attach(token);
  return aio.alloc(1).buffer === aio.memory.buffer;
}
