/**
 * wait_words.ts: the words of a pool that threads wait for: one of each buffer, one for "any buffer
 * is no longer pinned", and for each file the one that says which thread makes it longer.
 *
 * The first two only move when somebody waits. So a waiter says first that it waits, then reads the
 * word (`announceWait`), then looks whether it still has to; and whoever changes something does so
 * first and then looks whether anybody waits. One of the two sees the other.
 *
 * @module
 */

import {
  type LayerHost,
  tellIfAwaited,
  type WaitWord,
  wakeWord,
} from "../../core/inside_layers.ts";
import { BUFFER, POOL, POOL_FILE, type PoolMemory } from "./pool_memory.ts";

type Bells = LayerHost["bells"];

/** What moves when something about a buffer changes. */
export function changeOf(memory: PoolMemory, buffer: number): WaitWord {
  const at = memory.at(buffer);
  return { words: memory.words, index: at + BUFFER.change, waiters: at + BUFFER.waiters };
}

/** What moves when a buffer is no longer pinned. */
export function unpinnedOf({ words }: PoolMemory): WaitWord {
  return { words, index: POOL.unpinned, waiters: POOL.unpinnedWaiters };
}

/** The thread that makes a file longer, plus 1; 0: none does. */
export function extenderOf(memory: PoolMemory, number: number): WaitWord {
  const at = memory.fileAt(number);
  const { words } = memory;
  return { words, index: at + POOL_FILE.extender, waiters: at + POOL_FILE.extenderWaiters };
}

/** Wakes whoever waits. */
export function tellWaiters(bells: Bells, word: WaitWord): void {
  Atomics.add(word.words, word.index, 1);
  wakeWord(bells, word);
}

/** Wakes whoever waits for a buffer, after something about it has changed. */
export function tellChange(bells: Bells, memory: PoolMemory, buffer: number): void {
  if (Atomics.load(memory.words, memory.at(buffer) + BUFFER.waiters) === 0) return;
  tellIfAwaited(bells, changeOf(memory, buffer));
}
