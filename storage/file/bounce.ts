/**
 * bounce.ts: space in the arena for transfers to and from memory that the kernel may not keep.
 *
 * A plain buffer can be transferred or collected while an IO is in flight, so its bytes go through
 * a run of arena pages. When the arena is full one waits, first come, first served. Then the
 * write streams of all threads write what they have begun to fill. So no idle stream keeps space
 * that others wait for.
 *
 * @module
 */

import { alignUp, type Arena, LOOK_AGAIN_MS, onAbort, PAGE_SIZE_BYTES } from "../../core/inside.ts";

/**
 * Most bytes of one bounced piece: enough to keep any disk busy, little enough for many at once.
 */
const BOUNCE_BYTES_MAX = 1024 * 1024;
/** At least this many pieces have room at the same time. */
const BOUNCE_PIECES_MIN = 4;

interface Waiter {
  readonly bytes: number;
  readonly alignment: number;
  /** Ends its listening to a signal. */
  ignoreAbort(): void;
  resolve(view: Uint8Array<SharedArrayBuffer>): void;
  reject(error: unknown): void;
}

/** Whoever fills a run by and by, and gives it back once it is written. */
export interface Filler {
  /** Others wait: has the run given back, however little it holds, and fills it no more. */
  letGo(): void;
}

/** The bounce space of one thread. */
export class BounceSpace {
  /** Most bytes of one piece. */
  readonly pieceBytesMax: number;
  readonly #arena: Arena;
  /** Each has one run that does not come back by itself; the first one for longest. */
  readonly #fillers = new Set<Filler>();
  #heedsOthers = false;
  #isOver = false;
  #waiters: Waiter[] = [];
  #taken = 0;
  #lookAgain: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param arena where the space is
   */
  constructor(arena: Arena) {
    this.#arena = arena;
    const share = Math.floor(arena.bytes / BOUNCE_PIECES_MIN / PAGE_SIZE_BYTES) * PAGE_SIZE_BYTES;
    this.pieceBytesMax = Math.max(PAGE_SIZE_BYTES, Math.min(BOUNCE_BYTES_MAX, share));
  }

  /** Space at once; null if there is none or others wait for it. */
  tryTake(bytes: number, alignment: number): Uint8Array<SharedArrayBuffer> | null {
    if (this.#waiters.length > 0) return null;
    return this.#tryTake(bytes, alignment);
  }

  #tryTake(bytes: number, alignment: number): Uint8Array<SharedArrayBuffer> | null {
    const view = this.#arena.tryTake(bytes, "bounce", alignUp(alignment, PAGE_SIZE_BYTES));
    if (view !== null) this.#taken++;
    return view;
  }

  /**
   * Space, waiting for it. Less than was asked for, but at least a page, where only the user's own
   * views are in the way: nobody knows when those go.
   *
   * @throws the signal's reason; or {@linkcode noSpace} if nothing that would be given back is out
   */
  take(
    bytes: number,
    alignment: number,
    signal?: AbortSignal,
  ): Uint8Array<SharedArrayBuffer> | Promise<Uint8Array<SharedArrayBuffer>> {
    const view = this.tryTake(bytes, alignment);
    if (view !== null) return view;
    if (!this.#canWait()) return this.#tryTakeLess(bytes, alignment) ?? refuse(this.#arena, bytes);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { bytes, alignment, resolve, reject, ignoreAbort: () => {} };
      this.#waiters.push(waiter);
      if (signal !== undefined) {
        waiter.ignoreAbort = onAbort(signal, () => this.#leave(waiter, signal));
      }
      this.#makeRoom();
    });
  }

  /** Whoever came after it may have room. */
  #leave(waiter: Waiter, { reason }: AbortSignal): void {
    this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
    waiter.reject(reason);
    this.serve();
  }

  /** From now on a run that was taken comes back only if that is wanted. */
  fills(filler: Filler): void {
    this.#fillers.add(filler);
    if (this.#waiters.length > 0) this.#makeRoom();
    if (!this.#heedsOthers) void this.#heedOthers();
  }

  /** The end of {@linkcode fills}: it is about to give its run back by itself. */
  fillsNoMore(filler: Filler): void {
    this.#fillers.delete(filler);
  }

  /** While something fills: has it given back when another thread waits. */
  async #heedOthers(): Promise<void> {
    this.#heedsOthers = true;
    for (let seen = this.#arena.bounceWanted; this.#fillers.size > 0 && !this.#isOver;) {
      await this.#arena.untilBounceWanted(seen);
      const wanted = this.#arena.bounceWanted;
      if (wanted !== seen) this.#tryLetGo();
      seen = wanted;
    }
    this.#heedsOthers = false;
  }

  /** @returns false: all of it is other threads' */
  #tryLetGo(): boolean {
    // Something comes back by itself.
    if (this.#taken > this.#fillers.size) return true;
    for (const filler of this.#fillers) {
      filler.letGo();
      return true;
    }
    return false;
  }

  /** Sees to it that something comes back, which then serves those who wait. */
  #makeRoom(): void {
    if (this.#tryLetGo() || this.#lookAgain !== undefined) return;
    this.#arena.wantBounce();
    this.#lookAgain = setTimeout(() => {
      this.#lookAgain = undefined;
      this.serve();
    }, LOOK_AGAIN_MS);
  }

  #tryTakeLess(bytes: number, alignment: number): Uint8Array<SharedArrayBuffer> | null {
    const unit = alignUp(alignment, PAGE_SIZE_BYTES);
    for (let less = alignUp(bytes / 2, unit); less < bytes; less = alignUp(less / 2, unit)) {
      const view = this.#tryTake(less, alignment);
      if (view !== null || less === unit) return view;
    }
    return null;
  }

  #canWait(): boolean {
    return this.#taken > 0 || this.#arena.hasBounceRuns;
  }

  /** Gives space back, to whoever has waited longest. */
  giveBack(view: Uint8Array<SharedArrayBuffer>): void {
    this.#arena.giveBack(view);
    this.#taken--;
    if (this.#waiters.length > 0) this.serve();
  }

  /** Hands out what has become free. */
  serve(): void {
    while (this.#waiters.length > 0) {
      const waiter = this.#waiters[0]!;
      let view = this.#tryTake(waiter.bytes, waiter.alignment);
      if (view === null && this.#canWait()) {
        this.#makeRoom();
        return;
      }
      view ??= this.#tryTakeLess(waiter.bytes, waiter.alignment);
      this.#waiters.shift();
      waiter.ignoreAbort();
      if (view === null) waiter.reject(noSpace(this.#arena, waiter.bytes));
      else waiter.resolve(view);
    }
  }

  /** Space at once, less than asked for if need be. @throws {@linkcode noSpace} if there is none */
  takeSync(bytes: number, alignment: number): Uint8Array<SharedArrayBuffer> {
    return this.#tryTake(bytes, alignment) ?? this.#tryTakeLess(bytes, alignment) ??
      refuse(this.#arena, bytes);
  }

  /** The end: refuses everybody who waits. */
  refuseAll(error: Error): void {
    this.#isOver = true;
    if (this.#heedsOthers) this.#arena.wakeBounceHolders();
    clearTimeout(this.#lookAgain);
    this.#lookAgain = undefined;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      waiter.ignoreAbort();
      waiter.reject(error);
    }
  }
}

/** The arena is full, and only its users can change that. */
export function noSpace(arena: Arena, bytes: number): Error {
  const pending = arena.hasBounceRuns ? "await the transfers that are pending, " : "";
  return new Deno.errors.Busy(
    `Cannot find ${bytes} bytes in a row in the arena of ${arena.bytes} bytes (${arena.freeBytes} free): ` +
      `${pending}free views with aio.free() or raise the option "arenaBytes"`,
  );
}

function refuse(arena: Arena, bytes: number): never {
  throw noSpace(arena, bytes);
}
