/**
 * file_attributes.ts: what the system keeps of a file beside its bytes, changed by its descriptor:
 * its times and its permissions.
 *
 * Deno asks for permission when a path is opened, so only a file that was opened for writing may be
 * changed.
 *
 * @module
 */

import { type FileCalls, get, shown, type Steps, systemError } from "../../core/inside.ts";

/** What a change needs of its file. */
interface ChangeableFile {
  readonly path: string;
  readonly fd: number;
  readonly canWrite: boolean;
  checkOpen(verb: string): void;
}

/** A time, as the system has it. */
type FileTime = Parameters<FileCalls["setTimes"]>[1];

const MS_PER_S = 1000;
const NS_PER_MS = 1_000_000;
const NS_PER_S = 1_000_000_000;
const MODE_MAX = 0o7777;

/** See `AioFile.utimes`. */
export function* setTimes(
  file: ChangeableFile,
  calls: FileCalls,
  atime: Date | number,
  mtime: Date | number,
): Steps<void> {
  const what = "set the times of";
  checkWritable(file, what);
  const read = timeOf(file, "atime", atime);
  const written = timeOf(file, "mtime", mtime);
  check(file, what, "futimens", yield* get(calls.setTimes(file.fd, read, written)));
}

/** See `AioFile.chmod`. */
export function* changeMode(file: ChangeableFile, calls: FileCalls, mode: number): Steps<void> {
  const what = "change the mode of";
  checkWritable(file, what);
  if (!Number.isInteger(mode) || mode < 0 || mode > MODE_MAX) {
    throw new RangeError(
      `Cannot ${what} ${shown(file.path)} to ${shown(mode)}: pass an integer from 0 to 0o7777`,
    );
  }
  check(file, what, "fchmod", yield* get(calls.changeMode(file.fd, mode)));
}

function checkWritable(file: ChangeableFile, what: string): void {
  file.checkOpen(what);
  if (file.canWrite) return;
  throw new Deno.errors.BadResource(
    `Cannot ${what} ${
      shown(file.path)
    }: it was opened without "write", and so Deno was not asked ` +
      "whether it may be changed; open it with that",
  );
}

function timeOf({ path }: ChangeableFile, name: string, time: unknown): FileTime {
  if (!(time instanceof Date) && typeof time !== "number") {
    throw new TypeError(
      `Cannot set the times of ${shown(path)}: "${name}" must be a Date or a number of seconds: ` +
        `got ${shown(time)}`,
    );
  }
  const isDate = time instanceof Date;
  const value = Number(time);
  const seconds = Math.floor(isDate ? value / MS_PER_S : value);
  if (!Number.isSafeInteger(seconds)) {
    throw new RangeError(
      `Cannot set the times of ${shown(path)}: "${name}" is no time: got ${
        isDate ? "an invalid Date" : value
      }; pass a valid Date, or seconds since 1970`,
    );
  }
  const nanoseconds = isDate
    ? (value - seconds * MS_PER_S) * NS_PER_MS
    : Math.min(Math.round((value - seconds) * NS_PER_S), NS_PER_S - 1);
  return { seconds, nanoseconds };
}

function check({ path }: ChangeableFile, what: string, syscall: string, result: number): void {
  if (result >= 0) return;
  throw systemError(-result, `Cannot ${what} ${shown(path)}`, { syscall, path });
}
