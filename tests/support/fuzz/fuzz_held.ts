/**
 * fuzz_held.ts: the method that the random tests hold IO with: who waits for an IO ends it, or another
 * one first; who looks for one ends it now and then; and a step of the test ends any of them.
 *
 * @module
 */

import type { AioHandle } from "../../../core/handle.ts";
import type { MethodBackend } from "../../../core/method.ts";
import { HeldMethod } from "../held_method.ts";
import type { Prng } from "../prng.ts";

/** The method. */
export class RandomlyHeld extends HeldMethod {
  readonly #prng: Prng;

  /** @param prng decides what ends when */
  constructor(prng: Prng) {
    super();
    this.#prng = prng;
  }

  override waitOne(backend: MethodBackend, handle: AioHandle): void {
    if (backend.claim(handle)) backend.performSynchronously(handle);
  }

  override checkOne(backend: MethodBackend, handle: AioHandle): void {
    if (this.#prng.chance(1, 4) && backend.claim(handle)) backend.performSynchronously(handle);
  }
}
