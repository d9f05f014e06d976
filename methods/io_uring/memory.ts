/**
 * io_uring/memory.ts: where the rings of all backends lie in the method's part of the control
 * memory.
 *
 * ```text
 * slot of backend 0 │ slot 1 │ … │ to a page │ entries 0 │ ring 0 │ entries 1 │ ring 1 │ …
 * ```
 *
 * A slot says where a backend's ring is, for the threads that look after it. The queues themselves
 * lie behind, each on pages of its own, unless the kernel is too old to take memory that it is
 * brought: then it maps them, and the slot has their addresses.
 *
 * @module
 */

import type { EffectiveOptions } from "../../core/base/options.ts";
import { type Control, HEADER } from "../../core/memory/shared_memory.ts";
import { PAGE_SIZE_BYTES } from "../../ffi/layout.ts";
import { alignUp } from "../../ffi/memory.ts";
import { CQE_SIZE_BYTES, SQE_SIZE_BYTES } from "../../ffi/uring_layout.ts";

const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;

/** A slot, in words. Positions are those of `RingPlaces`, in words from the ring's start. */
export const SLOT = {
  /** The ring's descriptor; 0: there is none. */
  fd: 0,
  /**
   * Whether a thread uses it; if none does it waits for the next one, or for the end of the Aio.
   */
  isUsed: 1,
  form: 2,
  sqEntries: 3,
  cqEntries: 4,
  sqHead: 5,
  sqTail: 6,
  sqFlags: 7,
  cqHead: 8,
  cqTail: 9,
  cqes: 10,
  /** Bytes of the arena that are registered with the ring; 0: none. */
  fixedBytes: 11,
  /** Where the queues and the entries are mapped, if they are the kernel's memory. */
  ringAddress: 12,
  ringBytes: 14,
  entriesAddress: 16,
  /** What a blocking wait polls. */
  pollfd: 18,
  /** Whether the ring can know files by number: 1 or 0. */
  hasFiles: 20,
  /** Where the kernel reads a descriptor from when a ring registers a file. */
  fileDescriptor: 21,
  size: 32,
} as const;

/** The queues lie in the control memory. */
export const FORM_SHARED = 1;
/** The kernel mapped them. */
export const FORM_MAPPED = 2;

/** The kernel's own words at the start of a ring, generously. */
const RING_HEADER_BYTES = 256;
/** A ring has twice as many places for completions, as the kernel's default has it. */
const CQ_PER_SQ = 2;
/** The kernel takes no more. */
const ENTRIES_MAX = 32768;
const ENTRIES_MIN = 2;

/** How many entries a backend's ring is to have: one for each handle, a power of two. */
export function ringEntries(maxConcurrency: number): number {
  let entries = ENTRIES_MIN;
  while (entries < maxConcurrency && entries < ENTRIES_MAX) entries *= 2;
  return entries;
}

function entriesBytes(entries: number): number {
  return alignUp(entries * SQE_SIZE_BYTES, PAGE_SIZE_BYTES);
}

function queuesBytes(entries: number): number {
  const completions = entries * CQ_PER_SQ * CQE_SIZE_BYTES;
  return alignUp(RING_HEADER_BYTES + entries * WORD_BYTES + completions, PAGE_SIZE_BYTES);
}

/** Bytes of the method's part. */
export function uringBytes({ maxBackends, maxConcurrency }: EffectiveOptions): number {
  const entries = ringEntries(maxConcurrency);
  const rings = maxBackends * (entriesBytes(entries) + queuesBytes(entries));
  return maxBackends * SLOT.size * WORD_BYTES + PAGE_SIZE_BYTES + rings;
}

/** Where a backend's slot is, in words of the control memory. */
export function slotAt(control: Control, backendId: number): number {
  return control.words[HEADER.methodOffset]! + backendId * SLOT.size;
}

/**
 * Where the memory for a backend's queues is, in bytes of the control memory: entries, then ring.
 */
export function queueBytesAt(
  control: Control,
  backendId: number,
): { readonly entries: number; readonly ring: number } {
  const sizes = ringEntries(control.handlesPerBackend);
  const slots = slotAt(control, control.words[HEADER.maxBackends]!) * WORD_BYTES;
  const each = entriesBytes(sizes) + queuesBytes(sizes);
  const entries = alignUp(slots, PAGE_SIZE_BYTES) + backendId * each;
  return { entries, ring: entries + entriesBytes(sizes) };
}
