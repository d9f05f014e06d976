/**
 * buffer_io.ts: the word of a buffer that names the IO which has it: the number of its handle, the
 * low bits of that handle's generation, and whether it writes.
 *
 * That word makes the buffer the IO's, which needs no pin: no thread takes it for a victim, and
 * while the IO writes it, no thread gets its exclusive lock. The word is set with the handle in
 * hand, so that whoever finds it can wait for that IO, and taken away as the last thing that the
 * IO's callback does with the buffer. So a callback that runs once more, as a completer died
 * half-way, leaves buffers alone that it was done with.
 *
 * @module
 */

import { type Control, fromWords, HANDLE, type LayerHost } from "../../core/inside_layers.ts";
import type { WaitRef } from "../../core/mod.ts";
import { BUFFER, BUFFER_STATE, type PoolMemory } from "./pool_memory.ts";
import { tellChange } from "./wait_words.ts";

const GENERATION_BITS = 15;
const GENERATION_MASK = (1 << GENERATION_BITS) - 1;
/** There are 32 backends with up to 1024 handles each. */
const INDEX_BITS = 15;
const INDEX_MASK = (1 << INDEX_BITS) - 1;
/** The IO writes. Together with the number of a handle and its generation: 31 bits, and one set. */
const WRITES = 1 << 30;
const IS_SET = 1 << 31;

/** What an IO does with its buffers. */
export type BufferIoKind = "read" | "write";

/** The word of the IO that a handle is about to be. */
export function ioWordOf(control: Control, index: number, kind: BufferIoKind): number {
  const low = Atomics.load(control.words, control.handleAt(index) + HANDLE.generationLow);
  const generation = (low & GENERATION_MASK) << INDEX_BITS;
  return IS_SET | (kind === "write" ? WRITES : 0) | generation | index;
}

/** Whether such a word is of an IO that writes. */
export function isWrite(word: number): boolean {
  return (word & WRITES) !== 0;
}

/** The handle of such a word. */
export function handleIn(word: number): number {
  return word & INDEX_MASK;
}

/** What came of the attempt to give a buffer to an IO. */
export const BEGUN = 0;
/** Its content is there already. */
export const VALID = -1;

/**
 * Gives a buffer to an IO that reads it.
 *
 * @returns {@linkcode BEGUN}; {@linkcode VALID}: there is nothing to read; else the word of the IO
 *   that has it
 */
export function tryBeginRead(memory: PoolMemory, buffer: number, word: number): number {
  const { words } = memory;
  const at = memory.at(buffer);
  if ((Atomics.load(words, at + BUFFER.state) & BUFFER_STATE.valid) !== 0) return VALID;
  const other = Atomics.compareExchange(words, at + BUFFER.io, 0, word);
  if (other !== 0) return other;
  // Another IO may have filled it between the two looks.
  if ((Atomics.load(words, at + BUFFER.state) & BUFFER_STATE.valid) === 0) return BEGUN;
  Atomics.store(words, at + BUFFER.io, 0);
  return VALID;
}

/**
 * Reads which IO has a buffer, so that it can be waited for.
 *
 * @returns false if that IO is over
 */
export function tryRefer(
  control: Control,
  memory: PoolMemory,
  buffer: number,
  word: number,
  into: WaitRef,
): boolean {
  const base = control.handleAt(handleIn(word));
  const low = Atomics.load(control.words, base + HANDLE.generationLow);
  const high = Atomics.load(control.words, base + HANDLE.generationHigh);
  // The generation cannot move while the buffer has the word. If it is still there, that was it.
  if (Atomics.load(memory.words, memory.at(buffer) + BUFFER.io) !== word) return false;
  if ((low & GENERATION_MASK) !== (word >>> INDEX_BITS & GENERATION_MASK)) return false;
  into.index = handleIn(word);
  into.generation = fromWords(low, high);
  return true;
}

/** Takes the word of its IO away from a buffer, and wakes whoever waits for that. */
export function endIo(bells: LayerHost["bells"], memory: PoolMemory, buffer: number): void {
  Atomics.store(memory.words, memory.at(buffer) + BUFFER.io, 0);
  tellChange(bells, memory, buffer);
}
