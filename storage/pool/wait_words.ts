/**
 * wait_words.ts: the two words of a pool that threads wait for: one of each buffer, and one for
 * "any buffer is no longer pinned".
 *
 * Both only move when somebody waits. So a waiter says first that it waits, then reads the word
 * (`announceWait`), then looks whether it still has to; and whoever changes something does so first
 * and then looks whether anybody waits. One of the two sees the other.
 *
 * @module
 */

import {
  type LayerHost,
  tellIfAwaited,
  type WaitWord,
  wakeWord,
} from "../../core/inside_layers.ts";
import { BUFFER, POOL, type PoolMemory } from "./pool_memory.ts";

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
