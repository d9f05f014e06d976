/**
 * reap.ts: takes over what a thread left behind that ended without `close()`.
 *
 * `self.close()` cuts JavaScript in mid-function and `terminate()` gives no event, so a handle can
 * be in any state, and between any two stores. IO that was on its way is done again, from what its
 * handle says: whoever waits for it gets the data. This requires its memory to be shared; an IO on
 * memory of the dead thread alone ends with ECANCELED. A flush that the dead thread had begun to
 * execute ends with EIO, as the kernel's answer is lost (flush_error.ts). IO of others that the
 * dead thread was about to complete (claim.ts) is completed in its place; its shared callbacks may
 * have run half-way, and run once more.
 *
 * A reaper stores the negative of its thread id in the slot. If it dies, too, the next one begins
 * anew: each step is over for good once it is done, and can be repeated until then.
 *
 * @module
 */

import { ECANCELED, EIO } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/libc.ts";
import type { Backend } from "../backend/backend.ts";
import { claimantOf, releaseClaim, tryClaim } from "../memory/claim.ts";
import { unmarkClosing } from "../files/closing_mark.ts";
import { unmarkCopying } from "../files/copying_mark.ts";
import { isBufferedRead, tryReadCached } from "../io/cached_read.ts";
import {
  completeShared,
  makeIdle,
  NOBODY_THREW,
  publishResult,
  resetFields,
} from "../io/completion_steps.ts";
import { AioApiError, shown } from "../base/errors.ts";
import { FILE_FLAGS } from "../files/file_table.ts";
import { mayRepeat } from "../files/flush_error.ts";
import { leftBy } from "../files/left_appends.ts";
import { blockingLocks } from "../files/lock_calls.ts";
import type { AioHandle } from "../io/handle.ts";
import { BEGUN_BIT, FLAG_BITS } from "../io/handle_flag.ts";
import {
  COMPLETED_IO,
  COMPLETED_LOCAL,
  COMPLETED_SHARED,
  DEFINED,
  HANDED_OUT,
  IDLE,
  publishState,
  STAGED,
  SUBMITTED,
  updateState,
} from "../memory/handle_state.ts";
import { freeEnded } from "../memory/layer_runs.ts";
import { LockedTwiceError } from "../memory/lock.ts";
import { layersOf } from "./made_layers.ts";
import type { ReapingFrom } from "../io/method.ts";
import { performSynchronously } from "../io/operation.ts";
import { LOOK_AGAIN_MS } from "../base/pauses.ts";
import { BACKEND, type Control, HANDLE } from "../memory/shared_memory.ts";
import { sleepMs } from "../base/sleep.ts";
import { reapersOf } from "./reapers.ts";
import { closeRestFile } from "../waiting/rest_poll.ts";

/** The id of no thread: more than the system gives out. */
const NO_THREAD = 0x7fff_ffff;
/**
 * Looks of a call of the user, 1 s of them, at another thread that completes IO of the dead one.
 */
const BUSY_LOOKS_MAX = 1000;

/** What reaping needs to know of threads. */
interface Threads {
  /** This thread's id. */
  threadId(): number;
  /** Whether a thread of this process still runs. */
  isThreadAlive(threadId: number): boolean;
}

/**
 * Frees the slot of a thread that has ended, with everything that was charged to it.
 *
 * @param backend whoever finds it
 * @param id the dead one
 * @throws {RangeError} if there is no such backend
 * @throws {AioApiError} if its thread still runs, the slot is free, or another thread reaps it
 */
export function reapBackend(backend: Backend, id: number): void {
  const { control, libc } = backend;
  const count = backend.options.maxBackends;
  if (!Number.isInteger(id) || id < 0 || id >= count) {
    throw new RangeError(`Cannot reap backend ${shown(id)}: there are 0 to ${count - 1}`);
  }
  const threadId = threadIn(control, id);
  if (threadId === 0) {
    throw new AioApiError(`Cannot reap backend ${id}: no thread is attached there`);
  }
  if (threadId > 0 && libc.isThreadAlive(threadId)) {
    throw new AioApiError(`Cannot reap backend ${id}: its thread still runs`);
  }
  if (!tryTakeOver(control, libc, id)) {
    throw new AioApiError(`Cannot reap backend ${id}: another thread does it`);
  }
  for (let looks = 0; !tryReapRest(backend, id); looks++) {
    if (looks >= BUSY_LOOKS_MAX) {
      tryLetGo(control, libc, id);
      throw new AioApiError(
        `Cannot reap backend ${id} yet: another thread is completing IO of it, try again later`,
      );
    }
    sleepMs(LOOK_AGAIN_MS);
  }
}

/**
 * Reaps every backend whose thread has died. What cannot be ended yet is gone on with the next
 * time, by whichever thread looks first.
 *
 * @param from where it is called: in an event loop what may block is left to a thread of its own
 */
export function reapDead(backend: Backend, from: ReapingFrom = "wait"): void {
  const { control, libc, log } = backend;
  for (let id = 0; id < control.threadCount; id++) {
    if (id === backend.id || (from === "eventLoop" && reapersOf(backend).isAt(id))) continue;
    if (!tryTakeOver(control, libc, id)) continue;
    if (!tryReapFound(backend, id, from)) {
      // This thread may have no reason to look again, so any other may go on.
      tryLetGo(control, libc, id);
      continue;
    }
    const { maxBackends } = backend.options;
    const what = id < maxBackends ? `backend ${id}` : `worker ${id - maxBackends}`;
    log?.say("log", `reaped ${what}: its thread has died`);
  }
}

/** @returns false if it is to be tried again, by any thread */
function tryReapFound(backend: Backend, id: number, from: ReapingFrom): boolean {
  try {
    return tryReapRest(backend, id, from) || (from === "eventLoop" && goOn(backend, id));
  } catch (error) {
    // This thread was ended itself, and what it does to the end of its turn is no help.
    if (error instanceof LockedTwiceError) return false;
    throw error;
  }
}

/** Whether any thread has died, and what it had is not all given back. */
export function hasDead({ id: own, control, libc }: Backend): boolean {
  for (let id = 0; id < control.threadCount; id++) {
    if (id === own) continue;
    if (threadIn(control, id) < 0 || leftIn(control, libc, id) !== 0) return true;
  }
  return false;
}

/**
 * Has a Worker do what may block, for an event loop; without a Worker, this thread does it.
 *
 * @returns whether it is done
 */
function goOn(backend: Backend, id: number): boolean {
  const { control, libc, pump } = backend;
  if (!mayBlock(backend, id)) {
    // The kernel, or another thread, is about to be done with it.
    pump.askSoon();
    return false;
  }
  if (tryLetGo(control, libc, id) && reapersOf(backend).tryStart(id)) return false;
  return tryTakeOver(control, libc, id) && tryReapRest(backend, id, "wait");
}

/**
 * Sees to it that any thread can take over from a dead one, though its slot has this thread's
 * number.
 *
 * @returns false if the slot has no dead thread, or the system does not say which threads live
 */
export function tryLetGo(control: Control, threads: Threads, id: number): boolean {
  const present = leftIn(control, threads, id);
  if (present === 0 || threads.isThreadAlive(NO_THREAD)) return false;
  if (Math.abs(present) !== threads.threadId()) return true;
  const at = control.backendAt(id) + BACKEND.threadId;
  return Atomics.compareExchange(control.words, at, present, -NO_THREAD) === present;
}

/** Whether a dead thread left IO that may have to be executed, or files that have to be closed. */
function mayBlock(backend: Backend, dead: number): boolean {
  const { control, files, method } = backend;
  const { words, handleCount, handlesPerBackend } = control;
  for (let index = 0; index < handleCount; index++) {
    const base = control.handleAt(index);
    const state = Atomics.load(words, base + HANDLE.state);
    if (state < DEFINED || state > SUBMITTED) continue;
    const claimant = claimantOf(words, base);
    if (claimant >= 0 && claimant !== dead && isAlive(backend, claimant)) continue;
    if (Math.floor(index / handlesPerBackend) === dead) return true;
    if (method.redo === undefined && claimant === dead) return true;
  }
  return files.isLastOfAny(dead);
}

function threadIn(control: Control, id: number): number {
  return Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId);
}

/**
 * Says that this thread reaps a backend, if that one, or its last reaper, has died.
 *
 * @returns false if the slot has no dead thread, or another thread was faster
 */
export function tryTakeOver(control: Control, threads: Threads, id: number): boolean {
  const at = control.backendAt(id) + BACKEND.threadId;
  const present = leftIn(control, threads, id);
  if (present === 0) return false;
  const own = -threads.threadId();
  return present === own || Atomics.compareExchange(control.words, at, present, own) === present;
}

/** What the slot of a dead thread holds, or of one that this thread reaps; 0: of any other. */
function leftIn(control: Control, threads: Threads, id: number): number {
  const present = threadIn(control, id);
  if (present === 0) return 0;
  // The number is this thread's own in a backend of another thread: that one had it before, and
  // died.
  const isOwn = Math.abs(present) === threads.threadId();
  return isOwn || !threads.isThreadAlive(Math.abs(present)) ? present : 0;
}

/**
 * The rest of it, after {@linkcode tryTakeOver}.
 *
 * @returns false if another thread still completes IO of the dead one: to be tried again
 */
export function tryReapRest(
  backend: Backend,
  id: number,
  from: ReapingFrom = "wait",
): boolean {
  if (!reapBelongings(backend, id, from)) return false;
  Atomics.store(backend.control.words, backend.control.backendAt(id) + BACKEND.threadId, 0);
  freeEnded(backend.arena);
  return true;
}

/** As {@linkcode tryReapRest}, but the slot stays taken; any thread may go on if this one fails. */
export function reapBelongings(
  backend: Backend,
  id: number,
  from: ReapingFrom = "wait",
): boolean {
  try {
    return giveBelongingsBack(backend, id, from);
  } catch (error) {
    tryLetGo(backend.control, backend.libc, id);
    throw error;
  }
}

function giveBelongingsBack(backend: Backend, id: number, from: ReapingFrom): boolean {
  const { control, libc, files, arena, method } = backend;
  // Whoever closes what it read waits for that, not for the rest.
  unmarkCopying(control, id);
  let isDone = completeClaimed(backend, id, from);
  if (method.reapBackend?.(backend, id, from) === false) return false;
  // A helper has neither handles nor files.
  if (id >= backend.options.maxBackends) {
    if (isDone) layersOf(backend).reapBackend(id);
    return isDone;
  }
  const first = id * control.handlesPerBackend;
  for (let index = first; index < first + control.handlesPerBackend; index++) {
    if (!tryReapHandle(backend, backend.handleOf(index), id, from)) isDone = false;
  }
  if (!isDone) return false;
  const layers = layersOf(backend);
  layers.reapBackend(id);
  for (const { slot, fd, flags } of files.removeBackend(id, from === "wait")) {
    method.forgetFile?.(backend, slot);
    layers.closingFile(slot);
    if (fd >= 0) closeLeft(libc, fd, flags);
    files.free(slot);
  }
  if (files.isLastOfAny(id)) return false;
  unmarkClosing(control, id);
  arena.giveBackAllOf(id);
  backend.doorbells.closeFor(id);
  closeRestFile(libc, control, id);
  return true;
}

/** Deno's descriptor shares the locks, and the thread that opened it closes it some time later. */
function closeLeft(libc: Libc, fd: number, flags: number): void {
  if ((flags & FILE_FLAGS.hasLocks) !== 0) blockingLocks(libc).unlockAll(fd);
  if ((flags & FILE_FLAGS.isDenos) === 0) libc.close(fd);
}

/**
 * Completes the IO of others that the dead one was about to, or has the method execute it again.
 *
 * @returns false if some of it may block
 */
function completeClaimed(backend: Backend, dead: number, from: ReapingFrom): boolean {
  const { words, handleCount } = backend.control;
  let isDone = true;
  for (let index = 0; index < handleCount; index++) {
    const base = backend.control.handleAt(index);
    const low = Atomics.load(words, base + HANDLE.generationLow);
    const state = Atomics.load(words, base + HANDLE.state);
    if (state !== SUBMITTED && state !== COMPLETED_IO) continue;
    if (claimantOf(words, base) !== dead) continue;
    const handle = backend.handleOf(index);
    if (handle.backendId === dead) continue;
    const { redo } = backend.method;
    if (state === SUBMITTED && redo !== undefined && !isLost(backend, handle)) {
      redo(backend, handle, dead);
      continue;
    }
    // The claim stays the dead thread's until the IO is done: only that thread's reaper touches it.
    const result = state === SUBMITTED ? againOf(backend, handle, from) : 0;
    if (result === null) isDone = false;
    if (result === null || !tryClaim(words, base, backend.id, low, dead)) continue;
    finishAgain(backend, handle, result);
    backend.deliver(handle);
  }
  return isDone;
}

/** @returns false if a living thread is about to complete the IO, or it may block */
function tryReapHandle(
  backend: Backend,
  handle: AioHandle,
  dead: number,
  from: ReapingFrom,
): boolean {
  const { words, base } = handle;
  const stateAt = base + HANDLE.state;
  const state = Atomics.load(words, stateAt);
  switch (state) {
    case IDLE:
      // Its last owner may have died while it cleared the fields.
      resetFields(words, base);
      return true;
    case HANDED_OUT:
    case COMPLETED_LOCAL:
      break;
    case DEFINED:
      updateState(words, stateAt, STAGED);
      publishState(words, stateAt, SUBMITTED);
      break;
    case STAGED:
      publishState(words, stateAt, SUBMITTED);
      break;
  }
  if (state !== HANDED_OUT && state !== COMPLETED_LOCAL) {
    if (!tryComplete(backend, handle, dead, from)) return false;
    const left = leftBy(backend.files, dead, handle);
    if (left !== null) backend.warn(left);
    updateState(words, stateAt, COMPLETED_LOCAL);
  }
  backend.doorbells.ringAll(makeIdle(words, base));
  return true;
}

/** @returns whether the IO is completed: by this thread, if nobody else was about to */
function tryComplete(
  backend: Backend,
  handle: AioHandle,
  dead: number,
  from: ReapingFrom,
): boolean {
  const { words, base } = handle;
  if (Atomics.load(words, base + HANDLE.state) >= COMPLETED_SHARED) return true;
  if (!tryClaimFrom(backend, handle, dead)) return false;
  const state = Atomics.load(words, base + HANDLE.state);
  if (state >= COMPLETED_SHARED) return true;
  const result = state === SUBMITTED ? againOf(backend, handle, from) : 0;
  if (result === null) releaseClaim(words, base, backend.id);
  else finishAgain(backend, handle, result);
  return result !== null;
}

/**
 * Claims an IO of a dead thread. One that a third thread has claimed, which has died as well, is
 * taken from that one in its reaper's place: a reaper goes on with such an IO, and this one would
 * have it over, and its handle used anew, meanwhile.
 *
 * @returns false if a living thread has claimed it, or reaps whoever has
 */
function tryClaimFrom(backend: Backend, { words, base }: AioHandle, dead: number): boolean {
  const { control, libc } = backend;
  const claimant = claimantOf(words, base);
  if (claimant === backend.id) return true;
  const low = Atomics.load(words, base + HANDLE.generationLow);
  const isThirds = claimant >= 0 && claimant !== dead && threadIn(control, claimant) !== 0;
  if (isThirds && !tryTakeOver(control, libc, claimant)) return false;
  const isClaimed = tryClaim(words, base, backend.id, low, claimant);
  if (isThirds) tryLetGo(control, libc, claimant);
  return isClaimed;
}

function isAlive({ control, libc }: Backend, id: number): boolean {
  const threadId = threadIn(control, id);
  return threadId !== 0 && libc.isThreadAlive(Math.abs(threadId));
}

/**
 * From submitted or completedIo to completedShared.
 *
 * @param result bytes, or -errno, of one that is submitted
 */
function finishAgain(backend: Backend, handle: AioHandle, result: number): void {
  const { callbacks, injections, log } = backend;
  const { words, base } = handle;
  if (Atomics.load(words, base + HANDLE.state) === COMPLETED_IO) {
    publishResult(callbacks, handle, NOBODY_THREW, true, injections, log);
    return;
  }
  completeShared(callbacks, handle, result, NOBODY_THREW, true, injections, log);
}

/**
 * Whether a dead thread had begun to execute an IO that nobody may execute once more. A flush is
 * one: that thread may have heard that writes are lost, which the kernel tells once. So the IO
 * counts as failed.
 */
function isLost({ control }: Backend, { words, base }: AioHandle): boolean {
  return (words[base + HANDLE.flags]! & BEGUN_BIT) !== 0 && !mayRepeat(control, base);
}

/**
 * Executes an IO that a dead thread left, if that does no harm.
 *
 * @returns bytes, or -errno; null if that may block, and this thread may not
 */
function againOf(backend: Backend, handle: AioHandle, from: ReapingFrom): number | null {
  const { words, base, iovec } = handle;
  if (isLost(backend, handle)) return -EIO;
  if ((words[base + HANDLE.flags]! & FLAG_BITS.referencesLocal) !== 0) return -ECANCELED;
  if (from === "eventLoop") {
    const isRead = isBufferedRead(handle) && tryReadCached(backend, handle);
    return isRead ? words[base + HANDLE.length]! : null;
  }
  return performSynchronously(backend.libc, backend.control, base, iovec.bytes);
}
