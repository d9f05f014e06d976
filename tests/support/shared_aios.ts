/**
 * shared_aios.ts: Aios that the tests of one process share, as each costs milliseconds to open, and
 * with the method worker the start of a pool.
 *
 * A test gets one with nothing under way and has to leave it so: what it leaves behind fails that
 * test, not the next one. Its memory and IO that is still in flight are taken back for it.
 *
 * @module
 */

import type { AioOptions } from "../../core/base/options.ts";
import { backendOf } from "../../core/inside.ts";
import { INJECTION_POINTS } from "../../core/io/result.ts";
import type { Layer } from "../../core/life/layer.ts";
import type { Aio } from "../../storage/aio.ts";
import { fileUnderTest } from "./house/part.ts";
import { shareAmongTests } from "./shared.ts";

/** What is shared: an Aio, and what belongs to it. */
export interface Shareable extends AsyncDisposable {
  readonly aio: Aio;
}

/**
 * What tells a shared Aio from others. What cannot be compared, such as layers and hooks, is a test
 * file's own.
 *
 * @param method how it executes IO
 * @param options of the Aio
 * @param layers beside those of the library
 */
export function sharedKey(
  method: string,
  options: AioOptions,
  layers: readonly Layer[] = [],
): string {
  const names = layers.map(({ name }) => name);
  const isOwn = names.length > 0 || Object.values(options).some((value) => value instanceof Object);
  return JSON.stringify([isOwn ? fileUnderTest() : "", method, options, names]);
}

/** One that is shared. */
export class SharedAio<T extends Shareable> {
  readonly #sharedOf: () => T;
  #isUnfit = false;

  /**
   * Called while tests are registered.
   *
   * @param open opens it, before the first test
   */
  constructor(open: () => Promise<T>) {
    this.#sharedOf = shareAmongTests(open);
  }

  /** For one test. */
  take(): T {
    if (this.#isUnfit) throw new Error("An earlier test has left the shared aio unfit: see there");
    return this.#sharedOf();
  }

  /** After the test. Throws if it left what may not be left; no other test gets the Aio then. */
  giveBack(): void {
    const { aio } = this.take();
    const left = aio.isClosed ? "that is closed" : takeBack(aio);
    if (left === "") return;
    this.#isUnfit = true;
    throw new Error(`The test leaves a shared aio ${left}`);
  }
}

/** Takes back what a test may leave. @returns what it may not leave, in words; empty: nothing */
function takeBack(aio: Aio): string {
  const backend = backendOf(aio);
  if (backend.hasHandedOut) return "with a handle handed out";
  if (backend.staging.isInBatch) return "with an open batch";
  if (backend.acquireQueue.length > 0) return "with a queue for handles";
  const hooked = INJECTION_POINTS.filter((point) => aio.detachInjectionPoint(point));
  if (hooked.length > 0) return `with a hook at ${hooked}`;
  aio.submitStaged();
  for (const { ioId: index, ioGeneration: generation } of aio.ios()) {
    aio.waitSync({ index, generation });
  }
  if (backend.idleCount !== aio.options.maxConcurrency) return "with a handle less";
  if (aio.backends().length > 1) return "with a thread attached";
  backend.arena.giveBackAllOf(backend.id);
  return "";
}
