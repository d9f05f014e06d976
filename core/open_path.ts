/**
 * open_path.ts: opens a path as a descriptor of its own, with what direct I/O needs to know of it.
 *
 * The path goes through `node:fs`, so that Deno's `--allow-read` and `--allow-write` stay in force.
 * The descriptor that gives is Deno's and would be closed with the isolate that opened it, so it is
 * duplicated and given back at once; everything else uses the duplicate.
 *
 * @module
 */

import fs from "node:fs";
import { fileURLToPath } from "node:url";
import { EISDIR, errnoOf, ESPIPE } from "../ffi/errno.ts";
import { FILE_TYPE, OPEN_FLAGS, type OpenFlags } from "../ffi/layout.ts";
import type { Libc } from "../ffi/libc.ts";
import { type DirectMode, makeDirect } from "./direct_io.ts";
import { shown, systemError } from "./errors.ts";
import { fileStat } from "./file_stat.ts";
import { FILE_FLAGS, type OpenFileEntry } from "./open_file.ts";

/** How a file is opened. */
export interface OpenFileOptions {
  /** Open for reading. Default: true unless `write` is given. */
  read?: boolean;
  /** Open for writing. Default: false. */
  write?: boolean;
  /** Make the file if it is not there; needs `write`. Default: false. */
  create?: boolean;
  /** Make the file and fail if it is there; needs `write`. Default: false. */
  createNew?: boolean;
  /** Cut the file to 0 bytes; needs `write`. Default: false. */
  truncate?: boolean;
  /** Permissions of a file that is made, less the process's umask. Default: 0o666. */
  mode?: number;
  /**
   * Direct I/O: transfers go past the page cache and must be aligned (`file.alignment`).
   * `"required"` fails where the file system has none, `"optional"` is then buffered. Default: `"off"`.
   */
  direct?: DirectMode;
  /** A write resolves when its data is on the disk (`O_DSYNC`). Default: false. */
  dsync?: boolean;
}

const BOOLEAN_OPTIONS = ["read", "write", "create", "createNew", "truncate", "dsync"] as const;
const OPTION_NAMES: readonly string[] = [...BOOLEAN_OPTIONS, "mode", "direct"];
const DIRECT_MODES: readonly unknown[] = ["off", "optional", "required"];

/** What `open(2)` is asked for. */
export interface OpenRequest {
  /** The path, as a string. */
  readonly path: string;
  /** Flags without `O_DIRECT`. */
  readonly flags: number;
  /** Among them `O_NONBLOCK`, taken away again once it is open: else opening a pipe would hang. */
  readonly nonblockFlag: number;
  /** Whether the file is made by the opening. */
  readonly isNew: boolean;
  /** `O_DIRECT`, or 0 where the system has no such flag. */
  readonly directFlag: number;
  /** Permissions of a file that is made. */
  readonly mode: number;
  /** Whether transfers go past the page cache. */
  readonly direct: DirectMode;
  /** Bits of `FILE_FLAGS`, without the one for direct. */
  readonly fileFlags: number;
}

/**
 * Checks a path and options and puts them into the system's terms.
 *
 * @throws {TypeError} for an option that is unknown, of the wrong type, or does not fit the others
 */
export function openRequest(path: string | URL, options: OpenFileOptions = {}): OpenRequest {
  const name = pathString(path);
  checkOptions(name, options);
  const system = OPEN_FLAGS[`${Deno.build.os}-${Deno.build.arch}`];
  if (system === undefined) {
    throw new Deno.errors.NotSupported(`Cannot open files on ${Deno.build.os} ${Deno.build.arch}`);
  }
  const write = options.write ?? false;
  const read = options.read ?? !write;
  const refuse = (why: string): never => {
    throw new TypeError(`Cannot open ${shown(name)}: ${why}`);
  };
  if (!read && !write) refuse(`neither "read" nor "write" is set`);
  for (const option of ["create", "createNew", "truncate", "dsync"] as const) {
    if (options[option] === true && !write) refuse(`the option "${option}" needs "write"`);
  }
  return {
    path: name,
    flags: systemFlags(system, options, read, write) | system.nonblock,
    nonblockFlag: system.nonblock,
    isNew: options.createNew === true,
    directFlag: system.direct,
    mode: options.mode ?? 0o666,
    direct: options.direct ?? "off",
    fileFlags: (read ? FILE_FLAGS.read : 0) | (write ? FILE_FLAGS.write : 0) |
      (options.dsync === true ? FILE_FLAGS.dsync : 0),
  };
}

function systemFlags(
  system: OpenFlags,
  options: OpenFileOptions,
  read: boolean,
  write: boolean,
): number {
  let flags = read && write ? system.readWrite : write ? system.writeOnly : system.readOnly;
  if (options.create === true) flags |= system.create;
  if (options.createNew === true) flags |= system.create | system.exclusive;
  if (options.truncate === true) flags |= system.truncate;
  if (options.dsync === true) flags |= system.dataSync;
  return flags;
}

function pathString(path: string | URL): string {
  if (path instanceof URL) {
    if (path.protocol !== "file:") {
      throw new TypeError(`Cannot open ${path.href}: only file: URLs name files`);
    }
    return checkPath(
      path.pathname.includes("%00") ? decodeURIComponent(path.pathname) : fileURLToPath(path),
    );
  }
  if (typeof path !== "string") {
    throw new TypeError(`Cannot open ${shown(path)}: pass the path as a string or a URL`);
  }
  return checkPath(path);
}

function checkPath(path: string): string {
  if (path.length > 0 && !path.includes("\0")) return path;
  throw new TypeError(`Cannot open ${shown(path)}: a path is not empty and has no NUL character`);
}

function checkOptions(path: string, options: OpenFileOptions): void {
  const refuse = (why: string): never => {
    throw new TypeError(`Cannot open ${shown(path)}: ${why}`);
  };
  if (typeof options !== "object" || options === null) refuse(`its options are ${shown(options)}`);
  for (const name of Object.keys(options)) {
    if (name === "append") {
      refuse(
        'there is no "append", as Linux ignores the offset of positioned writes to such a file; ' +
          "keep the end of the file yourself and write there",
      );
    }
    if (!OPTION_NAMES.includes(name)) {
      refuse(`the option "${name}" is unknown: known are ${OPTION_NAMES.join(", ")}`);
    }
  }
  for (const name of BOOLEAN_OPTIONS) {
    const value = options[name];
    if (value !== undefined && typeof value !== "boolean") {
      refuse(`the option "${name}" must be a boolean: got ${shown(value)}`);
    }
  }
  if (options.direct !== undefined && !DIRECT_MODES.includes(options.direct)) {
    refuse(
      `the option "direct" must be "off", "optional" or "required": got ${shown(options.direct)}`,
    );
  }
  const { mode } = options;
  if (mode !== undefined && !(Number.isInteger(mode) && mode >= 0 && mode <= 0o7777)) {
    refuse(`the option "mode" must be an integer from 0 to 0o7777: got ${shown(mode)}`);
  }
}

/** Opens without blocking the event loop. @throws what the system says, as a `Deno.errors` class */
export async function openPath(libc: Libc, request: OpenRequest): Promise<OpenFileEntry> {
  return finish(libc, request, await openNode(request));
}

/** Opens, blocking. @throws as {@linkcode openPath} */
export function openPathSync(libc: Libc, request: OpenRequest): OpenFileEntry {
  let fd: number;
  try {
    fd = fs.openSync(request.path, request.flags, request.mode);
  } catch (error) {
    throw openError(request, error);
  }
  return finish(libc, request, fd);
}

function openNode(request: OpenRequest): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(request.path, request.flags, request.mode, (error, fd) => {
      if (error === null) resolve(fd);
      else reject(openError(request, error));
    });
  });
}

/** Errors of Deno's own, such as a missing permission, go through as they are. */
function openError(request: OpenRequest, error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const errno = errnoOf(code);
  if (errno === undefined) return error;
  const path = request.path;
  return systemError(errno, `Cannot open ${shown(path)}`, { syscall: "open", path }, error);
}

/** From Deno's descriptor to one of our own, with everything the table of files keeps. */
function finish(libc: Libc, request: OpenRequest, denoFd: number): OpenFileEntry {
  const { path } = request;
  const fd = libc.duplicate(denoFd);
  fs.closeSync(denoFd);
  if (fd < 0) throw systemError(-fd, `Cannot open ${shown(path)}`, { syscall: "fcntl", path });
  try {
    return describe(libc, request, fd);
  } catch (error) {
    libc.close(fd);
    // It was made a moment ago, for nothing.
    if (request.isNew) fs.rmSync(path, { force: true });
    throw error;
  }
}

function describe(libc: Libc, request: OpenRequest, fd: number): OpenFileEntry {
  const { path } = request;
  const stat = fileStat(libc, fd, path);
  checkType(path, stat.mode);
  if (request.nonblockFlag !== 0) libc.changeFlags(fd, 0, request.nonblockFlag);
  const alignment = request.direct === "off" ? null : makeDirect(libc, request, fd, stat);
  return {
    fd,
    deviceMajor: stat.deviceMajor,
    deviceMinor: stat.deviceMinor,
    inode: stat.inode,
    flags: request.fileFlags | (alignment === null ? 0 : FILE_FLAGS.direct),
    memoryAlignment: alignment?.memory ?? 1,
    offsetAlignment: alignment?.offset ?? 1,
    path,
  };
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
