/**
 * link_calls.ts: what gives an open file a name: calls in two forms, those that block, and those
 * that leave the event loop alone.
 *
 * A name is made in a directory that is open: in the one that Deno has permitted, whatever its path
 * leads to by then.
 *
 * @module
 */

import { EIO } from "../../ffi/errno.ts";
import { AT_FDCWD, AT_SYMLINK_FOLLOW, O_CLOEXEC, OPEN_FLAGS } from "../../ffi/layout.ts";
import type { Libc } from "../../ffi/libc.ts";
import { callInWorker } from "../base/call_workers.ts";
import { offThread, offThreadTwice } from "../base/off_thread.ts";
import type { Eventually } from "../base/steps.ts";

/** The calls, in either form. */
export interface LinkCalls {
  /**
   * Opens a directory to make a name in it. Deno checks no path here.
   *
   * @param isSynced whether {@linkcode LinkCalls.syncDirectory} follows
   * @returns the fd, or -errno
   */
  openDirectory(path: string, isSynced: boolean): Eventually<number>;
  /** Where an open directory is, without any link on the way; null where that cannot be said. */
  pathOfDirectory(fd: number): string | null;
  /** Gives an open file a name in an open directory. @returns 0, or -errno */
  link(fd: number, directory: number, name: string): Eventually<number>;
  /** Makes the names in an open directory durable. @returns 0, or -errno */
  syncDirectory(fd: number): Eventually<number>;
}

/** The calls that block. */
export function blockingLinks(libc: Libc) {
  const { fileControl } = libc;
  return {
    openDirectory: (path: string, isSynced: boolean) =>
      fileControl.open(cString(path), directoryFlags(isSynced)),
    pathOfDirectory: (fd: number) => pathOf(libc, fd),
    link: (fd: number, directory: number, name: string) =>
      fileControl.link(linkTo(fd), directory, cString(name)),
    syncDirectory: (fd: number) => libc.fsync(fd),
  };
}

/** The calls off the thread. */
export function awaitedLinks(libc: Libc) {
  const { fileControl } = libc;
  return {
    openDirectory(path: string, isSynced: boolean) {
      const args = [cString(path), directoryFlags(isSynced)] as const;
      const parameters = ["buffer", "i32"] as const;
      const again = { name: "open", parameters, result: "i32", args } as const;
      return offThreadTwice(libc, () => fileControl.openNonblocking(...args), again);
    },
    pathOfDirectory: (fd: number) => pathOf(libc, fd),
    link(fd: number, directory: number, name: string) {
      const [from, to] = [linkTo(fd), cString(name)];
      const parameters = ["i32", "buffer", "i32", "buffer", "i32"] as const;
      const args = [AT_FDCWD, from, directory, to, AT_SYMLINK_FOLLOW];
      const again = { name: "linkat", parameters, result: "i32", args } as const;
      return offThreadTwice(libc, () => fileControl.linkNonblocking(from, directory, to), again);
    },
    syncDirectory: (fd: number) => syncOff(libc, fd),
  };
}

/** The system tells once that a flush has failed: what it says the second time is only the why. */
async function syncOff(libc: Libc, fd: number): Promise<number> {
  if (await offThread(() => libc.fileControl.fsyncNonblocking(fd)) >= 0) return 0;
  const again = { name: "fsync", parameters: ["i32"], result: "i32", args: [fd] } as const;
  const result = await callInWorker(libc, again);
  return result === null || result >= 0 ? -EIO : result;
}

/** To sync a directory it has to be open for reading, which its own permissions may forbid. */
function directoryFlags(isSynced: boolean): number {
  const { directory, path, readOnly } = OPEN_FLAGS[`${Deno.build.os}-${Deno.build.arch}`]!;
  return directory | O_CLOEXEC | (isSynced ? readOnly : path);
}

/** A path that names an open file, also one without a name. */
function linkTo(fd: number): Uint8Array<ArrayBuffer> {
  return cString(`/proc/self/fd/${fd}`);
}

function pathOf(libc: Libc, fd: number): string | null {
  const path = libc.readProcLink(`/proc/self/fd/${fd}`);
  // What is no text cannot be asked for, and outside of this root there are no paths.
  return path === null || !path.startsWith("/") || path.includes("\ufffd") ? null : path;
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
