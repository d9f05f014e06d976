/**
 * mapping.ts: which buffer has which block: chains of buffers, one a bucket. A link says which
 * buffer is next, and a little of its block's hash: whoever follows a chain reads no descriptor but
 * the one that it looks for, as its thread writes to that with each pin.
 *
 * Looking takes no lock. A chain may change meanwhile, and whoever is in it then may come out in
 * another one: so a look can miss what is there, and is repeated under the lock before anything is
 * done about it. It never finds what is not there, as whoever finds a buffer pins it and looks at
 * its tag once more (pins.ts).
 *
 * Changes are made under the pool's lock, by one store that puts a buffer into a chain or takes it
 * out: a thread can end between any two stores. The tag of a buffer is its file, then its block. It
 * is complete before the file is there, and taken away by taking the file away.
 *
 * @module
 */

import { BUFFER, BUFFER_STATE, isDirty, NO_BUFFER, POOL, type PoolMemory } from "./pool_memory.ts";

/** A link is the number of a buffer, plus 1, and the upper bits of the hash of its block. */
export const LINK_BITS = 24;
export const LINK_MASK = (1 << LINK_BITS) - 1;
export const HINT_SHIFT = 32 - 7;
/** How a file and a block become a hash, and that a bucket. */
export const FILE_FACTOR = 0x9e37_79b1 | 0;
export const BLOCK_FACTOR = 0x85eb_ca6b | 0;
export const BUCKET_SHIFT = 15;

function hashOf(file: number, block: number): number {
  return Math.imul(file, FILE_FACTOR) + Math.imul(block, BLOCK_FACTOR) | 0;
}

/** The bucket of a block. */
function bucketOf({ bucketMask }: PoolMemory, hash: number): number {
  return (hash ^ hash >>> BUCKET_SHIFT) & bucketMask;
}

/**
 * The buffer that has a block; `NO_BUFFER` if none has. For those that have the lock: it misses
 * nothing. The look without it is code of WebAssembly, which also pins what it finds (pin_code.ts).
 */
export function find(memory: PoolMemory, file: number, block: number): number {
  const { words, nextsAt } = memory;
  const hash = hashOf(file, block);
  const hint = hash >>> HINT_SHIFT;
  let link = words[memory.bucketsAt + bucketOf(memory, hash)]!;
  while (link !== 0) {
    const buffer = (link & LINK_MASK) - 1;
    if (link >>> LINK_BITS === hint) {
      const at = memory.at(buffer);
      if (words[at + BUFFER.block] === block && words[at + BUFFER.file] === file + 1) return buffer;
    }
    link = words[nextsAt + buffer]!;
  }
  return NO_BUFFER;
}

/** Gives a buffer that has no block a block. The caller has the lock, and the buffer pinned. */
export function link(memory: PoolMemory, buffer: number, file: number, block: number): void {
  const { words } = memory;
  const at = memory.at(buffer);
  const hash = hashOf(file, block);
  const bucket = bucketOf(memory, hash);
  words[at + BUFFER.block] = block;
  words[memory.nextsAt + buffer] = words[memory.bucketsAt + bucket]!;
  words[at + BUFFER.bucket] = bucket + 1;
  const hint = hash >>> HINT_SHIFT;
  Atomics.store(words, memory.bucketsAt + bucket, hint << LINK_BITS | buffer + 1);
  Atomics.store(words, at + BUFFER.file, file + 1);
}

/** Takes a buffer whose file was taken away out of its chain. The caller has the lock. */
export function unlink(memory: PoolMemory, buffer: number): void {
  const { words, nextsAt } = memory;
  const at = memory.at(buffer);
  const bucket = words[at + BUFFER.bucket]! - 1;
  if (bucket < 0) return;
  let link = memory.bucketsAt + bucket;
  // Whoever put it there may have died before it was linked: then it is not in the chain.
  for (let to = 0; (to = words[link]! & LINK_MASK) !== 0 && to !== buffer + 1;) {
    link = nextsAt + to - 1;
  }
  if (words[link] !== 0) Atomics.store(words, link, words[nextsAt + buffer]!);
  Atomics.store(words, at + BUFFER.bucket, 0);
}

/**
 * Takes the file of a buffer away: no thread can pin the buffer then. The caller has the lock, and
 * under it gives the file back, or forgets the buffer.
 */
export function takeFile(memory: PoolMemory, buffer: number): void {
  const { words } = memory;
  const at = memory.at(buffer);
  words[at + BUFFER.formerFile] = words[at + BUFFER.file]!;
  words[POOL.forgetting] = buffer + 1;
  Atomics.store(words, at + BUFFER.file, 0);
}

/** Gives it back. */
export function giveFileBack(memory: PoolMemory, buffer: number): void {
  const { words } = memory;
  const at = memory.at(buffer);
  Atomics.store(words, at + BUFFER.file, words[at + BUFFER.formerFile]!);
  words[POOL.forgetting] = 0;
}

/** Forgets a buffer whose file was taken away, and that nobody else has pinned. */
export function forgetTaken(memory: PoolMemory, buffer: number): void {
  memory.words[POOL.forgetting] = -(buffer + 1);
  empty(memory, buffer);
  memory.words[POOL.forgetting] = 0;
}

/** What a thread that died under the lock was doing with a buffer ends here. */
export function settleForgetting(memory: PoolMemory): void {
  const left = memory.words[POOL.forgetting]!;
  if (left > 0) giveFileBack(memory, left - 1);
  else if (left < 0) forgetTaken(memory, -left - 1);
}

/** Takes the block of a buffer away, and its content with it. The caller has the lock. */
export function empty(memory: PoolMemory, buffer: number): void {
  const { words } = memory;
  const at = memory.at(buffer);
  Atomics.store(words, at + BUFFER.file, 0);
  unlink(memory, buffer);
  Atomics.store(words, at + BUFFER.state, 0);
  words[at + BUFFER.usage] = 0;
}

/**
 * Forgets all pages of a file that no other thread uses, if none is to be written back. The caller
 * has the lock.
 *
 * @param isForced whether changes that are not written back are lost
 * @returns false: nothing is forgotten
 */
export function tryForgetPages(memory: PoolMemory, file: number, isForced: boolean): boolean {
  if (!isForced && hasChanges(memory, file)) return false;
  forgetPages(memory, file);
  return true;
}

/** Whether a page of a file is newer than the file, and whole. The caller has the lock. */
function hasChanges(memory: PoolMemory, file: number): boolean {
  const { words } = memory;
  for (let buffer = 0; buffer < memory.pages; buffer++) {
    const at = memory.at(buffer);
    if (words[at + BUFFER.file] !== file + 1) continue;
    if (isDirty(Atomics.load(words, at + BUFFER.state))) return true;
  }
  return false;
}

/**
 * Forgets all pages of a file that no other thread uses. The caller has the lock.
 *
 * @returns how many of them were newer than the file
 */
export function forgetPages(memory: PoolMemory, file: number): number {
  const { words } = memory;
  let changed = 0;
  for (let buffer = 0; buffer < memory.pages; buffer++) {
    const at = memory.at(buffer);
    // Whoever changes it has the lock, too.
    if (words[at + BUFFER.file] !== file + 1) continue;
    if ((Atomics.load(words, at + BUFFER.state) & BUFFER_STATE.dirty) !== 0) changed++;
    empty(memory, buffer);
  }
  return changed;
}
