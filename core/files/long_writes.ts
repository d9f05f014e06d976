/**
 * long_writes.ts: how far writes reach that no handle tells all of, for all threads: those of more
 * than one IO, those that wait for their first one, and those that are no IO.
 *
 * Each open file has a word with a bit for each backend that is about such writes, and the greatest
 * end of any of them: of one backend's, of those that are left; of several backends', since there
 * were none. So it may tell more than is left of them, never less. What it tells of a thread that
 * dies goes with that thread's IOs.
 *
 * A write is entered here before its first IO starts, and taken out when its last one is over: in
 * between, whoever looks here before he looks at the handles misses nothing of it.
 *
 * @module
 */

import { Greatest } from "../base/greatest.ts";
import { type IsThreadAlive, locked } from "../memory/lock.ts";
import { positionAt, setPosition } from "../memory/position.ts";
import { type Control, FILE, HEADER } from "../memory/shared_memory.ts";

/** Those of this thread, of one open file. */
interface OwnWrites {
  /** Where each ends. */
  readonly ends: Greatest;
  /** The greatest of these, as others know it. */
  reach: number;
}

/** The long writes of all threads, as one of them sees them. */
export class LongWrites {
  readonly #control: Control;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #threadId: number;
  readonly #isThreadAlive: IsThreadAlive;
  readonly #bit: number;
  /** By the slot of the open file; they are used again. */
  readonly #own = new Map<number, OwnWrites>();

  /**
   * @param control where they are
   * @param threadId this thread's id, for locks
   * @param isThreadAlive asks the system whether another holder of a lock still runs
   * @param backendId whose writes are entered
   */
  constructor(
    control: Control,
    threadId: number,
    isThreadAlive: IsThreadAlive,
    backendId: number,
  ) {
    this.#control = control;
    this.#words = control.words;
    this.#threadId = threadId;
    this.#isThreadAlive = isThreadAlive;
    this.#bit = 1 << backendId;
  }

  /** One begins. {@linkcode end} is to be called. */
  begin(slot: number, reach: number): void {
    const own = this.#ownOf(slot);
    own.ends.add(reach);
    if (own.ends.size > 1 && own.reach >= reach) return;
    own.reach = reach;
    this.#tell(slot, own);
  }

  /** One that has begun is known to reach less far. */
  narrow(slot: number, before: number, reach: number): void {
    const own = this.#ownOf(slot);
    own.ends.add(reach);
    own.ends.remove(before);
    this.#lower(slot, own);
  }

  /** One is over. */
  end(slot: number, reach: number): void {
    const own = this.#ownOf(slot);
    own.ends.remove(reach);
    if (own.ends.size === 0) this.#forget(slot, this.#bit);
    else this.#lower(slot, own);
  }

  /** One of several is gone: if it reached furthest, the others reach less far. */
  #lower(slot: number, own: OwnWrites): void {
    const reach = own.ends.greatest!;
    if (reach === own.reach) return;
    own.reach = reach;
    this.#tell(slot, own);
  }

  #ownOf(slot: number): OwnWrites {
    let own = this.#own.get(slot);
    if (own === undefined) this.#own.set(slot, own = { ends: new Greatest(), reach: 0 });
    return own;
  }

  /** The mark comes last: without it nobody looks at the end. */
  #tell(slot: number, { reach }: OwnWrites): void {
    const words = this.#words;
    const at = this.#control.fileAt(slot);
    locked(words, at + FILE.longLock, this.#threadId, this.#isThreadAlive, () => {
      const isAlone = (words[at + FILE.longWriters]! & ~this.#bit) === 0;
      const present = positionAt(words, at + FILE.longVersion);
      const next = isAlone ? reach : Math.max(present, reach);
      if (next !== present) setPosition(words, at + FILE.longVersion, next);
      Atomics.or(words, at + FILE.longWriters, this.#bit);
    });
  }

  #forget(slot: number, bit: number): void {
    Atomics.and(this.#words, this.#control.fileAt(slot) + FILE.longWriters, ~bit);
  }

  /** How far those of an open file reach, of all threads; 0: there are none. */
  reachOf(slot: number): number {
    const at = this.#control.fileAt(slot);
    if (Atomics.load(this.#words, at + FILE.longWriters) === 0) return 0;
    return positionAt(this.#words, at + FILE.longVersion);
  }

  /** A thread has died, and its IOs are over: nothing more comes of its writes. */
  forgetBackend(deadId: number): void {
    // A helper writes for others.
    if (deadId >= this.#control.maxBackends) return;
    const maxFiles = this.#words[HEADER.maxFiles]!;
    for (let slot = 0; slot < maxFiles; slot++) this.#forget(slot, 1 << deadId);
  }
}
