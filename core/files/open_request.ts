/**
 * open_request.ts: what `openFile` is asked for, checked and in the system's terms. opening.ts does
 * it.
 *
 * @module
 */

import { OPEN_FLAGS, type OpenFlags } from "../../ffi/layout.ts";
import type { DirectMode } from "./direct_io.ts";
import { shown } from "../base/errors.ts";
import { FILE_FLAGS } from "./file_table.ts";

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
  /**
   * Permissions of a file that is made, less the process's umask. Default: 0o666. Range: 0..0o7777.
   */
  mode?: number;
  /**
   * Direct I/O: transfers go past the page cache and must be aligned (`file.alignment`).
   * Opening tries it: `"required"` fails where the file has none, `"optional"` is then buffered.
   * Default: `"off"`.
   */
  direct?: DirectMode;
  /** A write resolves when its data is on the disk (`O_DSYNC`). Default: false. */
  dsync?: boolean;
}

/** Of these a file without a name has none: it is new, and written. */
const NAMED_OPTIONS: readonly string[] = ["write", "create", "createNew", "truncate"];
const BOOLEAN_OPTIONS = ["read", "write", "create", "createNew", "truncate", "dsync"] as const;
const OPTION_NAMES: readonly string[] = [...BOOLEAN_OPTIONS, "mode", "direct"];
const DIRECT_MODES: readonly unknown[] = ["off", "optional", "required"];

/** What `open(2)` is asked for. */
export interface OpenRequest {
  /** The path, as a string. */
  readonly path: string;
  /** Flags that change no file: without `O_DIRECT`, `O_CREAT`, `O_EXCL` and `O_TRUNC`. */
  readonly flags: number;
  /** Among them `O_NONBLOCK`, taken away again once it is open: else opening a pipe would hang. */
  readonly nonblockFlag: number;
  /** Whether the file is made if it is not there, must not be there, or is not made. */
  readonly making: "maybe" | "new" | "never";
  /** `O_CREAT`. */
  readonly createFlag: number;
  /** `O_EXCL`: only the call that makes the file opens it. */
  readonly exclusiveFlag: number;
  /** Whether the file is cut to 0 bytes once nothing can refuse it any more. */
  readonly isToBeCut: boolean;
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
    making: options.createNew === true ? "new" : options.create === true ? "maybe" : "never",
    createFlag: system.create,
    exclusiveFlag: system.exclusive,
    isToBeCut: options.truncate === true,
    directFlag: system.direct,
    mode: options.mode ?? 0o666,
    direct: options.direct ?? "off",
    fileFlags: (read ? FILE_FLAGS.read : 0) | (write ? FILE_FLAGS.write : 0) |
      (options.dsync === true ? FILE_FLAGS.dsync : 0),
  };
}

/**
 * The same for a file without a name in a directory.
 *
 * @throws {TypeError} also for options that such a file does not have
 * @throws {Deno.errors.NotSupported} where the system has no such files
 */
function temporaryRequest(directory: string | URL, options: OpenFileOptions = {}): OpenRequest {
  const name = pathString(directory, "open a temporary file in");
  const what = `Cannot open a temporary file in ${shown(name)}`;
  checkOptions(name, options);
  for (const option of Object.keys(options)) {
    if (!NAMED_OPTIONS.includes(option)) continue;
    throw new TypeError(`${what}: the option "${option}" is for files with a name; leave it out`);
  }
  const request = openRequest(name, { ...options, read: options.read ?? true, write: true });
  const { temporary } = OPEN_FLAGS[`${Deno.build.os}-${Deno.build.arch}`]!;
  if (temporary === 0) {
    throw new Deno.errors.NotSupported(
      `${what}: ${Deno.build.os} has no files without a name; make one by openFile(), with ` +
        `"createNew", and rename it`,
    );
  }
  const fileFlags = request.fileFlags | FILE_FLAGS.isTemporary;
  return { ...request, flags: request.flags | temporary, fileFlags };
}

/** How a file is made or found: by its name, or without one in a directory. */
export const OPEN_REQUESTS = { openFile: openRequest, openTemporary: temporaryRequest } as const;

function systemFlags(
  system: OpenFlags,
  options: OpenFileOptions,
  read: boolean,
  write: boolean,
): number {
  let flags = read && write ? system.readWrite : write ? system.writeOnly : system.readOnly;
  if (options.dsync === true) flags |= system.dataSync;
  return flags;
}

/**
 * A path as a string.
 *
 * @param verb what is to be done with the file, for errors
 * @throws {TypeError} for what names no file
 */
export function pathString(path: string | URL, verb = "open"): string {
  if (path instanceof URL) {
    if (path.protocol !== "file:") {
      throw new TypeError(`Cannot ${verb} ${path.href}: only file: URLs name files`);
    }
    return checkPath(pathOf(path, verb), verb);
  }
  if (typeof path !== "string") {
    throw new TypeError(`Cannot ${verb} ${shown(path)}: pass the path as a string or a URL`);
  }
  return checkPath(path, verb);
}

/** As `fileURLToPath()` of `node:url` has it, with sentences of ours. */
function pathOf({ href, hostname, pathname }: URL, verb: string): string {
  if (hostname !== "") {
    throw new TypeError(`Cannot ${verb} ${href}: a file: URL with a host names no file here`);
  }
  if (/%2f/i.test(pathname)) {
    throw new TypeError(`Cannot ${verb} ${href}: no file's name has a "/" (%2F) in it`);
  }
  try {
    return decodeURIComponent(pathname);
  } catch {
    throw new TypeError(`Cannot ${verb} ${href}: its escapes are no UTF-8`);
  }
}

function checkPath(path: string, verb: string): string {
  if (path.length > 0 && !path.includes("\0")) return path;
  throw new TypeError(
    `Cannot ${verb} ${shown(path)}: a path is not empty and has no NUL character`,
  );
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
          "use file.append(), which knows where the file ends",
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
