/**
 * temporary.ts: files without a name (`O_TMPFILE`), and giving them one.
 *
 * ```text
 * openTemporary ─► written ─► publish: may the path be written? ─► its directory is opened
 *                                 ─► may it be written where that really is? ─► file flushed
 *                                 ─► named ─► directory flushed
 * ```
 *
 * Nobody sees the file before it is whole, and one that is never published goes with its last user,
 * or with the process.
 *
 * @module
 */

import {
  errnos,
  type FileCallForms,
  type FileCalls,
  get,
  pathString,
  shown,
  type Steps,
  systemError,
} from "../../core/inside.ts";
import type { OpenFileOptions } from "../../core/inside.ts";

/** How a file without a name is opened: for writing, and for reading unless that is declined. */
export interface TemporaryOptions
  extends Pick<OpenFileOptions, "read" | "mode" | "direct" | "dsync"> {}

/** What `publish` takes. */
export interface PublishOptions {
  /**
   * Whether file and name are durable when the promise resolves: the file is flushed before it has
   * the name, and the directory afterwards. Default: true.
   */
  readonly durable?: boolean | undefined;
}

/** What publishing needs of its file. */
interface PublishableFile {
  readonly path: string;
  readonly fd: number;
  readonly calls: FileCallForms;
  readonly isTemporary: boolean;
  checkOpen(verb: string): void;
}

/** Flushes a file, in the form of the calls. */
type FlushFile = () => void | Promise<void>;

const { EEXIST, ENOENT, EXDEV } = errnos;
/** A path as the directory and the name in it. */
interface Place {
  readonly path: string;
  readonly directory: string;
  readonly name: string;
}

/** See `AioFile.publish`. */
export function* published(
  file: PublishableFile,
  calls: FileCalls,
  path: string | URL,
  options: PublishOptions = {},
  flush: FlushFile,
): Steps<void> {
  const place = placeOf(file, path);
  const isDurable = durableOf(place, options);
  yield* ask(calls, place, place.path);
  const directory = yield* get(calls.openDirectory(place.directory, isDurable));
  if (directory < 0) throw publishError(place, -directory, "open");
  try {
    yield* ask(calls, place, realPath(calls, place, directory));
    if (isDurable) yield* get(flush());
    const linked = yield* get(calls.link(file.fd, directory, place.name));
    if (linked < 0) throw publishError(place, -linked, "linkat", remedyOf(file, -linked));
    const synced = isDurable ? yield* get(calls.syncDirectory(directory)) : 0;
    if (synced >= 0) return;
    throw publishError(place, -synced, "fsync", "; it has the name, but may lose it in a crash");
  } finally {
    yield* get(calls.close(directory, 0));
  }
}

/** @throws for what cannot be published, or not there */
function placeOf(file: PublishableFile, given: string | URL): Place {
  const path = pathString(given, "publish");
  file.checkOpen("publish");
  if (!file.isTemporary) {
    throw new Deno.errors.BadResource(
      `Cannot publish ${shown(file.path)} as ${shown(path)}: it was not opened by ` +
        "aio.openTemporary(), and has a name; rename that by Deno.rename()",
    );
  }
  const end = path.lastIndexOf("/") + 1;
  const name = path.slice(end);
  if (name === "" || name === "." || name === "..") {
    throw new TypeError(
      `Cannot publish a file as ${shown(path)}: that names a directory; put the file's name behind`,
    );
  }
  return { path, directory: end === 0 ? "." : path.slice(0, end), name };
}

function durableOf({ path }: Place, options: PublishOptions): boolean {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(
      `Cannot publish a file as ${shown(path)}: pass its options as an object: got ${
        shown(options)
      }`,
    );
  }
  const { durable = true } = options;
  if (typeof durable === "boolean") return durable;
  throw new TypeError(
    `Cannot publish a file as ${shown(path)}: the option "durable" must be a boolean: got ${
      shown(durable)
    }`,
  );
}

/** Asks Deno as an opening of the path would. @throws {Deno.errors.NotCapable} */
function* ask(calls: FileCalls, { path: wanted }: Place, path: string): Steps<void> {
  const descriptor = { name: "write", path } as const;
  const { state } = calls.areBlocking
    ? Deno.permissions.requestSync(descriptor)
    : yield* get(Deno.permissions.request(descriptor));
  if (state === "granted") return;
  throw new Deno.errors.NotCapable(
    `Cannot publish a file as ${shown(wanted)}: it requires write access to ${shown(path)}, ` +
      `run again with --allow-write=${path}`,
  );
}

/** Where the name will really be, whatever links the path goes through. */
function realPath(calls: FileCalls, place: Place, directory: number): string {
  const path = calls.pathOfDirectory(directory);
  if (path !== null) return path === "/" ? path + place.name : `${path}/${place.name}`;
  throw new Deno.errors.NotSupported(
    `Cannot publish a file as ${shown(place.path)}: /proc does not tell where its directory is; ` +
      "mount /proc, or name a directory whose path is text",
  );
}

function remedyOf({ path }: PublishableFile, errno: number): string {
  if (errno === EEXIST) return "; it replaces no file: remove that, or use aio.replaceFile()";
  if (errno === EXDEV) {
    return `; the file is on the file system of ${shown(path)}, and gets names only there`;
  }
  if (errno !== ENOENT) return "";
  return "; the directory is gone, /proc is not mounted, or the file had names that were removed";
}

function publishError({ path }: Place, errno: number, syscall: string, remedy = "") {
  const what = `Cannot publish a file as ${shown(path)}`;
  return systemError(errno, what, { syscall, path }, undefined, remedy);
}
