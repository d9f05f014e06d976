/**
 * file_system.ts: what the type of a file system makes different for its files.
 *
 * On a server's file system close(2) writes back: it can fail, and wait for the server. There are
 * many of those (NFS, SMB, 9p, Ceph, AFS, FUSE, ...) and more to come, so the local ones are
 * listed: whoever is on no block device and not among them counts as a server's. FUSE does so on a
 * block device as well, where a file is opened for direct I/O.
 *
 * @module
 */

import { FUSE_SUPER_MAGIC, LOCAL_MAGICS, OTHER_MAGICS } from "../../ffi/layout.ts";
import { FILE_FLAGS } from "./file_table.ts";

const LOCAL: ReadonlySet<number> = new Set(Object.values(LOCAL_MAGICS));
const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries({ ...LOCAL_MAGICS, ...OTHER_MAGICS }).map(([name, magic]) => [magic, name]),
);

/**
 * What a file system on no block device means for its files.
 *
 * @param result of `fstatfs(2)`
 * @param statfs what it wrote
 * @returns bits of {@linkcode FILE_FLAGS}
 */
export function fileSystemFlags(result: number, statfs: Uint8Array<ArrayBuffer>): number {
  // macOS has no such call, and its closes stay as they are.
  if (result < 0) return Deno.build.os === "linux" ? FILE_FLAGS.flushesAtClose : 0;
  const magic = magicOf(statfs);
  if (magic === FUSE_SUPER_MAGIC) return FILE_FLAGS.isFuse | FILE_FLAGS.flushesAtClose;
  return LOCAL.has(magic) ? 0 : FILE_FLAGS.flushesAtClose;
}

/**
 * What a file system is called.
 *
 * @param result of `fstatfs(2)`
 * @param statfs what it wrote
 * @returns its type as a number where it has no name here
 */
export function fileSystemName(result: number, statfs: Uint8Array<ArrayBuffer>): string {
  if (result < 0) return "unknown";
  const magic = magicOf(statfs);
  return NAMES.get(magic) ?? `0x${magic.toString(16)}`;
}

function magicOf(statfs: Uint8Array<ArrayBuffer>): number {
  return new DataView(statfs.buffer).getUint32(0, true);
}
