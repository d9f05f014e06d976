/**
 * view_cursor.ts: a position in a list of views, from which pieces of a transfer are taken.
 *
 * @module
 */

import { shown } from "../../core/inside.ts";

/**
 * Refuses what is not a Uint8Array, or a list of them, with its memory.
 *
 * @returns those that have something in them: the core takes no empty ones
 * @throws {TypeError} for another type, and for memory that was transferred
 */
export function checkViews(
  verb: "read" | "write" | "append",
  buffers: Uint8Array | readonly Uint8Array[],
): readonly Uint8Array[] {
  const views: readonly unknown[] = Array.isArray(buffers) ? buffers : [buffers];
  return views.filter((view, i): view is Uint8Array => {
    const which = Array.isArray(buffers) ? `buffer ${i} of ${views.length}` : "the buffer";
    if (!(view instanceof Uint8Array)) {
      throw new TypeError(`Cannot ${verb} as ${which} is ${shown(view)}: pass a Uint8Array`);
    }
    if (view.byteLength > 0) return true;
    if (!(view.buffer instanceof ArrayBuffer && view.buffer.detached)) return false;
    throw new TypeError(
      `Cannot ${verb} as the memory of ${which} was transferred: pass one that still has its memory`,
    );
  });
}

/** Bytes of all views together. */
export function totalBytes(views: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const view of views) bytes += view.byteLength;
  return bytes;
}

/** Whether two views have bytes in common. */
export function shareMemory(one: Uint8Array, other: Uint8Array): boolean {
  return one.buffer === other.buffer && one.byteOffset < other.byteOffset + other.byteLength &&
    one.byteOffset + one.byteLength > other.byteOffset;
}

/** A view that gets no longer with its buffer: then it would take the place of the next one. */
export function fixed(view: Uint8Array): Uint8Array {
  const { buffer, byteOffset, byteLength } = view;
  const grows = buffer instanceof ArrayBuffer ? buffer.resizable : buffer.growable;
  return grows ? new Uint8Array(buffer, byteOffset, byteLength) : view;
}

/** The first bytes of a view, which may have grown with its buffer: nobody asked for more. */
export function first(view: Uint8Array, bytes: number): Uint8Array {
  return view.byteLength > bytes ? view.subarray(0, bytes) : view;
}

/** Goes through views from the first byte to the last. */
export class ViewCursor {
  readonly #views: readonly Uint8Array[];
  readonly #total: number;
  #index = 0;
  #within = 0;
  #done = 0;

  /**
   * @param views from `checkViews`
   * @param total bytes that they had when the transfer began, if that was before
   */
  constructor(views: readonly Uint8Array[], total: number = totalBytes(views)) {
    this.#views = views;
    this.#total = total;
  }

  /** Bytes behind the cursor. */
  get done(): number {
    return this.#done;
  }

  /** Bytes in all. */
  get total(): number {
    return this.#total;
  }

  /** Bytes before the cursor. */
  get remaining(): number {
    return this.#total - this.#done;
  }

  /** The next views, without moving: at most that many of them and that many bytes together. */
  views(countMax: number, bytesMax: number): Uint8Array[] {
    const taken: Uint8Array[] = [];
    let bytes = 0;
    let from = this.#within;
    for (
      let i = this.#index;
      i < this.#views.length && taken.length < countMax && bytes < bytesMax;
      i++
    ) {
      const view = this.#views[i]!;
      const end = Math.min(view.byteLength, from + bytesMax - bytes);
      // It may have become smaller, or been transferred: then it has nothing there.
      if (end > from) {
        taken.push(from === 0 && end === view.byteLength ? view : view.subarray(from, end));
        bytes += end - from;
      }
      from = 0;
    }
    return taken;
  }

  /** Copies the next bytes out of the views, without moving. */
  copyTo(target: Uint8Array): void {
    let at = 0;
    for (const view of this.views(Infinity, target.byteLength)) {
      target.set(view, at);
      at += view.byteLength;
    }
    if (at !== Math.min(target.byteLength, this.remaining)) throw becameSmaller("write");
  }

  /** Copies bytes into the next part of the views, without moving. */
  copyFrom(source: Uint8Array): void {
    let at = 0;
    for (const view of this.views(Infinity, source.byteLength)) {
      view.set(source.subarray(at, at + view.byteLength));
      at += view.byteLength;
    }
    if (at !== source.byteLength) throw becameSmaller("read");
  }

  /** Whether a view shares memory with one of these. */
  overlaps(other: Uint8Array): boolean {
    return this.#views.some((view) => shareMemory(view, other));
  }

  /** Moves over bytes that are done. */
  advance(bytes: number): void {
    this.#done += bytes;
    this.#within += bytes;
    while (
      this.#index < this.#views.length && this.#within >= this.#views[this.#index]!.byteLength
    ) {
      this.#within -= this.#views[this.#index]!.byteLength;
      this.#index++;
    }
  }
}

/** A buffer was resized or transferred while the transfer still needed it. */
export function becameSmaller(verb: "read" | "write"): TypeError {
  return new TypeError(
    `Cannot ${verb} as a buffer became smaller, or was transferred, while the transfer was pending`,
  );
}
