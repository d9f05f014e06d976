/**
 * allocate.ts: how `allocate`, `punchHole` and `zeroRange` become IOs of the core, and how a pool
 * makes a file longer.
 *
 * What makes a file longer moves the shared end of its appends. Zeros do so at the call, as every
 * write does: they would go over an append that comes meanwhile. Space that is only allocated harms
 * none, and there may not be enough of it, so it counts when it is there.
 *
 * @module
 */

import {
  checkEnd,
  checkOffset,
  errnos,
  type Eventually,
  type FileCalls,
  get,
  runSteps,
  runStepsSync,
  shown,
  type Steps,
  system,
  systemError,
} from "../../core/inside.ts";
import type { AioReturn } from "../../core/mod.ts";
import { abortable } from "./abortable.ts";
import type { FileInside } from "./file_inside.ts";
import type { TransferOptions } from "./file_parts.ts";
import { checkNames } from "./option_names.ts";
import { type PlainIo, runPlain, runPlainSync } from "./plain_io.ts";

const { keepSize, punchHole, zeroRange } = system.FALLOCATE_MODES;

/** What `allocate` and `zeroRange` take. */
export interface AllocateOptions extends TransferOptions {
  /** The file stays as long as it is, also where the range goes over its end. Default: false. */
  readonly keepSize?: boolean | undefined;
}

/** What becomes of a range. */
interface Change {
  /** What is done to its bytes, in words. */
  readonly verb: string;
  /** Mode of `fallocate(2)`. */
  readonly mode: number;
  /** The names of its options. */
  readonly options: readonly string[];
  /** What else there is where the file system has no such call. */
  readonly remedy: string;
}

const CHANGES = {
  allocate: {
    verb: "allocate",
    mode: 0,
    options: ["keepSize", "signal"],
    remedy: "write zeros there by writeAt()",
  },
  punchHole: {
    verb: "punch out",
    mode: keepSize | punchHole,
    options: ["signal"],
    remedy: "write zeros there by writeAt(), which frees no space",
  },
  zeroRange: {
    verb: "zero",
    mode: zeroRange,
    options: ["keepSize", "signal"],
    remedy: "write zeros there by writeAt()",
  },
} as const satisfies Readonly<Record<string, Change>>;

const FREE_SPACE = "; free some, or allocate less: a part of the range may have its place by now";
/** What to do about some errors. */
const REMEDIES: ReadonlyMap<number, string> = new Map([
  [errnos.ENOSPC, FREE_SPACE],
  [errnos.EDQUOT, FREE_SPACE],
]);

/** Which change, of which range, checked. */
interface RangeChange {
  readonly change: Change;
  readonly offset: number;
  readonly length: number;
  readonly mode: number;
}

/** Changes a range, awaiting it. @throws what the system says, or the signal's reason */
export async function changeRange(
  file: FileInside,
  name: keyof typeof CHANGES,
  offset: number,
  length: number,
  options: AllocateOptions | undefined,
): Promise<void> {
  const what = checkChange(file, CHANGES[name], offset, length, options);
  const signal = options?.signal;
  signal?.throwIfAborted();
  const done = run(file, what, signal);
  await (signal === undefined ? done : abortable(done, signal));
}

async function run(
  file: FileInside,
  what: RangeChange,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { transfers: { aio }, calls } = file;
  file.begin();
  try {
    const execute = (io: PlainIo) => runPlain(aio, file, io, signal);
    await runSteps(changeSteps(file, what, calls.awaited, execute));
  } finally {
    file.end();
  }
}

/** The same, blocking. */
export function changeRangeSync(
  file: FileInside,
  name: keyof typeof CHANGES,
  offset: number,
  length: number,
  options: Omit<AllocateOptions, "signal"> | undefined,
): void {
  const what = checkChange(file, CHANGES[name], offset, length, options);
  const { transfers: { aio }, calls } = file;
  const execute = (io: PlainIo) => runPlainSync(aio, file, io);
  runStepsSync(changeSteps(file, what, calls.blocking, execute));
}

function checkChange(
  file: FileInside,
  change: Change,
  offset: number,
  length: number,
  options: AllocateOptions | undefined,
): RangeChange {
  const { verb } = change;
  file.checkOpenFor("write", verb);
  checkOffset(verb, offset);
  if (!Number.isSafeInteger(length) || length <= 0) refuseLength(verb, length);
  checkEnd(verb, offset, length);
  const what = wordsOf(file, { change, offset, length });
  if (options !== undefined) checkNames(what, options, change.options);
  const keeps: unknown = options?.keepSize;
  if (keeps !== undefined && typeof keeps !== "boolean") {
    throw new TypeError(`${what}: the option "keepSize" must be a boolean: got ${shown(keeps)}`);
  }
  if (Deno.build.os !== "linux") {
    throw new Deno.errors.NotSupported(`${what}: only Linux can do that; ${change.remedy}`);
  }
  return { change, offset, length, mode: change.mode | (keeps === true ? keepSize : 0) };
}

function refuseLength(verb: string, length: number): never {
  const message = `Cannot ${verb} ${
    shown(length)
  } bytes: lengths are integers from 1 to ${Number.MAX_SAFE_INTEGER}`;
  throw typeof length === "number" ? new RangeError(message) : new TypeError(message);
}

function wordsOf(
  { path }: FileInside,
  { change, offset, length }: Omit<RangeChange, "mode">,
): string {
  return `Cannot ${change.verb} ${length} bytes at offset ${offset} of ${shown(path)}`;
}

function* changeSteps(
  file: FileInside,
  what: RangeChange,
  calls: FileCalls,
  execute: (io: PlainIo) => Eventually<AioReturn>,
): Steps<void> {
  const { offset, length, mode } = what;
  const end = offset + length;
  const io: PlainIo = { operation: "fallocate", operands: { offset, length, flags: mode } };
  const isLonger = (mode & keepSize) === 0;
  const isWrite = isLonger && (mode & zeroRange) !== 0;
  const { result } = isWrite
    ? yield* asWrite(file, end, calls, () => execute(io))
    : yield* get(execute(io));
  if (result.status !== "error") {
    if (isLonger) file.reaches(end);
    return;
  }
  // Some file systems have made a part of it by then.
  if (isLonger) yield* file.settleFailedSteps(calls);
  const isLacking = result.errorData === errnos.EOPNOTSUPP;
  const name = isLacking ? yield* get(calls.fileSystemName(file.fd)) : null;
  throw changeError(file, what, result.errorData, name);
}

/** Does what writes up to an end, which appends keep behind from now on. */
function* asWrite<T>(
  file: FileInside,
  end: number,
  calls: FileCalls,
  execute: () => Eventually<T>,
): Steps<T> {
  file.beginWrite(end);
  try {
    const done = yield* get(execute());
    file.endWrite(end);
    return done;
  } catch (error) {
    file.endWrite(end);
    yield* file.settleFailedSteps(calls);
    throw error;
  }
}

/**
 * Makes a file at least so long, by zeros: it never gets shorter, though others make it longer
 * meanwhile. Only where the file system cannot allocate, that can happen between two calls.
 *
 * @param offset where the file ended
 */
export function* growSteps(
  file: FileInside,
  offset: number,
  end: number,
  isBlocking: boolean,
): Steps<void> {
  const { transfers: { aio }, path, fd } = file;
  const calls = isBlocking ? file.calls.blocking : file.calls.awaited;
  if (Deno.build.os === "linux") {
    const operands = { offset, length: end - offset, flags: CHANGES.allocate.mode };
    const io: PlainIo = { operation: "fallocate", operands };
    const done = isBlocking ? runPlainSync(aio, file, io) : runPlain(aio, file, io, undefined);
    const { result: { status, errorData } } = yield* get<AioReturn>(done);
    if (status !== "error") return file.reaches(end);
    yield* file.settleEnd(calls);
    if (errorData !== errnos.EOPNOTSUPP) {
      const what = { change: CHANGES.allocate, offset, length: end - offset, mode: 0 };
      throw changeError(file, what, errorData, null);
    }
  }
  const { size } = yield* get(calls.stat(fd, path));
  if (size < end) yield* file.cut(calls, end);
}

/** @param fileSystem what it is called if it cannot do that; else null */
function changeError(
  file: FileInside,
  what: RangeChange,
  errno: number,
  fileSystem: string | null,
): Error {
  const { change, offset, length } = what;
  const fields = { syscall: "fallocate", path: file.path, offset, length };
  const remedy = fileSystem === null
    ? REMEDIES.get(errno)
    : `; the file system ${fileSystem} cannot do that: ${change.remedy}`;
  return systemError(errno, wordsOf(file, what), fields, undefined, remedy);
}
