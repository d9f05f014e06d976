/**
 * slow_io_worker.ts: a thread that waits for one IO of another one, for slow_io.ts.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio } from "../mod.ts";
import type { SlowOrder } from "./slow_io.ts";

self.onmessage = async ({ data: { token, ref, blocks } }: MessageEvent<SlowOrder>) => {
  await using aio = await Aio.attach(token);
  self.postMessage("waits");
  if (blocks) aio.waitSync(ref);
  else await aio.wait(ref);
  self.postMessage("over");
};
