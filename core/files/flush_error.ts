/**
 * flush_error.ts: remembers that a flush of an open file has failed.
 *
 * Linux tells lost write-back once per open file description: to the flush that asks first, or to
 * the first durable write. Every other one, at that moment or later, is answered with success,
 * though its data is lost as well. So the slot of each open file keeps the error number of the
 * first flush that failed, for all threads. From then on every flush of that file fails with it,
 * until the file is closed and opened again.
 *
 * ```text
 * the kernel tells A its error ─► A's callback keeps it ─► the state of A says that A is completed
 *     └─► the kernel answers B with 0 ─► B looks for flushes in flight, finds A ─► B waits for A
 * ```
 *
 * The word holds the generation of the slot as well. So a callback that comes late says nothing
 * about the next file in the same slot.
 *
 * @module
 */

import * as errnos from "../../ffi/errno.ts";
import { RWF_DSYNC } from "../../ffi/layout.ts";
import { fromWords } from "../../ffi/memory.ts";
import type { CallbackHandle } from "../io/callback.ts";
import { COMPLETED_IO, SUBMITTED } from "../memory/handle_state.ts";
import { FILE_TARGET } from "../io/target.ts";
import { FILE_FLAGS } from "./file_table.ts";
import type { FileSlot } from "./file_slot.ts";
import { OPERATION_ROWS } from "../io/operation_table.ts";
import { BACKEND, type Control, FILE, HANDLE, HEADER } from "../memory/shared_memory.ts";
import type { WaitRef } from "../io/wait_ref.ts";

/** The largest error number of Linux (`MAX_ERRNO`); larger error data is no error number. */
const ERRNO_MAX = 4095;
const GENERATION_SHIFT = 32n;

/**
 * Errors with which nothing was flushed and no report consumed: the call was not executed, or the
 * file has nothing to flush. After any other one the unsynced writes may be lost.
 */
const NOT_EXECUTED: readonly number[] = [
  errnos.EINTR,
  errnos.EBADF,
  errnos.EAGAIN,
  errnos.EFAULT,
  errnos.EINVAL,
  errnos.EFBIG,
  errnos.ESPIPE,
  errnos.EROFS,
  errnos.ENOSYS,
  errnos.EOPNOTSUPP,
  errnos.ECANCELED,
];

/** Whether a flush, or a durable write, that failed with an error number may have lost writes. */
export function mayLoseWrites(errno: number): boolean {
  return errno > 0 && errno <= ERRNO_MAX && !NOT_EXECUTED.includes(errno);
}

function wordOf(generation: number, errno: number): bigint {
  return BigInt.asIntN(64, (BigInt(generation >>> 0) << GENERATION_SHIFT) | BigInt(errno));
}

/** The error number of the first flush of a file that failed; 0: none has. */
export function flushErrorOf(control: Control, { slot, generation }: FileSlot): number {
  const at = control.fileAt(slot) + FILE.flushErrorLow;
  // Nearly always: the lower half is the error number.
  if (Atomics.load(control.words, at) === 0) return 0;
  const word = Atomics.load(control.longs, at >> 1);
  const errno = Number(BigInt.asUintN(Number(GENERATION_SHIFT), word));
  return word === wordOf(generation, errno) ? errno : 0;
}

/** Remembers that a flush of a file has failed; the first error stays. */
export function noteFlushError(control: Control, file: FileSlot, errno: number): void {
  const { longs, words } = control;
  const fileAt = control.fileAt(file.slot);
  const at = (fileAt + FILE.flushErrorLow) >> 1;
  while (flushErrorOf(control, file) === 0) {
    const present = Atomics.load(longs, at);
    // The file was closed, and the slot has another one by now.
    if (Atomics.load(words, fileAt + FILE.generation) !== file.generation) return;
    const next = wordOf(file.generation, errno);
    if (Atomics.compareExchange(longs, at, present, next) === present) return;
  }
}

/**
 * The open file that an IO flushes or writes, known by its target or, where that stands for
 * no file, by its descriptor.
 *
 * @returns null for a descriptor that is not in the table of open files
 */
export function flushedFile(control: Control, handle: CallbackHandle): FileSlot | null {
  if (!handle.isOnFile) return fileOfFd(control, handle.operationData.fd);
  const { targetData } = handle;
  const slot = targetData[FILE_TARGET.slot]!;
  const generation = targetData[FILE_TARGET.slotGeneration]!;
  return slotIsOf(control, slot, generation) ? { slot, generation } : null;
}

/** An issuer may set the target's words itself, to anything. */
function slotIsOf(control: Control, slot: number, generation: number): boolean {
  if (slot < 0 || slot >= control.words[HEADER.maxFiles]!) return false;
  return Atomics.load(control.words, control.fileAt(slot) + FILE.generation) === generation;
}

function fileOfFd(control: Control, fd: number): FileSlot | null {
  const { words } = control;
  const maxFiles = words[HEADER.maxFiles]!;
  for (let slot = 0; slot < maxFiles; slot++) {
    const at = control.fileAt(slot);
    if (Atomics.load(words, at + FILE.references) === 0) continue;
    if (Atomics.load(words, at + FILE.fd) === fd) {
      return { slot, generation: Atomics.load(words, at + FILE.generation) };
    }
  }
  return null;
}

/**
 * Whether an IO may be executed once more after a thread that had begun to execute it has died: not
 * if the kernel may have told that thread the file's error.
 */
export function mayRepeat(control: Control, base: number): boolean {
  const row = OPERATION_ROWS[Atomics.load(control.words, base + HANDLE.operation)] ?? null;
  if (row === null || !row.mayRepeat) return false;
  if (row.tellsLostWrites !== "whenDurable") return true;
  const file = fileOfFd(control, Atomics.load(control.words, base + HANDLE.fd));
  return !isDsync(control, file) && !hasDsync(control, base);
}

/**
 * Whether an IO asks the kernel for the file's error: a flush, or a write that is durable.
 *
 * @param isDsync whether the file was opened with `O_DSYNC`
 */
function tellsLostWrites(control: Control, base: number, isDsync: boolean): boolean {
  const operation = Atomics.load(control.words, base + HANDLE.operation);
  const tells = OPERATION_ROWS[operation]?.tellsLostWrites;
  return tells === "always" || (tells === "whenDurable" && (isDsync || hasDsync(control, base)));
}

/** Whether a write is durable by itself. */
function hasDsync({ words }: Control, base: number): boolean {
  return (Atomics.load(words, base + HANDLE.argumentFlags) & RWF_DSYNC) !== 0;
}

function isDsync(control: Control, file: FileSlot | null): boolean {
  if (file === null) return false;
  return (control.words[control.fileAt(file.slot) + FILE.flags]! & FILE_FLAGS.dsync) !== 0;
}

/**
 * The flushes of an open file that are in flight in any thread. Those that overlapped a flush which
 * the kernel has just answered with success are among them, unless they are completed: then the
 * file keeps already what they heard.
 *
 * @param file open
 * @param fd its descriptor
 */
export function flushesInFlight(control: Control, file: FileSlot, fd: number): WaitRef[] {
  const { words, handlesPerBackend, handleCount } = control;
  const refs: WaitRef[] = [];
  const isDurable = isDsync(control, file);
  for (let first = 0; first < handleCount; first += handlesPerBackend) {
    const backendAt = control.backendAt(first / handlesPerBackend);
    if (Atomics.load(words, backendAt + BACKEND.threadId) === 0) continue;
    for (let index = first; index < first + handlesPerBackend; index++) {
      const base = control.handleAt(index);
      // Most are idle, and an atomic look is a call. The one at the thread comes before these.
      if (words[base + HANDLE.state]! < SUBMITTED) continue;
      // The generation first: if the handle goes on meanwhile, the reference is of a use that is
      // over.
      const low = Atomics.load(words, base + HANDLE.generationLow);
      const high = Atomics.load(words, base + HANDLE.generationHigh);
      const state = Atomics.load(words, base + HANDLE.state);
      if (state < SUBMITTED || state > COMPLETED_IO) continue;
      if (Atomics.load(words, base + HANDLE.fd) !== fd) continue;
      if (!tellsLostWrites(control, base, isDurable)) continue;
      refs.push({ index, generation: fromWords(low, high) });
    }
  }
  return refs;
}
