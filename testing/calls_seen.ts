/**
 * calls_seen.ts: sees what is done to files beside IO: by this module's calls of the C library, and
 * by the functions of Deno that make, rename and remove files and flush directories, whoever in
 * this thread calls them.
 *
 * @module
 */

import { resolve } from "node:path";
import { FileControl } from "../ffi/file_control.ts";
import { Libc } from "../ffi/libc.ts";
import { type Change, DIRECTORY, directoryOf } from "./changes.ts";
import { type DescriptorsSeen, pathWithin } from "./descriptors_seen.ts";
import type { Interposed } from "./interpose.ts";
import { flushOf } from "./io_seen.ts";
import type { ObservedFiles } from "./observed_files.ts";

/** What is recorded, and where. */
export interface CallSight {
  readonly libc: Libc;
  readonly files: ObservedFiles;
  readonly descriptors: DescriptorsSeen;
  readonly directory: string;
}

/** Records one change that a call makes. */
function during<R>(files: ObservedFiles, change: Change | null, call: () => R): R {
  if (change === null) return call();
  const number = files.begin(change);
  const take = (result: unknown) => files.end(number, typeof result === "number" ? result : 0);
  try {
    const result = call();
    if (!(result instanceof Promise)) {
      take(result);
      return result;
    }
    return result.then((value) => {
      take(value);
      return value;
    }, (error) => {
      files.end(number, -1);
      throw error;
    }) as R;
  } catch (error) {
    files.end(number, -1);
    throw error;
  }
}

/** A number that an asynchronous call resolves with, or a synchronous one returns. */
function then<R>(result: R, take: (value: unknown) => void): R {
  if (!(result instanceof Promise)) {
    take(result);
    return result;
  }
  return result.then((value) => {
    take(value);
    return value;
  }) as R;
}

/** Looks at the calls of the C library. */
export function watchLibrary(hooks: Interposed, sight: CallSight): void {
  const { files, descriptors } = sight;
  for (const name of ["stat", "statNonblocking"] as const) {
    // Each opening asks about the file that it has opened.
    hooks.replace(
      Libc.prototype,
      name,
      (original: (...args: never[]) => unknown) =>
        function (this: Libc, ...args: readonly [number, Uint8Array<ArrayBuffer>]) {
          const result = Reflect.apply(original, this, args);
          return then(result, (value) => {
            if (Number(value) >= 0) descriptors.noticeOpened(this, args[0]);
          });
        } as never,
    );
  }
  for (const name of ["ftruncate", "ftruncateNonblocking"] as const) {
    hooks.replace(
      Libc.prototype,
      name,
      (original: (...args: never[]) => unknown) =>
        function (this: Libc, ...args: readonly [number, number]) {
          const [fd, size] = args;
          const named = descriptors.find(this, fd);
          const change = named?.kind === "file"
            ? { kind: "cut", node: named.node, size } as const
            : null;
          return during(files, change, () => Reflect.apply(original, this, args));
        } as never,
    );
  }
  for (const name of ["copyRange", "copyRangeNonblocking"] as const) {
    hooks.replace(
      Libc.prototype,
      name,
      (original: (...args: never[]) => unknown) =>
        function (this: Libc, ...args: Parameters<Libc["copyRange"]>) {
          const change = copyOf(sight, this, args);
          return during(files, change, () => Reflect.apply(original, this, args));
        } as never,
    );
  }
  watchDirectories(hooks, sight);
}

/** The bytes that a copy writes are those that its source has now. */
function copyOf(
  { files, descriptors }: CallSight,
  libc: Libc,
  [from, fromAt, to, toAt, length]: Parameters<Libc["copyRange"]>,
): Change | null {
  const target = descriptors.find(libc, to);
  if (target?.kind !== "file") return null;
  const source = descriptors.find(libc, from);
  if (source?.kind !== "file") {
    throw new Error("Cannot record a copy from a file outside of the recorded directory");
  }
  const at = (bytes: Uint8Array) =>
    Number(new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true));
  const bytes = files.slice(source.node, at(fromAt), length);
  return { kind: "write", node: target.node, offset: at(toAt), bytes, isDurable: false };
}

/** Names that are given to open files, and flushes of directories by descriptor. */
function watchDirectories(hooks: Interposed, { libc, files, descriptors }: CallSight): void {
  const flushOfDirectory = (fd: number) => {
    const named = descriptors.find(libc, fd);
    return named?.kind === "directory" ? flushOf(named) : null;
  };
  hooks.replace(Libc.prototype, "fsync", (original) =>
    function (this: Libc, fd: number) {
      return during(files, flushOfDirectory(fd), () => original.call(this, fd));
    });
  hooks.replace(
    FileControl.prototype,
    "fsyncNonblocking",
    (original) =>
      function (this: FileControl, fd: number) {
        return during(files, flushOfDirectory(fd), () => original.call(this, fd));
      },
  );
  const linkOf = (from: Uint8Array, directory: number, name: Uint8Array): Change | null => {
    const parent = descriptors.find(libc, directory);
    const fd = /^\/proc\/self\/fd\/(\d+)$/.exec(textOf(from))?.[1];
    const file = fd === undefined ? null : descriptors.find(libc, Number(fd));
    if (parent?.kind !== "directory" || file?.kind !== "file") return null;
    const path = parent.path === "" ? textOf(name) : `${parent.path}/${textOf(name)}`;
    return { kind: "name", path, node: file.node, from: null };
  };
  for (const name of ["link", "linkNonblocking"] as const) {
    hooks.replace(
      FileControl.prototype,
      name,
      (original: (...args: never[]) => unknown) =>
        function (this: FileControl, ...args: Parameters<FileControl["link"]>) {
          return during(files, linkOf(...args), () => Reflect.apply(original, this, args));
        } as never,
    );
  }
}

function textOf(cString: Uint8Array): string {
  return new TextDecoder().decode(cString.subarray(0, cString.indexOf(0)));
}

/** Looks at the functions of Deno, and at those of `node:fs` that this module uses. */
export function watchDeno(hooks: Interposed, sight: CallSight): void {
  const { files, directory } = sight;
  const within = (path: string | URL) => pathWithin(directory, resolvePath(path));
  const nameOf = (change: Change | null, call: () => unknown) => during(files, change, call);
  const onName = (name: "rename" | "renameSync" | "link" | "linkSync") =>
    hooks.replace(
      Deno,
      name,
      (original: (...args: never[]) => unknown) =>
        ((from: string | URL, to: string | URL) => {
          const [old, path] = [within(from), within(to)];
          const isMove = name.startsWith("rename");
          const change = linkOrMove(files, old, path, isMove);
          return nameOf(change, () => Reflect.apply(original, Deno, [from, to]));
        }) as never,
    );
  for (const name of ["rename", "renameSync", "link", "linkSync"] as const) onName(name);
  const onPath = (
    name: "remove" | "removeSync" | "mkdir" | "mkdirSync",
    changesOf: (files: ObservedFiles, path: string | null) => Change[],
  ) =>
    hooks.replace(
      Deno,
      name,
      (original: (...args: never[]) => unknown) =>
        ((path: string | URL, ...rest: unknown[]) => {
          const call = () => Reflect.apply(original, Deno, [path, ...rest]);
          return changesOf(files, within(path)).reduceRight<() => unknown>(
            (inner, change) => () => nameOf(change, inner),
            call,
          )();
        }) as never,
    );
  for (const name of ["remove", "removeSync"] as const) onPath(name, removals);
  for (const name of ["mkdir", "mkdirSync"] as const) onPath(name, makings);
  watchFsFiles(hooks, sight, within);
  watchUnlink(hooks, sight, within);
}

function resolvePath(path: string | URL): string {
  return resolve(path instanceof URL ? decodeURIComponent(path.pathname) : path);
}

function linkOrMove(
  files: ObservedFiles,
  old: string | null,
  path: string | null,
  isMove: boolean,
): Change | null {
  if (old === null) return null; // From elsewhere: nobody saw what is in it.
  if (path === null) return isMove ? { kind: "name", path: old, node: null, from: null } : null;
  const node = files.names.get(old);
  if (node === undefined) return null;
  return { kind: "name", path, node, from: isMove && old !== path ? old : null };
}

/** What is in a directory goes before it. */
function removals(files: ObservedFiles, path: string | null): Change[] {
  if (path === null) return [];
  return [...files.names.keys()].filter((name) => name === path || name.startsWith(`${path}/`))
    .sort().reverse().map((name) => ({ kind: "name", path: name, node: null, from: null }));
}

/** Directories on the way that are not there yet come first. */
function makings(files: ObservedFiles, path: string | null): Change[] {
  const changes: Change[] = [];
  for (let name = path ?? ""; name !== "" && !files.names.has(name); name = directoryOf(name)) {
    changes.unshift({ kind: "name", path: name, node: DIRECTORY, from: null });
  }
  return changes;
}

/** A file or a directory opened by `Deno.open`, whose flushes count. */
function watchFsFiles(
  hooks: Interposed,
  { files }: CallSight,
  within: (path: string | URL) => string | null,
): void {
  const opened = new WeakMap<Deno.FsFile, string>();
  for (const name of ["open", "openSync"] as const) {
    hooks.replace(
      Deno,
      name,
      (original: (...args: never[]) => unknown) =>
        ((path: string | URL, options?: Deno.OpenOptions) => {
          const result = Reflect.apply(original, Deno, [path, options]);
          return then(result, (file) => {
            const name = within(path);
            if (name === null) return;
            opened.set(file as Deno.FsFile, name);
            noticeOpening(files, name, options);
          });
        }) as never,
    );
  }
  for (const name of ["sync", "syncSync", "syncData", "syncDataSync"] as const) {
    hooks.replace(
      Deno.FsFile.prototype,
      name,
      (original: (...args: never[]) => unknown) =>
        function (this: Deno.FsFile) {
          const path = opened.get(this);
          const node = path === undefined ? undefined : files.names.get(path);
          const change: Change | null = path === "" || node === DIRECTORY
            ? { kind: "flushNames", directory: path! }
            : node === undefined
            ? null
            : { kind: "flush", node };
          return during(files, change, () => Reflect.apply(original, this, []));
        } as never,
    );
  }
}

/** `Deno.open` may have made the file, or cut it. */
function noticeOpening(files: ObservedFiles, path: string, options: Deno.OpenOptions = {}): void {
  const node = files.names.get(path);
  if (node === undefined) {
    if (options.create !== true && options.createNew !== true) return;
    files.add({ kind: "name", path, node: files.addNode(), from: null });
  } else if (options.truncate === true) files.add({ kind: "cut", node, size: 0 });
}

/** What this module removes where an opening is refused. */
function watchUnlink(
  hooks: Interposed,
  { files }: CallSight,
  within: (path: string | URL) => string | null,
): void {
  const fs = globalThis.process.getBuiltinModule("node:fs");
  const removalOf = (path: string): Change | null => removals(files, within(path))[0] ?? null;
  hooks.replace(
    fs,
    "unlinkSync",
    (original) => (path) => during(files, removalOf(String(path)), () => original(path)),
  );
  hooks.replace(
    fs,
    "unlink",
    (original) =>
      ((path: string, done: (error: Error | null) => void) => {
        const change = removalOf(path);
        const number = change === null ? null : files.begin(change);
        original(path, (error) => {
          if (number !== null) files.end(number, error === null ? 0 : -1);
          done(error);
        });
      }) as never,
  );
}
