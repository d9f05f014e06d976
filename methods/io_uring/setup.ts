/**
 * io_uring/setup.ts: makes the ring of a backend's slot, in one of two forms, and ends it.
 *
 * From Linux 6.5 on the kernel accepts queue memory supplied by the caller, and so the queues lie
 * in the control memory, where every thread sees them. Before, they are the kernel's memory and
 * mapped by `mmap(2)`; threads look at them by their addresses, for which Deno wants `--allow-ffi`
 * as a whole.
 *
 * @module
 */

import type { MethodBackend } from "../../core/io/method.ts";
import { type Control, HEADER, PHASE_CLOSING } from "../../core/memory/shared_memory.ts";
import { sleepMs } from "../../core/base/sleep.ts";
import { EBADF, EINVAL, ENOMEM } from "../../ffi/errno.ts";
import { fromWords, highWord, lowWord } from "../../ffi/memory.ts";
import type { UringCalls } from "../../ffi/uring_calls.ts";
import {
  CLONE_BUFFERS_SIZE_BYTES,
  CQ_OFFSETS,
  CQE_SIZE_BYTES,
  FEATURE_RW_ATTR,
  MAP_OFFSETS,
  PARAMS_WORDS,
  REGISTER,
  SETUP_NO_MMAP,
  SQ_OFFSETS,
  SQE_SIZE_BYTES,
} from "../../ffi/uring_layout.ts";
import { makeFileTable } from "./files.ts";
import { FORM_MAPPED, FORM_SHARED, queueBytesAt, ringEntries, SLOT, slotAt } from "./memory.ts";
import { withCompletionLock } from "../completion_lock.ts";

/** Which form a ring has. */
export type RingForm = "shared" | "mapped";

const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;
/** The kernel gives locked memory of closed rings back a moment late. */
const ENOMEM_ATTEMPTS = 10;
const ENOMEM_PAUSE_MS = 10;
/** A ring of so few entries lies on one page for each queue, which every kernel takes. */
const ENTRIES_ALWAYS = 64;

/**
 * Memory of rings that were closed, and since when. The kernel ends a ring in its own time, and may
 * write its counters down once more until then.
 */
const RETIRED: { readonly memory: SharedArrayBuffer; readonly at: number }[] = [];
/** It takes the kernel milliseconds. */
const RETIRED_MS = 1000;

function retire(memory: SharedArrayBuffer): void {
  const now = performance.now();
  while (RETIRED.length > 0 && now - RETIRED[0]!.at > RETIRED_MS) RETIRED.shift();
  RETIRED.push({ memory, at: now });
}

/**
 * Sees to it that a backend has a ring: that of the thread that had the slot before, or a new one.
 * A ring is not closed when its thread leaves: the kernel could still write to its memory, and that
 * is where the next one would be.
 *
 * @param form the one to make; null: shared where the kernel can, else mapped
 * @param flags of `io_uring_setup`, beside those that the form needs
 * @returns 0, or -errno
 */
export function takeRing(
  backend: MethodBackend,
  calls: UringCalls,
  form: RingForm | null,
  flags: number,
): number {
  const { control, id } = backend;
  const slot = slotAt(control, id);
  Atomics.store(control.words, slot + SLOT.isUsed, 1);
  // Whoever closes the Aio has said so before he looks which rings are used.
  const isClosing = Atomics.load(control.words, HEADER.phase) === PHASE_CLOSING;
  let result = isClosing ? -EBADF : control.words[slot + SLOT.fd]!;
  if (result === 0) {
    result = openRing(backend, calls, form, flags);
    if (result >= 0) {
      registerArena(backend, calls);
      const { words } = control;
      const canKnow = words[slot + SLOT.hasFiles] !== 0 &&
        makeFileTable(control, calls, words[slot + SLOT.fd]!);
      words[slot + SLOT.hasFiles] = canKnow ? 1 : 0;
    }
  }
  if (result < 0) Atomics.store(control.words, slot + SLOT.isUsed, 0);
  return result;
}

function openRing(
  backend: MethodBackend,
  calls: UringCalls,
  form: RingForm | null,
  flags: number,
): number {
  const most = ringEntries(backend.control.handlesPerBackend);
  let result = -EINVAL;
  if (form !== "mapped") result = setupShared(backend, calls, most, flags);
  if (form === "mapped" || (form === null && result === -EINVAL && canLookAtMemory())) {
    result = setupMapped(backend, calls, most, flags);
  }
  return result;
}

/** With fewer entries where the kernel does not take memory of more than a page. */
function setupShared(
  backend: MethodBackend,
  calls: UringCalls,
  most: number,
  flags: number,
): number {
  let result = -EINVAL;
  for (let entries = most; entries >= 1; entries /= 2) {
    result = patiently(() => trySetupShared(backend, calls, entries, flags));
    if (result >= 0 || entries <= ENTRIES_ALWAYS) break;
  }
  return result;
}

function trySetupShared(
  backend: MethodBackend,
  calls: UringCalls,
  entries: number,
  flags: number,
): number {
  const { control, id, libc } = backend;
  const at = queueBytesAt(control, id);
  const base = libc.addressOf(control.bytes);
  const params = new Int32Array(PARAMS_WORDS.size);
  params[PARAMS_WORDS.flags] = SETUP_NO_MMAP | flags;
  writeAddress(params, PARAMS_WORDS.sqUserAddress, base + at.entries);
  writeAddress(params, PARAMS_WORDS.cqUserAddress, base + at.ring);
  const fd = calls.setup(entries, new Uint8Array(params.buffer));
  if (fd < 0) return fd;
  describe(control, id, fd, FORM_SHARED, params);
  const array = at.ring / WORD_BYTES +
    params[PARAMS_WORDS.sqOffsets + SQ_OFFSETS.array]! / WORD_BYTES;
  for (let i = 0; i < params[PARAMS_WORDS.sqEntries]!; i++) control.words[array + i] = i;
  return 0;
}

function setupMapped(
  { control, id, libc }: MethodBackend,
  calls: UringCalls,
  entries: number,
  flags: number,
): number {
  const params = new Int32Array(PARAMS_WORDS.size);
  params[PARAMS_WORDS.flags] = flags;
  const fd = patiently(() => calls.setup(entries, new Uint8Array(params.buffer)));
  if (fd < 0) return fd;
  using undo = new DisposableStack();
  undo.defer(() => libc.close(fd));
  const { queuesBytes, entriesBytes } = mappedBytes(params);
  const queues = libc.mapShared(fd, MAP_OFFSETS.queues, queuesBytes);
  if (queues < 0) return queues;
  undo.defer(() => libc.unmap(queues, queuesBytes));
  const sqes = libc.mapShared(fd, MAP_OFFSETS.entries, entriesBytes);
  if (sqes < 0) return sqes;
  undo.defer(() => libc.unmap(sqes, entriesBytes));
  const slot = slotAt(control, id);
  writeAddress(control.words, slot + SLOT.ringAddress, queues);
  control.words[slot + SLOT.ringBytes] = queuesBytes;
  writeAddress(control.words, slot + SLOT.entriesAddress, sqes);
  const memory = ringMemory(control, id);
  const array = params[PARAMS_WORDS.sqOffsets + SQ_OFFSETS.array]! / WORD_BYTES;
  for (let i = 0; i < params[PARAMS_WORDS.sqEntries]!; i++) memory[array + i] = i;
  describe(control, id, fd, FORM_MAPPED, params);
  undo.move();
  return 0;
}

/** How much there is to map: both queues are in one piece from Linux 5.4 on. */
function mappedBytes(params: Int32Array): { queuesBytes: number; entriesBytes: number } {
  const sqEntries = params[PARAMS_WORDS.sqEntries]!;
  const array = params[PARAMS_WORDS.sqOffsets + SQ_OFFSETS.array]!;
  const cqes = params[PARAMS_WORDS.cqOffsets + CQ_OFFSETS.cqes]!;
  return {
    queuesBytes: Math.max(
      array + sqEntries * WORD_BYTES,
      cqes + params[PARAMS_WORDS.cqEntries]! * CQE_SIZE_BYTES,
    ),
    entriesBytes: sqEntries * SQE_SIZE_BYTES,
  };
}

/** Whether Deno lets this program look at memory by its address. */
export function canLookAtMemory(): boolean {
  return Deno.permissions.querySync({ name: "ffi" }).state === "granted";
}

function ringMemory(control: Control, id: number): Int32Array {
  const slot = slotAt(control, id);
  const address = fromWords(
    control.words[slot + SLOT.ringAddress]!,
    control.words[slot + SLOT.ringAddress + 1]!,
  );
  const pointer = Deno.UnsafePointer.create(BigInt(address))!;
  const bytes = control.words[slot + SLOT.ringBytes]!;
  return new Int32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, bytes));
}

function patiently(setup: () => number): number {
  let result = setup();
  for (let i = 0; result === -ENOMEM && i < ENOMEM_ATTEMPTS; i++) {
    sleepMs(ENOMEM_PAUSE_MS);
    result = setup();
  }
  return result;
}

function writeAddress(words: Int32Array, at: number, address: number): void {
  words[at] = lowWord(address);
  words[at + 1] = highWord(address);
}

/**
 * Says in the slot where the queues are; the descriptor last, by which others know that there is a
 * ring.
 */
function describe(
  control: Control,
  id: number,
  fd: number,
  form: number,
  params: Int32Array,
): void {
  const { words } = control;
  const slot = slotAt(control, id);
  const sq = (name: keyof typeof SQ_OFFSETS) =>
    params[PARAMS_WORDS.sqOffsets + SQ_OFFSETS[name]]! / WORD_BYTES;
  const cq = (name: keyof typeof CQ_OFFSETS) =>
    params[PARAMS_WORDS.cqOffsets + CQ_OFFSETS[name]]! / WORD_BYTES;
  words[slot + SLOT.form] = form;
  words[slot + SLOT.sqEntries] = params[PARAMS_WORDS.sqEntries]!;
  words[slot + SLOT.cqEntries] = params[PARAMS_WORDS.cqEntries]!;
  words[slot + SLOT.sqHead] = sq("head");
  words[slot + SLOT.sqTail] = sq("tail");
  words[slot + SLOT.sqFlags] = sq("flags");
  words[slot + SLOT.cqHead] = cq("head");
  words[slot + SLOT.cqTail] = cq("tail");
  words[slot + SLOT.cqes] = cq("cqes");
  words[slot + SLOT.fixedBytes] = 0;
  const isRecent = (params[PARAMS_WORDS.features]! & FEATURE_RW_ATTR) !== 0;
  words[slot + SLOT.hasFiles] = isRecent ? 1 : 0;
  Atomics.store(words, slot + SLOT.fd, fd);
}

/**
 * Registers the first part of the arena with a ring, so that the kernel need not look its pages up
 * for each IO: as a copy of another ring's registration where there is one, which locks nothing
 * anew.
 */
function registerArena(backend: MethodBackend, calls: UringCalls): void {
  const { control, id, options } = backend;
  const bytes = options.registeredBytes;
  const slot = slotAt(control, id);
  if (bytes === 0) return;
  const fd = control.words[slot + SLOT.fd]!;
  const isRegistered = tryClone(backend, calls, fd) || tryRegister(backend, calls, fd, bytes);
  if (isRegistered) Atomics.store(control.words, slot + SLOT.fixedBytes, bytes);
}

/** Under the other's lock: its ring may be closing. */
function tryClone(backend: MethodBackend, calls: UringCalls, fd: number): boolean {
  const { control, id, options } = backend;
  for (let other = 0; other < options.maxBackends; other++) {
    const slot = slotAt(control, other);
    if (other === id || Atomics.load(control.words, slot + SLOT.fixedBytes) === 0) continue;
    const result = withCompletionLock(backend, other, () => {
      const source = control.words[slot + SLOT.fd]!;
      const argument = new Int32Array(CLONE_BUFFERS_SIZE_BYTES / WORD_BYTES);
      argument[0] = source;
      if (source === 0) return -EINVAL;
      return calls.register(fd, REGISTER.cloneBuffers, new Uint8Array(argument.buffer), 1);
    });
    if (result >= 0) return true;
  }
  return false;
}

function tryRegister(
  backend: MethodBackend,
  calls: UringCalls,
  fd: number,
  bytes: number,
): boolean {
  const iovec = new Int32Array(4);
  writeAddress(iovec, 0, backend.arena.address);
  writeAddress(iovec, 2, bytes);
  return calls.register(fd, REGISTER.buffers, new Uint8Array(iovec.buffer), 1) >= 0;
}

/**
 * Says that nobody uses a ring any more; it has nothing in the kernel.
 *
 * @returns whether the Aio ends
 */
export function letGoOfRing(control: Control, id: number): boolean {
  Atomics.store(control.words, slotAt(control, id) + SLOT.isUsed, 0);
  return Atomics.load(control.words, HEADER.phase) === PHASE_CLOSING;
}

/** Whether there is a ring that nobody uses. */
export function isSpare({ words }: Control, slot: number): boolean {
  return Atomics.load(words, slot + SLOT.isUsed) === 0 &&
    Atomics.load(words, slot + SLOT.fd) !== 0;
}

/** Ends a ring that nobody uses. The caller holds its backend's completion lock. */
export function closeRing({ control, libc }: MethodBackend, id: number): void {
  const { words } = control;
  const slot = slotAt(control, id);
  const fd = Atomics.exchange(words, slot + SLOT.fd, 0);
  if (fd === 0) return;
  words[slot + SLOT.fixedBytes] = 0;
  if (words[slot + SLOT.form] === FORM_SHARED) retire(control.buffer);
  else {
    const addressAt = (at: number) => fromWords(words[slot + at]!, words[slot + at + 1]!);
    libc.unmap(addressAt(SLOT.ringAddress), words[slot + SLOT.ringBytes]!);
    libc.unmap(addressAt(SLOT.entriesAddress), words[slot + SLOT.sqEntries]! * SQE_SIZE_BYTES);
  }
  libc.close(fd);
}
