/**
 * idle_worker.ts: a thread that is attached and does nothing, for overhead.ts.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type AioToken } from "../mod.ts";

let aio: Aio | null = null;

self.onmessage = async ({ data }: MessageEvent<AioToken | "close">) => {
  if (data === "close") await aio?.close();
  else aio = await Aio.attach(data);
  self.postMessage("done");
};
