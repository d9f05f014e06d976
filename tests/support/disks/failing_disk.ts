/**
 * failing_disk.ts: a file system whose device fails to write: an ext4 in a sparse image on a tmpfs
 * that is full. The page cache takes every write; writing it back fails with ENOSPC, and the kernel
 * drops it.
 *
 * @module
 */

import { join } from "@std/path";
import { diskAvailable } from "./stuck_disk.ts";
import { mountTmpfs, runChild, tmpfsAvailable } from "../temp.ts";

const TMPFS_BYTES = 8 * 1024 * 1024;
const IMAGE_BYTES = 64 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

/** Whether such a disk can be made here: by root on Linux, with loop devices and the programs. */
export function failingDiskAvailable(): boolean {
  return tmpfsAvailable() && diskAvailable("ext4");
}

/** A mounted disk, to be unmounted at the end of its scope. */
export interface FailingDisk extends AsyncDisposable {
  /** The path of something on it. */
  join(name: string): string;
  /** From now on nothing new can be written back. */
  fail(): Promise<void>;
  /** From now on it can again. */
  recover(): Promise<void>;
}

async function run(command: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await runChild(args, { command });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.trim()}`);
}

/**
 * Makes a disk that works until a test calls `fail()`. Only where {@linkcode failingDiskAvailable}
 * says so.
 */
export async function makeFailingDisk(): Promise<FailingDisk> {
  await using made = new AsyncDisposableStack();
  const below = made.use(await mountTmpfs(TMPFS_BYTES));
  const [image, path, filler] = ["image", "mounted", "filler"].map((name) => below.join(name));
  await Deno.mkdir(path!);
  using file = await Deno.open(image!, { write: true, create: true });
  await file.truncate(IMAGE_BYTES);
  // Without a journal, as the file system would fail with it.
  await run("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", image!);
  await run("mount", "-o", "loop", image!, path!);
  made.defer(() => run("umount", path!));
  const kept = made.move();
  return {
    join: (name) => join(path!, name),
    fail: () => fill(filler!),
    recover: () => Deno.remove(filler!),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Writes until there is no room for another page. */
async function fill(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true });
  for (let bytes = CHUNK_BYTES; bytes >= 4096;) {
    try {
      await file.write(new Uint8Array(bytes));
    } catch {
      bytes /= 2; // The last pages go in one by one.
    }
  }
}
