/**
 * measure.ts: how one contender is measured: the page cache is warmed, the contender is warmed up,
 * then it runs for a short time, in slices, so that signals are heard in between.
 *
 * @module
 */

import process from "node:process";
import { setImmediate } from "node:timers/promises";
import type { Contender } from "./contender.ts";

const SLICE_MS = 100;
const WARM_UP_MS = 80;
const WARM_READ_BYTES = 1024 * 1024;

/** What one contender reached. */
export interface Figures {
  /** Reads done. */
  readonly reads: number;
  /** Time that passed, in seconds. */
  readonly seconds: number;
  /** Time that all threads of this process were busy, in seconds. */
  readonly cpuSeconds: number;
}

/** Reads a part of a file, so that it is in the page cache as far as memory allows. */
export class CacheWarmer {
  readonly #path: string;
  readonly #bytes: number;
  readonly #buffer = new Uint8Array(WARM_READ_BYTES);

  /** @param path the file; @param bytes how much of it, from its start */
  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  /** Reads it all. */
  async warm(): Promise<void> {
    using file = await Deno.open(this.#path);
    for (let done = 0; done < this.#bytes;) {
      const bytes = await file.read(this.#buffer);
      if (bytes === null) return;
      done += bytes;
    }
  }
}

/**
 * Measures a contender.
 *
 * @param contender what reads
 * @param durationMs for how long
 */
export async function measure(contender: Contender, durationMs: number): Promise<Figures> {
  await contender.run(performance.now() + (contender.warmUpMs ?? WARM_UP_MS));
  let [reads, elapsedMs, cpuMicroseconds] = [0, 0, 0];
  // On a busy machine a short run may be over before its first read.
  while (elapsedMs < durationMs || reads === 0) {
    await setImmediate();
    const cpu = process.cpuUsage();
    const start = performance.now();
    const leftMs = durationMs - elapsedMs;
    reads += await contender.run(start + (leftMs > 0 ? Math.min(SLICE_MS, leftMs) : SLICE_MS));
    elapsedMs += performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    cpuMicroseconds += user + system;
  }
  return { reads, seconds: elapsedMs / 1e3, cpuSeconds: cpuMicroseconds / 1e6 };
}
