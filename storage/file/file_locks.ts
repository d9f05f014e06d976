/**
 * file_locks.ts: locks on ranges of an open file, which keep other openings of it out: those of
 * this process and of others.
 *
 * ```text
 * try ─► taken? ─ no ─► locked
 *  ▲       │ yes
 *  └─ pause, longer each time, ended by the signal and by the end of the file
 * ```
 *
 * The kernel could wait, too, but only in a thread of its own that nobody can call back. The lock
 * belongs to the open file description, so all threads of the file share it, and so do its
 * descriptors: the last user unlocks before it closes (core/life/closing_file.ts).
 *
 * @module
 */

import {
  errnos,
  type FileCallForms,
  type FileCalls,
  get,
  onAbort,
  runSteps,
  runStepsSync,
  shown,
  type Steps,
  systemError,
} from "../../core/inside.ts";
import type { FileEnd } from "./file_end.ts";
import type { Direction } from "./transfer_request.ts";

/** A range of a file. */
export interface LockRange {
  /** Where it begins, in bytes. Default: 0. */
  readonly offset?: number | undefined;
  /** Its length, in bytes; 0: to the end of the file, wherever that will be. Default: 0. */
  readonly length?: number | undefined;
}

/** What `tryLock` and `lockSync` take. */
export interface TryLockOptions extends LockRange {
  /**
   * Whether nobody else may lock any of the range; false: others may share it, but not lock it
   * exclusively. Default: true.
   */
  readonly exclusive?: boolean | undefined;
}

/** What `lock` takes. */
export interface LockOptions extends TryLockOptions {
  /** Ends the wait: the promise rejects with its reason. A try under way ends first. */
  readonly signal?: AbortSignal | undefined;
}

/** What a lock needs of its file. */
export interface LockableFile {
  readonly path: string;
  readonly fd: number;
  readonly calls: FileCallForms;
  readonly ending: FileEnd;
  /** The waits for locks: they end when the file is closed. */
  readonly lockWaits: Set<AbortController>;
  checkOpen(verb: string): void;
  checkAccess(direction: Direction, offset: number): void;
  /** Says that the file may have locks, which are to be unlocked before it is closed. */
  noteLock(): void;
}

/** A lock, or the end of one. */
type FileLock = Parameters<FileCalls["lock"]>[1];

/** Between two tries, doubled each time. */
const PAUSE_MS_MIN = 1;
/** A lock that was just given back is taken this late at most. */
const PAUSE_MS_MAX = 64;

const { EACCES, EAGAIN, EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP } = errnos;
/** What the system answers where it has no such locks, or the file system has none. */
const NO_LOCKS: readonly number[] = [EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP];
const REMEDY = "; neither every system nor every file system has locks of open files: " +
  "lock a file on a local file system of Linux";

/** See `AioFile.lock`. */
export async function lock(file: LockableFile, options: LockOptions = {}): Promise<void> {
  const wanted = lockOf(file, options);
  const signal = signalOf(file, options);
  signal?.throwIfAborted();
  const end = new AbortController();
  const ignoreAbort = signal === undefined
    ? () => {}
    : onAbort(signal, (reason) => end.abort(reason));
  file.lockWaits.add(end);
  file.ending.begin();
  try {
    for (const ms of pauses()) {
      if (await runSteps(tried(file, file.calls.awaited, wanted))) return;
      end.signal.throwIfAborted();
      await file.ending.patience.pause(ms, end.signal);
      end.signal.throwIfAborted();
    }
  } finally {
    file.lockWaits.delete(end);
    ignoreAbort();
    file.ending.end();
  }
}

/** See `AioFile.lockSync`. */
export function lockSync(file: LockableFile, options: TryLockOptions = {}): void {
  const wanted = lockOf(file, options);
  const { blocking } = file.calls;
  for (const ms of pauses()) {
    if (runStepsSync(tried(file, blocking, wanted))) return;
    blocking.pause(ms);
  }
}

/** See `AioFile.tryLock`. */
export async function tryLock(file: LockableFile, options: TryLockOptions = {}): Promise<boolean> {
  const wanted = lockOf(file, options);
  file.ending.begin();
  try {
    return await runSteps(tried(file, file.calls.awaited, wanted));
  } finally {
    file.ending.end();
  }
}

/** See `AioFile.tryLockSync`. */
export function tryLockSync(file: LockableFile, options: TryLockOptions = {}): boolean {
  return runStepsSync(tried(file, file.calls.blocking, lockOf(file, options)));
}

/** See `AioFile.unlock`. */
export async function unlock(file: LockableFile, range: LockRange = {}): Promise<void> {
  const what = unlockOf(file, range);
  file.ending.begin();
  try {
    await runSteps(unlocked(file, file.calls.awaited, what));
  } finally {
    file.ending.end();
  }
}

/** See `AioFile.unlockSync`. */
export function unlockSync(file: LockableFile, range: LockRange = {}): void {
  runStepsSync(unlocked(file, file.calls.blocking, unlockOf(file, range)));
}

/** Refuses all that wait for a lock on a file that is being closed. */
export function endLockWaits({ path, lockWaits }: LockableFile): void {
  const message = `Cannot lock ${shown(path)}: the file was closed while it waited`;
  for (const wait of lockWaits) wait.abort(new Deno.errors.BadResource(message));
}

function* pauses(): Generator<number> {
  for (let ms = PAUSE_MS_MIN;; ms = Math.min(2 * ms, PAUSE_MS_MAX)) yield ms;
}

/** @returns whether it is locked now */
function* tried(file: LockableFile, calls: FileCalls, wanted: FileLock): Steps<boolean> {
  file.noteLock();
  const result = yield* get(calls.lock(file.fd, wanted));
  // The standard allows either for a lock of somebody else.
  if (result === -EAGAIN || result === -EACCES) return false;
  check(file, "lock", wanted, result);
  return true;
}

function* unlocked(file: LockableFile, calls: FileCalls, what: FileLock): Steps<void> {
  check(file, "unlock", what, yield* get(calls.lock(file.fd, what)));
}

function check({ path }: LockableFile, verb: string, lock: FileLock, result: number): void {
  if (result >= 0) return;
  const { offset, length } = lock;
  const fields = { syscall: "fcntl", path, offset, length };
  const remedy = NO_LOCKS.includes(-result) ? REMEDY : "";
  const what = `Cannot ${verb} ${rangeText(lock)} of ${shown(path)}`;
  throw systemError(-result, what, fields, undefined, remedy);
}

function rangeText({ offset, length }: FileLock): string {
  return length === 0 ? `all from byte ${offset}` : `bytes ${offset}..${offset + length - 1}`;
}

/** @throws for a lock that cannot be */
function lockOf(file: LockableFile, options: TryLockOptions): FileLock {
  file.checkOpen("lock");
  const range = rangeOf(file, "lock", options);
  const { exclusive = true } = options;
  if (typeof exclusive !== "boolean") {
    throw new TypeError(
      `Cannot lock ${shown(file.path)}: the option "exclusive" must be a boolean: got ${
        shown(exclusive)
      }`,
    );
  }
  checkMode(file, exclusive);
  return { type: exclusive ? "exclusive" : "shared", ...range };
}

/** The system would say no more than "bad file descriptor". */
function checkMode(file: LockableFile, exclusive: boolean): void {
  try {
    file.checkAccess(exclusive ? "write" : "read", 0);
  } catch {
    const [needed, remedy] = exclusive
      ? ["write", 'or pass { exclusive: false }, which needs "read"']
      : ["read", 'or pass { exclusive: true }, which needs "write"'];
    throw new Deno.errors.BadResource(
      `Cannot lock ${shown(file.path)}: it was opened without "${needed}"; open it with that, ` +
        remedy,
    );
  }
}

function unlockOf(file: LockableFile, range: LockRange): FileLock {
  file.checkOpen("unlock");
  return { type: "none", ...rangeOf(file, "unlock", range) };
}

function rangeOf({ path }: LockableFile, verb: string, range: LockRange) {
  if (typeof range !== "object" || range === null) {
    throw new TypeError(
      `Cannot ${verb} ${shown(path)}: pass its options as an object: got ${shown(range)}`,
    );
  }
  const { offset = 0, length = 0 } = range;
  for (const [name, value] of [["offset", offset], ["length", length]] as const) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new RangeError(
      `Cannot ${verb} ${shown(path)}: the option "${name}" must be an integer from 0 to ` +
        `2^53 - 1: got ${shown(value)}`,
    );
  }
  if (!Number.isSafeInteger(offset + length)) {
    throw new RangeError(
      `Cannot ${verb} ${shown(path)}: ${length} bytes from byte ${offset} end behind 2^53 - 1; ` +
        "pass the length 0 for all that follows",
    );
  }
  return { offset, length };
}

function signalOf({ path }: LockableFile, { signal }: LockOptions): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw new TypeError(
    `Cannot lock ${shown(path)}: the option "signal" must be an AbortSignal: got ${shown(signal)}`,
  );
}
