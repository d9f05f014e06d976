/**
 * iovec.ts: the memory of one handle's IO, as the kernel wants it and as callbacks see it.
 *
 * The entries lie in the control memory. Of memory that may go away, which only an IO that is
 * executed in its start call can have, the views are kept, and their addresses taken at the last
 * moment.
 *
 * @module
 */

import * as system from "../../ffi/layout.ts";
import { IOVEC_SIZE_BYTES } from "../../ffi/layout.ts";
import * as addresses from "../../ffi/memory.ts";
import type { MemoryMap } from "../memory/memory_map.ts";
import * as operations from "./operation.ts";
import { refuseBuffer, refuseBufferList, refuseUnknownMemory } from "./refusals.ts";
import * as layout from "../memory/shared_memory.ts";
import type { Control } from "../memory/shared_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { IOVEC_WORDS } = system;
const { fromWords } = addresses;
const { checkTransfer, writeIovec } = operations;
const { HANDLE } = layout;

/** Marks an iovec with views whose memory may go away, until they are all known. */
const NO_VIEWS: readonly Uint8Array[] = [];

/** The iovec of one handle. */
export class Iovec {
  /** Where its entries are, in words of the control memory. */
  readonly at: number;
  /** Its entries as bytes, for a system call. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #base: number;
  readonly #limit: number;
  readonly #memory: MemoryMap;
  /** The views whose memory may go away. */
  #localViews: Uint8Array | readonly Uint8Array[] | null = null;

  /**
   * @param control where it is
   * @param index of the handle
   * @param memory which memory does not go away
   */
  constructor(control: Control, index: number, memory: MemoryMap) {
    this.#words = control.words;
    this.#base = control.handleAt(index);
    this.#limit = control.iovecsPerHandle;
    this.#memory = memory;
    this.at = control.iovecAt(index);
    this.bytes = new Uint8Array(
      control.buffer,
      this.at * Int32Array.BYTES_PER_ELEMENT,
      control.iovecsPerHandle * IOVEC_SIZE_BYTES,
    );
  }

  /** Whether some of its memory may go away. */
  get isLocal(): boolean {
    return this.#localViews !== null;
  }

  /** See `AioHandle.setIovec`. */
  set(buffers: Uint8Array | readonly Uint8Array[]): void {
    const words = this.#words;
    const base = this.#base;
    this.#localViews = null;
    words[base + HANDLE.iovecLength] = 0;
    if (buffers instanceof Uint8Array) {
      words[base + HANDLE.length] = this.#setEntry(buffers, 0);
      words[base + HANDLE.iovecLength] = 1;
      if (this.#localViews !== null) this.#localViews = buffers;
      return;
    }
    const count = this.#checkList(buffers);
    let length = 0;
    for (const [i, view] of buffers.entries()) {
      if (!(view instanceof Uint8Array)) refuseBuffer(i, view);
      length += this.#setEntry(view, i);
    }
    checkTransfer("transfer", 0, length);
    words[base + HANDLE.length] = length;
    words[base + HANDLE.iovecLength] = count;
    if (this.#localViews !== null) this.#localViews = [...buffers];
  }

  #checkList(buffers: readonly Uint8Array[]): number {
    const limit = this.#limit;
    if (!Array.isArray(buffers) || buffers.length === 0 || buffers.length > limit) {
      refuseBufferList(buffers, limit);
    }
    return buffers.length;
  }

  /** @returns the bytes of the entry; marks views whose memory may go away */
  #setEntry(view: Uint8Array, entry: number): number {
    const length = view.byteLength;
    if (length === 0) refuseBuffer(entry, view);
    checkTransfer("transfer", 0, length);
    const address = this.#memory.addressOf(view);
    if (address < 0) this.#localViews = NO_VIEWS;
    writeIovec(this.#words, this.at + entry * IOVEC_WORDS.size, Math.max(address, 0), length);
    return length;
  }

  /** No memory at all: of a flush. */
  clear(): void {
    this.#localViews = null;
    this.#words[this.#base + HANDLE.iovecLength] = 0;
  }

  /** See `AioHandle.buffers`. */
  views(): Uint8Array[] {
    const views = this.#localViews;
    if (views !== null) return views instanceof Uint8Array ? [views] : [...views];
    const words = this.#words;
    return Array.from({ length: words[this.#base + HANDLE.iovecLength]! }, (_, i) => {
      const at = this.at + i * IOVEC_WORDS.size;
      const address = fromWords(words[at]!, words[at + IOVEC_WORDS.baseHigh]!);
      const length = words[at + IOVEC_WORDS.lengthLow]!;
      return this.#memory.viewAt(address, length) ?? refuseUnknownMemory(length);
    });
  }

  /**
   * Takes the addresses of memory that may go away, right before the issuer executes the IO.
   *
   * @returns false if a view was detached or resized since it was set
   */
  resolveLocal(): boolean {
    const views = this.#localViews;
    if (views === null) return true;
    if (views instanceof Uint8Array) return this.#resolveEntry(views, 0);
    return views.every((view, i) => this.#resolveEntry(view, i));
  }

  #resolveEntry(view: Uint8Array, entry: number): boolean {
    const at = this.at + entry * IOVEC_WORDS.size;
    const length = this.#words[at + IOVEC_WORDS.lengthLow]!;
    if (view.byteLength !== length) return false;
    const fixed = this.#memory.addressOf(view);
    const address = fixed < 0 ? this.#memory.localAddressOf(view) : fixed;
    writeIovec(this.#words, at, address, length);
    return true;
  }

  /** Forgets the views whose memory may go away, when the IO is over. */
  dropLocal(): void {
    this.#localViews = null;
  }
}
