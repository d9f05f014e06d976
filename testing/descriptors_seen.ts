/**
 * descriptors_seen.ts: which recorded file, or directory, a descriptor names. `/proc` tells its
 * path; a file whose path is new was just made.
 *
 * @module
 */

import { relative } from "node:path";
import { FILE_TYPE, STATX, STATX_SIZE_BYTES } from "../ffi/layout.ts";
import { Libc } from "../ffi/libc.ts";
import { DIRECTORY } from "./changes.ts";
import type { ObservedFiles } from "./observed_files.ts";

/** What a descriptor names. */
export type Named =
  | { readonly kind: "file"; readonly node: number }
  | { readonly kind: "directory"; readonly path: string };

/** How `/proc` shows a file without a name. */
const NAMELESS = " (deleted)";
/** `O_DSYNC`, on x86-64 and aarch64. */
const DSYNC_FLAG = 0o10000;

/** Where a path is from a directory on; null: not in it. Of the directory itself it is "". */
export function pathWithin(directory: string, path: string): string | null {
  const within = relative(directory, path);
  return within === ".." || within.startsWith("../") ? null : within;
}

/** The descriptors of this process, as far as they name what is recorded. */
export class DescriptorsSeen {
  readonly #files: ObservedFiles;
  readonly #directory: string;
  /** Taken before any hook is there. */
  readonly #stat = Libc.prototype.stat;
  /** By number on their device: all recorded files are on one. */
  readonly #nameless = new Map<bigint, number>();
  readonly #dsync = new Map<number, { readonly path: string; readonly isDsync: boolean }>();

  /** @param directory what is recorded, without links on the way */
  constructor(files: ObservedFiles, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  /** What a descriptor names; null: nothing that is recorded. */
  find(libc: Libc, fd: number): Named | null {
    const link = libc.readProcLink(`/proc/self/fd/${fd}`);
    if (link === null || !link.startsWith("/")) return null;
    const path = pathWithin(this.#directory, link);
    if (path === null) return null;
    if (path === "") return { kind: "directory", path };
    const node = this.#files.names.get(path);
    if (node === DIRECTORY) return { kind: "directory", path };
    if (node !== undefined) return { kind: "file", node };
    return this.#findNew(libc, fd, path);
  }

  #findNew(libc: Libc, fd: number, path: string): Named | null {
    const info = new DataView(new ArrayBuffer(STATX_SIZE_BYTES));
    if (this.#stat.call(libc, fd, new Uint8Array(info.buffer)) < 0) return null;
    const type = info.getUint16(STATX.mode.offset, true) & FILE_TYPE.mask;
    if (type !== FILE_TYPE.regular) return null;
    const inode = info.getBigUint64(STATX.inode.offset, true);
    if (path.endsWith(NAMELESS)) {
      const isEmpty = info.getBigUint64(STATX.size.offset, true) === 0n;
      return { kind: "file", node: this.#namelessNode(inode, isEmpty) };
    }
    const node = this.#files.addNode();
    this.#files.add({ kind: "name", path, node, from: null });
    return { kind: "file", node };
  }

  /** The number may be that of a file which is gone. */
  #namelessNode(inode: bigint, isEmpty: boolean): number {
    let node = this.#nameless.get(inode);
    if (node === undefined || isEmpty && this.#files.sizeOf(node) > 0) {
      node = this.#files.addNode();
      this.#nameless.set(inode, node);
    }
    return node;
  }

  /** A descriptor was just opened, as far as anybody can tell. */
  noticeOpened(libc: Libc, fd: number): void {
    this.#dsync.delete(fd);
    this.find(libc, fd);
  }

  /** Whether each write by a descriptor is durable when it is over. */
  isDsync(libc: Libc, fd: number): boolean {
    const path = libc.readProcLink(`/proc/self/fd/${fd}`) ?? "";
    const known = this.#dsync.get(fd);
    if (known?.path === path) return known.isDsync;
    const info = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
    const flags = parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? "0", 8);
    const isDsync = (flags & DSYNC_FLAG) !== 0;
    this.#dsync.set(fd, { path, isDsync });
    return isDsync;
  }
}
