/**
 * opening.ts: opens a path: Deno's descriptor, what IO needs to know of the file, and a place in
 * the table of open files. Whatever is refused leaves the file as it was, and what was made is
 * gone.
 *
 * ```text
 * place in the table ─► open ─► type ─► direct I/O ─► own descriptor ─► entry in the table ─► cut
 *                        └──────── refused: closed, and removed if it was made ◄─┘
 * ```
 *
 * So nothing that changes a file comes before what may be refused: the file is opened without
 * cutting it, and made only by a call that fails if it is there, which says who made it.
 *
 * The path goes through `node:fs`, so that Deno's `--allow-read` and `--allow-write` stay in force.
 * Deno closes that descriptor when the isolate ends that opened it. The main thread's lasts as long
 * as the program, so IO uses it. A Worker may end while other threads use the file, or execute IO
 * that it left behind: there IO uses a duplicate, and Deno's descriptor only stays open.
 *
 * @module
 */

import { isMainThread } from "node:worker_threads";
import { EISDIR, ESPIPE } from "../../ffi/errno.ts";
import { FILE_TYPE } from "../../ffi/layout.ts";
import { type DirectAlignment, directSteps } from "./direct_io.ts";
import { shown, systemError } from "../base/errors.ts";
import { isSameNode } from "./file_node.ts";
import type { FileStat } from "./file_stat.ts";
import type { FileCalls, FileHost } from "./file_calls.ts";
import { FILE_FLAGS, type OpenFileEntry } from "./file_table.ts";
import type { OpenRequest } from "./open_request.ts";
import { get, type Steps } from "../base/steps.ts";

/**
 * A file that others make and remove in turns: after so many tries it is made by whoever is first.
 */
const MAKE_ATTEMPTS_MAX = 10;
/**
 * How long to wait for whoever holds a lease; the system takes it away after 45 s, if not told
 * otherwise.
 */
const LEASE_MS_MAX = 120_000;
const LEASE_PAUSE_MS_MIN = 1;
const LEASE_PAUSE_MS_MAX = 32;
/** How a system, or a file system, says that it has no files without a name. */
const NO_TEMPORARY: readonly unknown[] = ["EOPNOTSUPP", "EISDIR", "ENOENT"];

/** What an opening needs of its backend. */
export interface OpeningHost extends FileHost {
  /**
   * Whether Deno's descriptors last as long as all threads that may use the file. Default: in the
   * main thread.
   */
  readonly isLasting?: boolean;
  /** Refuses to go on when the Aio was closed meanwhile. */
  checkOpen(path: string): void;
}

/** A file that is open. */
export interface OpenedFile {
  /** For the table of open files. */
  readonly entry: OpenFileEntry;
  /** Deno's descriptor; the entry's is the same, or a duplicate. */
  readonly denosFd: number;
  /** Whether it is still to be cut, as the last step. */
  readonly isToBeCut: boolean;
}

/** Whether Deno's descriptors of this thread last as long as the program: not those of a Worker. */
const IS_LASTING = isMainThread && !("WorkerGlobalScope" in globalThis);

/** An open path, and whether this opening made the file. */
interface Found {
  readonly fd: number;
  /** Where the file is: behind the links, where it was made. */
  readonly path: string;
  readonly isMade: boolean;
}

/**
 * Opens a path.
 *
 * @param accept takes the file; may refuse it by throwing
 * @returns what `accept` returned
 */
export function* openingSteps<T>(
  host: OpeningHost,
  calls: FileCalls,
  request: OpenRequest,
  accept: (opened: OpenedFile) => T,
): Steps<T> {
  const found = yield* findOrMake(host, calls, request);
  let duplicate = -1;
  let stat: FileStat | null = null;
  let fileSystem = 0;
  try {
    stat = yield* get(calls.stat(found.fd, request.path));
    fileSystem = yield* fileSystemSteps(calls, request, found.fd, stat);
    checkType(request.path, stat.mode);
    if (request.nonblockFlag !== 0) host.libc.changeFlags(found.fd, 0, request.nonblockFlag);
    const direct = request.direct === "off"
      ? null
      : yield* directSteps(host.libc, calls, request, found.fd, stat);
    if (!(host.isLasting ?? IS_LASTING)) duplicate = takeDuplicate(host, request, found.fd);
    const isRegular = (stat.mode & FILE_TYPE.mask) === FILE_TYPE.regular;
    return accept({
      entry: entryOf(request, found.fd, duplicate, stat, direct, fileSystem),
      denosFd: found.fd,
      isToBeCut: request.isToBeCut && isRegular && !found.isMade,
    });
  } catch (error) {
    yield* takeBack(calls, found, stat, duplicate, fileSystem);
    throw error;
  }
}

/**
 * A file on no device can be on any file system. One on a device is on a local one, and FUSE among
 * those (`fuseblk`, as for NTFS) matters to direct writes only: others skip the call.
 */
function* fileSystemSteps(
  calls: FileCalls,
  { direct }: OpenRequest,
  fd: number,
  { deviceMajor }: FileStat,
): Steps<number> {
  if (deviceMajor !== 0 && direct === "off") return 0;
  const flags = yield* get(calls.fileSystemFlags(fd));
  return deviceMajor === 0 || (flags & FILE_FLAGS.isFuse) !== 0 ? flags : 0;
}

function takeDuplicate({ libc }: OpeningHost, { path }: OpenRequest, fd: number): number {
  const duplicate = libc.duplicate(fd);
  if (duplicate >= 0) return duplicate;
  throw systemError(-duplicate, `Cannot open ${shown(path)}`, { syscall: "fcntl", path });
}

function entryOf(
  request: OpenRequest,
  denosFd: number,
  duplicate: number,
  stat: FileStat,
  direct: DirectAlignment | null,
  fileSystem: number,
): OpenFileEntry {
  const isDenos = duplicate < 0;
  return {
    fd: isDenos ? denosFd : duplicate,
    deviceMajor: stat.deviceMajor,
    deviceMinor: stat.deviceMinor,
    inodeLow: stat.inodeLow,
    inodeHigh: stat.inodeHigh,
    flags: request.fileFlags | (direct === null ? 0 : FILE_FLAGS.direct) |
      (isDenos ? FILE_FLAGS.isDenos : 0) | fileSystem,
    memoryAlignment: direct?.memory ?? 1,
    offsetAlignment: direct?.offset ?? 1,
    path: request.path,
  };
}

/** Undoes an opening. Ignores its own failures: the reason of the refusal is what counts. */
function* takeBack(
  calls: FileCalls,
  found: Found,
  stat: FileStat | null,
  duplicate: number,
  fileSystem: number,
): Steps<void> {
  try {
    if (duplicate >= 0) yield* get(calls.close(duplicate, fileSystem));
    if (found.isMade) {
      const made = stat ?? (yield* get(calls.stat(found.fd, found.path)));
      if (yield* isStillAt(calls, found.path, made)) yield* get(calls.unlink(found.path));
    }
  } catch {
    // Somebody was faster, or the folder may not be written any more.
  }
  yield* get(calls.closeDenos(found.fd, fileSystem));
}

/** Another file may have its name by now. */
function* isStillAt(calls: FileCalls, path: string, made: FileStat): Steps<boolean> {
  const present = yield* get(calls.statPath(path));
  return present !== null && isSameNode(present, made);
}

function* findOrMake(host: OpeningHost, calls: FileCalls, request: OpenRequest): Steps<Found> {
  const { path } = request;
  if (request.making === "new") return yield* make(host, calls, request, path);
  if (request.making === "never") return yield* find(host, calls, request, path);
  let target = path;
  for (let attempt = 0; attempt < MAKE_ATTEMPTS_MAX; attempt++) {
    try {
      return yield* find(host, calls, request, target);
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
    }
    try {
      return yield* make(host, calls, request, target);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    // It is there by now, or it is a link to what is not there: that is what is made.
    const link = yield* get(calls.readLink(target));
    if (link !== null) target = link.startsWith("/") ? link : folderOf(target) + link;
  }
  const fd = yield* openPatiently(host, calls, request, path, request.createFlag);
  return { fd, path, isMade: false };
}

function* find(
  host: OpeningHost,
  calls: FileCalls,
  request: OpenRequest,
  path: string,
): Steps<Found> {
  return { fd: yield* openPatiently(host, calls, request, path, 0), path, isMade: false };
}

function* make(
  host: OpeningHost,
  calls: FileCalls,
  request: OpenRequest,
  path: string,
): Steps<Found> {
  const flags = request.createFlag | request.exclusiveFlag;
  return { fd: yield* openPatiently(host, calls, request, path, flags), path, isMade: true };
}

/**
 * Opens, and waits for whoever holds a lease on the file (Samba, an NFS server): the system asks
 * him to let go, and then opens it. It would wait by itself without `O_NONBLOCK`, but then for ever
 * for the other end of a pipe.
 */
function* openPatiently(
  host: OpeningHost,
  calls: FileCalls,
  request: OpenRequest,
  path: string,
  flags: number,
): Steps<number> {
  let pauseMs = LEASE_PAUSE_MS_MIN;
  for (let waitedMs = 0;; waitedMs += pauseMs) {
    host.checkOpen(request.path);
    // Where it takes the last descriptor, Deno ends the process as soon as it shows an error's
    // stack.
    const spare = host.libc.eventfd();
    try {
      return yield* get(calls.open(path, request.flags | flags, request.mode));
    } catch (error) {
      if (codeOf(error) !== "EAGAIN" || waitedMs >= LEASE_MS_MAX) throw refusal(request, error);
    } finally {
      if (spare >= 0) host.libc.close(spare);
    }
    yield* get(calls.pause(pauseMs));
    pauseMs = Math.min(2 * pauseMs, LEASE_PAUSE_MS_MAX);
  }
}

/** The error of an opening; of a file without a name with the remedy. */
function refusal({ fileFlags }: OpenRequest, error: unknown): unknown {
  const isTemporary = (fileFlags & FILE_FLAGS.isTemporary) !== 0;
  if (!isTemporary || !(error instanceof Error)) return error;
  error.message = error.message.replace("Cannot open ", "Cannot open a temporary file in ");
  if (NO_TEMPORARY.includes(codeOf(error))) {
    error.message += "; where the directory is there, its file system has no files without a " +
      'name: make one by openFile(), with "createNew", and rename it';
  }
  return error;
}

/** The folder of a path, with the slash at its end; empty: the current folder. */
function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function checkType(path: string, mode: number): void {
  const type = mode & FILE_TYPE.mask;
  if (type === FILE_TYPE.regular || type === FILE_TYPE.blockDevice) return;
  if (type === FILE_TYPE.directory) {
    throw systemError(EISDIR, `Cannot open ${shown(path)} as a file`, { syscall: "open", path });
  }
  throw systemError(
    ESPIPE,
    `Cannot open ${
      shown(path)
    } for positioned I/O as it is neither a regular file nor a block device`,
    { syscall: "open", path },
  );
}
