/**
 * pool_reaper.ts: takes a thread that died out of a pool: its pins, its locks, what it was about to
 * do with a buffer, the files that only it had open.
 *
 * Whichever thread reaps does this, and the next one again if that one dies half-way: each step can
 * be repeated. The pool's lock needs nothing: it is taken over from a dead holder, and
 * what it protects is whole after every store.
 *
 * @module
 */

import { type LayerHost, wakeWord } from "../../core/inside_layers.ts";
import { endUse } from "../run_users.ts";
import { handleIn } from "./buffer_io.ts";
import { empty, forgetPages } from "./mapping.ts";
import {
  BUFFER,
  BUFFER_STATE,
  EXCLUSIVE_GRANTED,
  POOL,
  POOL_FILE,
  type PoolMemory,
} from "./pool_memory.ts";
import { withLock } from "./pool_lock.ts";
import { extenderOf, tellChange, tellWaiters, unpinnedOf } from "./wait_words.ts";

/** What is needed of the thread that does so. */
type ReaperHost = Pick<LayerHost, "control" | "bells">;

/**
 * Takes it out.
 *
 * @returns whether no thread uses the pool any more
 */
export function reapPool(host: LayerHost, memory: PoolMemory, dead: number): boolean {
  if (dead >= host.control.maxBackends) {
    reapHelper(host, memory);
    return false;
  }
  const { words } = memory;
  const bit = 1 << dead;
  withLock(memory, () => {
    for (let buffer = 0; buffer < memory.pages; buffer++) reapBuffer(host, memory, buffer, dead);
    for (let number = 0; number < memory.fileCount; number++) {
      if (words[memory.fileAt(number) + POOL_FILE.users] === bit) forget(host, memory, number);
      Atomics.and(words, memory.fileAt(number) + POOL_FILE.users, ~bit);
      const extender = extenderOf(memory, number);
      Atomics.compareExchange(words, extender.index, dead + 1, 0);
      // Also where it has none: see reapBuffer().
      wakeWord(host.bells, extender);
    }
  });
  tellWaiters(host.bells, unpinnedOf(memory));
  return endUse(words, POOL.users, dead);
}

/**
 * A helper, such as an IO Worker, has nothing of a pool, and there is no bit for its id. But it may
 * have died between a change that its callback made and the bell.
 */
function reapHelper({ bells }: LayerHost, memory: PoolMemory): void {
  for (let buffer = 0; buffer < memory.pages; buffer++) tellChange(bells, memory, buffer);
  tellWaiters(bells, unpinnedOf(memory));
}

/** Takes the pins and locks of a thread away that leaves the pool, and has no IO there any more. */
export function endUses(host: ReaperHost, memory: PoolMemory, backendId: number): void {
  withLock(memory, () => {
    for (let i = 0; i < memory.pages; i++) reapBuffer(host, memory, i, backendId);
  });
  tellWaiters(host.bells, unpinnedOf(memory));
}

function reapBuffer(host: ReaperHost, memory: PoolMemory, buffer: number, dead: number): void {
  const { words } = memory;
  const at = memory.at(buffer);
  const bit = 1 << dead;
  const isPinned = (Atomics.load(words, at + BUFFER.pins) & bit) !== 0;
  const io = Atomics.load(words, at + BUFFER.io);
  // Its IOs are over: such a word is of one that was never started.
  const isLeft = io !== 0 && isOf(host, handleIn(io), dead);
  const exclusive = Atomics.load(words, at + BUFFER.exclusive);
  const isExclusive = (exclusive & ~EXCLUSIVE_GRANTED) === dead + 1;
  const isShared = (Atomics.load(words, at + BUFFER.shared) & bit) !== 0;
  if (isExclusive) {
    // Half of a change may be in it.
    if (exclusive !== dead + 1) Atomics.or(words, at + BUFFER.state, BUFFER_STATE.torn);
    Atomics.store(words, at + BUFFER.exclusive, 0);
  }
  if (isShared) Atomics.and(words, at + BUFFER.shared, ~bit);
  if (isLeft) Atomics.compareExchange(words, at + BUFFER.io, io, 0);
  if (isPinned) {
    // It was about to give the buffer another block.
    if (Atomics.load(words, at + BUFFER.file) === 0) empty(memory, buffer);
    Atomics.and(words, at + BUFFER.pins, ~bit);
  }
  // Also of a buffer of which it has nothing any more: it may have died, or a thread that reaped
  // it, between the change and the bell.
  tellChange(host.bells, memory, buffer);
}

function isOf({ control }: ReaperHost, handle: number, backendId: number): boolean {
  return Math.floor(handle / control.handlesPerBackend) === backendId;
}

/** Forgets the pages of a file that nobody has open any more. */
function forget(host: LayerHost, memory: PoolMemory, number: number): void {
  const lost = forgetPages(memory, number);
  if (lost === 0) return;
  host.say(
    "warning",
    `${lost} changed pages of a file are lost: the thread that had it open has died`,
  );
}
