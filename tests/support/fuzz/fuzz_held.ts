/**
 * fuzz_held.ts: the method that the random tests hold IO with: a wait for an IO ends it, unless
 * another thread does so first; a look for one ends it now and then; and a step of the test ends
 * any of them.
 *
 * A held IO has its number in the handle's word for the method, and the number is gone before the
 * IO is over. So a thread that comes late never takes an IO for held that its start call executes.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import { tryClaimSubmitted } from "../../../core/memory/claim.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import type { MethodBackend } from "../../../core/io/method.ts";
import { HANDLE, HEADER } from "../../../core/memory/shared_memory.ts";
import type { AioCore } from "../../../core/mod.ts";
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

  override submit(backend: MethodBackend, staged: readonly AioHandle[], count: number): number {
    const { words } = backend.control;
    // The first number is 1, as 0 means that nothing is held.
    Atomics.compareExchange(words, words[HEADER.methodOffset]!, 0, 1);
    return super.submit(backend, staged, count);
  }

  override held(aio: AioCore): number[] {
    const { control } = backendOf(aio);
    return super.held(aio).filter((index) =>
      Atomics.load(control.words, control.handleAt(index) + HANDLE.method) !== 0
    );
  }

  override tryPerform(aio: AioCore, index: number): boolean {
    const backend = backendOf(aio);
    return this.#letGo(backend, backend.handleOf(index));
  }

  override complete(aio: AioCore, index: number, result: number): void {
    const { control } = backendOf(aio);
    Atomics.store(control.words, control.handleAt(index) + HANDLE.method, 0);
    super.complete(aio, index, result);
  }

  override waitOne(backend: MethodBackend, handle: AioHandle): void {
    this.#letGo(backend, handle);
  }

  override checkOne(backend: MethodBackend, handle: AioHandle): void {
    if (this.#prng.chance(1, 4)) this.#letGo(backend, handle);
  }

  #letGo(backend: MethodBackend, handle: AioHandle): boolean {
    const { words, base } = handle;
    const generation = Atomics.load(words, base + HANDLE.generationLow);
    if (Atomics.load(words, base + HANDLE.method) === 0) return false;
    if (!tryClaimSubmitted(words, base, backend.id, generation)) return false;
    Atomics.store(words, base + HANDLE.method, 0);
    backend.performSynchronously(handle);
    return true;
  }
}
