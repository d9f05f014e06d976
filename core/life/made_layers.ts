/**
 * made_layers.ts: the layers of one thread once they are made, for whoever reaps or closes files.
 *
 * A layer's hook runs between two steps of the core. So it may not do what a callback may not do:
 * wait, start IO, change handles. If it throws, the error is a warning and the core goes on,
 * because a fault of a layer must not keep handles, files and memory from being free again.
 *
 * @module
 */

import { assert } from "../base/assert.ts";
import { type CallbackTable, LAYER_RUNNING } from "../io/callback.ts";
import { LockedTwiceError } from "../memory/lock.ts";
import type { Layer, LayerParts } from "./layer.ts";

/** The layers of one thread. */
export class MadeLayers {
  readonly #callbacks: CallbackTable;
  readonly #warn: (message: string, cause?: unknown) => void;
  readonly #parts = new Map<string, LayerParts>();

  /**
   * None yet.
   *
   * @param callbacks refuse what a hook may not call
   * @param warn takes what a hook throws
   */
  constructor(callbacks: CallbackTable, warn: (message: string, cause?: unknown) => void) {
    this.#callbacks = callbacks;
    this.#warn = warn;
  }

  /** Adds one, after those before it in the order of ids. */
  add({ name }: Layer, parts: LayerParts): void {
    this.#parts.set(name, parts);
  }

  /** What {@linkcode Layer.make} returned in this thread. */
  partsOf<Parts extends LayerParts>({ name }: Layer<Parts>): Parts {
    const parts = this.#parts.get(name);
    assert(parts !== undefined, "A layer is not one of this Aio's");
    return parts as Parts;
  }

  /**
   * Takes a dead thread out of what the layers share.
   *
   * @throws {LockedTwiceError} if this thread was ended itself, in the middle of something
   */
  reapBackend(deadId: number): void {
    this.#callEach("reapBackend", ({ reapBackend }) => reapBackend?.(deadId));
  }

  /** Says that the slot of a file is about to be free. */
  closingFile(slot: number): void {
    this.#callEach("closingFile", ({ closingFile }) => closingFile?.(slot));
  }

  #callEach(hook: string, call: (parts: LayerParts) => void): void {
    const { runningId } = this.#callbacks;
    for (const [name, parts] of this.#parts) {
      this.#callbacks.runningId = LAYER_RUNNING;
      try {
        call(parts);
      } catch (cause) {
        // Nothing was done, and another thread can do it.
        if (cause instanceof LockedTwiceError) throw cause;
        this.#warn(
          `The layer "${name}" failed in ${hook}(), and may keep what it should not`,
          cause,
        );
      } finally {
        this.#callbacks.runningId = runningId;
      }
    }
  }
}

const MADE = new WeakMap<object, MadeLayers>();

/** Keeps the layers of a backend. Whoever makes the backend does that, once. */
export function setLayersOf(backend: object, layers: MadeLayers): void {
  MADE.set(backend, layers);
}

/** The layers of a backend. */
export function layersOf(backend: object): MadeLayers {
  const layers = MADE.get(backend);
  assert(layers !== undefined, "A backend has no layers");
  return layers;
}
