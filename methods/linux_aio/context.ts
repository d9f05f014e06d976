/**
 * linux_aio/context.ts: makes the kernel's context of a backend's slot, and ends it.
 *
 * It is made with the first IO that goes there, as many programs have none. It does not end when
 * its thread leaves, as the kernel takes milliseconds for that: the next thread of the slot takes
 * it, or the end of the Aio.
 *
 * @module
 */

import type { MethodBackend } from "../../core/io/method.ts";
import { type Control, HEADER, PHASE_CLOSING } from "../../core/memory/shared_memory.ts";
import { EBADF } from "../../ffi/errno.ts";
import type { LinuxAioCalls } from "../../ffi/linux_aio_calls.ts";
import { IO_EVENT_WORDS } from "../../ffi/linux_aio_layout.ts";
import { fromWords } from "../../ffi/memory.ts";
import { withCompletionLock } from "../completion_lock.ts";
import { EVENTS_MAX, SLOT, slotAt } from "./memory.ts";

/** The context of a slot; null: it has none. */
export function contextOf({ words }: Control, slot: number): bigint | null {
  const address = fromWords(words[slot + SLOT.contextLow]!, words[slot + SLOT.contextHigh]!);
  return address === 0 ? null : BigInt(address);
}

/** What a slot had, once nobody can find it there any more. */
interface Ended {
  readonly context: bigint;
  readonly eventFd: number;
}

/**
 * Sees to it that a backend's own slot has a context: that of the thread that had the slot before,
 * or a new one.
 *
 * @returns 0, or -errno
 */
export function takeContext(backend: MethodBackend, calls: LinuxAioCalls): number {
  const { control, id } = backend;
  const { words } = control;
  const slot = slotAt(control, id);
  return withCompletionLock(backend, id, () => {
    Atomics.store(words, slot + SLOT.isUsed, 1);
    // Whoever closes the Aio has said so before he looks which contexts are used.
    const isClosing = Atomics.load(words, HEADER.phase) === PHASE_CLOSING;
    let result = isClosing ? -EBADF : 0;
    if (!isClosing && contextOf(control, slot) === null) result = makeContext(backend, calls);
    dropEvents(words, slot);
    // Whoever ended the IO of a dead thread here did not count it.
    words[slot + SLOT.submitted] = words[slot + SLOT.taken] = 0;
    words[slot + SLOT.isSubmitting] = 0;
    if (result < 0) Atomics.store(words, slot + SLOT.isUsed, 0);
    return result;
  });
}

/**
 * Forgets completions that a thread took, and died before it could say so: they are of the last
 * thread's IO, which is over, and would be counted as the next one's. The caller holds the lock.
 */
function dropEvents(words: Int32Array, slot: number): void {
  for (let i = 0; i < EVENTS_MAX; i++) {
    words[slot + SLOT.events + i * IO_EVENT_WORDS.size + IO_EVENT_WORDS.dataLow] = 0;
  }
  words[slot + SLOT.isTaking] = 0;
}

/** The caller holds the slot's lock. @returns 0, or -errno */
function makeContext({ control, libc, id }: MethodBackend, calls: LinuxAioCalls): number {
  const eventFd = libc.eventfd();
  if (eventFd < 0) return eventFd;
  const context = new Int32Array(2);
  const result = calls.setup(control.handlesPerBackend, new Uint8Array(context.buffer));
  if (result < 0) {
    libc.close(eventFd);
    return result;
  }
  const { words } = control;
  const slot = slotAt(control, id);
  words[slot + SLOT.eventFd] = eventFd;
  words[slot + SLOT.contextLow] = context[0]!;
  words[slot + SLOT.contextHigh] = context[1]!;
  return 0;
}

/** Empties a slot. The caller holds its lock. @returns null if it was empty */
export function emptySlot(control: Control, id: number): Ended | null {
  const { words } = control;
  const slot = slotAt(control, id);
  const context = contextOf(control, slot);
  if (context === null) return null;
  words[slot + SLOT.contextLow] = 0;
  words[slot + SLOT.contextHigh] = 0;
  return { context, eventFd: words[slot + SLOT.eventFd]! };
}

/**
 * Leaves a backend's context, which has no IO in the kernel, to the next thread of the slot.
 *
 * @returns what is to be ended: all that nobody uses, if the Aio ends
 */
export function letGoOfContext(backend: MethodBackend, id: number): Ended[] {
  const { control, options } = backend;
  const { words } = control;
  Atomics.store(words, slotAt(control, id) + SLOT.isUsed, 0);
  if (Atomics.load(words, HEADER.phase) !== PHASE_CLOSING) return [];
  const ended: Ended[] = [];
  for (let other = 0; other < options.maxBackends; other++) {
    const isUsed = slotAt(control, other) + SLOT.isUsed;
    if (contextOf(control, slotAt(control, other)) === null) continue;
    const spare = withCompletionLock(backend, other, () => {
      return Atomics.load(words, isUsed) === 0 ? emptySlot(control, other) : null;
    });
    if (spare !== null) ended.push(spare);
  }
  return ended;
}

/** Ends contexts that have nothing in the kernel. */
export async function endContexts(
  { libc }: MethodBackend,
  calls: LinuxAioCalls,
  ended: readonly Ended[],
): Promise<void> {
  for (const { context, eventFd } of ended) {
    await calls.destroyNonblocking(context);
    libc.close(eventFd);
  }
}

/** The same, blocking; whatever they have in the kernel is waited for. */
export function endContextsSync(
  { libc }: MethodBackend,
  calls: LinuxAioCalls,
  ended: readonly Ended[],
): void {
  for (const { context, eventFd } of ended) {
    calls.destroy(context);
    libc.close(eventFd);
  }
}
