/**
 * A thread that verifies pages for `verify_pool.ts`, in the memory they were read into. Says once
 * that it is ready, then answers each run of pages with its bad ones, in order.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { type PageRun, verifyPages } from "./verify.ts";

self.onmessage = ({ data }: MessageEvent<PageRun>) => self.postMessage(verifyPages(data));
self.postMessage("ready");
