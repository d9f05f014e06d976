/**
 * memory_map.ts: which memory the kernel may be pointed at, where it is, and in pages of which
 * size.
 *
 * The kernel writes to an address long after the call that gave it, so that address must not go
 * away: it lies in the arena or in shared memory that was adopted. Both are held here, and the
 * control memory too, for as long as this thread is attached.
 *
 * @module
 */

import type { Libc } from "../../ffi/libc.ts";
import { PAGE_SIZE_BYTES } from "../../ffi/layout.ts";
import { alignUp } from "../../ffi/memory.ts";
import { shown } from "../base/errors.ts";
import { PinnedMemory } from "./pinned_memory.ts";

/**
 * Everything the kernel or another thread may still touch, with how many users of this thread hold
 * it. Held by this module, not by the `Aio` that made it: memory that is used only for its address
 * would else be collected.
 */
const HELD_MEMORY = new Map<SharedArrayBuffer, number>();

/** On x86-64, and on aarch64 with pages of 4 KiB. */
const HUGE_PAGE_BYTES = 2 * 1024 * 1024;

/** As many as a backend that is busy has buffers; a power of two. */
const RECENT_VIEWS = 64;
/** Buffers are pages, or more. */
const RECENT_SHIFT = 12;

/**
 * Has memory that is touched from now on consist of huge pages, if the system has some. Small ones
 * lie anywhere, and a device takes each piece of an IO by itself.
 */
export function preferHugePages(libc: Libc, memory: SharedArrayBuffer, address: number): void {
  if (memory.byteLength < HUGE_PAGE_BYTES) return;
  const start = alignUp(address, PAGE_SIZE_BYTES) - address;
  const length = memory.byteLength - start;
  // It works without, too.
  libc.adviseHugePages(new Uint8Array(memory, start, length - length % PAGE_SIZE_BYTES));
}

function hold(memory: SharedArrayBuffer): void {
  HELD_MEMORY.set(memory, (HELD_MEMORY.get(memory) ?? 0) + 1);
}

function letGo(memory: SharedArrayBuffer): void {
  const users = HELD_MEMORY.get(memory) ?? 0;
  if (users > 1) HELD_MEMORY.set(memory, users - 1);
  else HELD_MEMORY.delete(memory);
}

/** The memory that one backend's IO may use without being executed at once. */
export class MemoryMap {
  /** The arena's memory, compared first. */
  readonly arena: SharedArrayBuffer;
  readonly #libc: Libc;
  readonly #arenaAddress: number;
  readonly #adopted = new Map<ArrayBufferLike, number>();
  /** Other objects of the arena or of adopted memory, with their addresses. */
  readonly #posted = new WeakMap<ArrayBufferLike, number>();
  readonly #held: SharedArrayBuffer[];
  /** Adopted memory is this thread's alone, so it must outlive it: others may be at IO in it. */
  readonly #pinned: PinnedMemory[] = [];
  /**
   * Asking a view for its buffer leaves compiled code, and views are used again and again: those
   * last used, each where its place in memory says.
   */
  readonly #recentViews: (Uint8Array | null)[] = new Array(RECENT_VIEWS).fill(null);
  readonly #recentAddresses = new Float64Array(RECENT_VIEWS);

  /**
   * @param libc tells addresses
   * @param arena the arena's memory
   * @param control the control memory, only to be held
   */
  constructor(libc: Libc, arena: SharedArrayBuffer, control: SharedArrayBuffer) {
    this.#libc = libc;
    this.arena = arena;
    this.#arenaAddress = libc.addressOf(new Uint8Array(arena));
    this.#held = [arena, control];
    for (const memory of this.#held) hold(memory);
  }

  /** Where the arena is. */
  get arenaAddress(): number {
    return this.#arenaAddress;
  }

  /** The address of a view's first byte, or -1 if its memory may go away. */
  addressOf(view: Uint8Array): number {
    const offset = view.byteOffset;
    const recent = (offset >>> RECENT_SHIFT) & (RECENT_VIEWS - 1);
    if (this.#recentViews[recent] === view) return this.#recentAddresses[recent]!;
    const buffer: ArrayBufferLike = view.buffer;
    // Plain memory: a map would make a hash for each such object.
    if (buffer instanceof ArrayBuffer) return -1;
    const base = buffer === this.arena
      ? this.#arenaAddress
      : this.#adopted.get(buffer) ?? this.#baseOf(buffer);
    if (base < 0) return -1;
    this.#recentViews[recent] = view;
    return this.#recentAddresses[recent] = base + offset;
  }

  /**
   * The same for memory that was posted here: another object of the same bytes.
   *
   * @returns where it is, or -1 if it may go away
   */
  #baseOf(buffer: ArrayBufferLike): number {
    if (!(buffer instanceof SharedArrayBuffer) || buffer.byteLength === 0) return -1;
    const known = this.#posted.get(buffer);
    if (known !== undefined) return known;
    const address = this.#libc.addressOf(new Uint8Array(buffer));
    if (this.viewAt(address, buffer.byteLength) === null) return -1;
    this.#posted.set(buffer, address);
    return address;
  }

  /** A view of the memory at an address; null if it is not in the arena or adopted. */
  viewAt(address: number, length: number): Uint8Array | null {
    const within = (memory: ArrayBufferLike, base: number): Uint8Array | null => {
      const isIn = address >= base && address + length <= base + memory.byteLength;
      return isIn ? new Uint8Array(memory, address - base, length) : null;
    };
    const inArena = within(this.arena, this.#arenaAddress);
    if (inArena !== null) return inArena;
    for (const [memory, base] of this.#adopted) {
      const view = within(memory, base);
      if (view !== null) return view;
    }
    return null;
  }

  /** The address of a view of any memory, which its holder must keep alive while it is used. */
  localAddressOf(view: Uint8Array): number {
    return this.#libc.addressOf(view);
  }

  /**
   * Takes shared memory into use for IO.
   *
   * @throws {TypeError} if it is not a SharedArrayBuffer of fixed length
   */
  adopt(memory: SharedArrayBuffer): void {
    if (!(memory instanceof SharedArrayBuffer)) {
      throw new TypeError(`Cannot adopt ${shown(memory)}: pass a SharedArrayBuffer`);
    }
    if (memory.growable) {
      throw new TypeError("Cannot adopt a growable SharedArrayBuffer: make one of fixed length");
    }
    if (memory.byteLength === 0) {
      throw new TypeError("Cannot adopt a SharedArrayBuffer of 0 bytes");
    }
    if (memory === this.arena || this.#adopted.has(memory) || this.#baseOf(memory) >= 0) return;
    const address = this.#libc.addressOf(new Uint8Array(memory));
    preferHugePages(this.#libc, memory, address);
    this.#adopted.set(memory, address);
    this.#pinned.push(new PinnedMemory(memory));
    this.#held.push(memory);
    hold(memory);
  }

  /** Lets go of everything; nothing may be in flight any more. */
  release(): void {
    for (const memory of this.#held) letGo(memory);
    this.#held.length = 0;
    for (const pinned of this.#pinned) pinned.release();
    this.#pinned.length = 0;
    this.#recentViews.fill(null);
    this.#adopted.clear();
  }
}
