/**
 * stuck_disk.ts: a file system in a file, on a loop device, that a test can freeze: writes to it
 * then block until it is thawed. A loop device on a file in it can be stuck as a whole, for reads
 * as well.
 *
 * @module
 */

import { join } from "@std/path";
import { HANG_MS, until } from "../patience.ts";
import { shareAmongTests } from "../shared.ts";
import { isRoot, tempDir } from "../temp.ts";

/** A file system that can be made. */
export type DiskType = "ext4" | "xfs";

/** XFS wants that much; the image is sparse. */
const IMAGE_BYTES = 320 * 1024 * 1024;
/** After so long the disk goes on, even for a test that is stuck itself: that test hangs. */
const LIMIT_S = HANG_MS / 1000;
const FOLDERS = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"] as const;

/** Whether a program of the system is installed. */
export function hasProgram(name: string): boolean {
  return FOLDERS.some((folder) => {
    try {
      return Deno.statSync(join(folder, name)).isFile;
    } catch {
      return false; // Unreadable counts as missing.
    }
  });
}

/** Whether loop devices can be made: by root on Linux. */
export function loopAvailable(): boolean {
  return Deno.build.os === "linux" && isRoot() &&
    ["losetup", "mount"].every(hasProgram) && canLoop();
}

function canLoop(): boolean {
  try {
    return new Deno.Command("losetup", { args: ["--find"] }).outputSync().success;
  } catch {
    return false;
  }
}

let isPossible: boolean | undefined;

/** Whether such a disk can be made here: by root on Linux, with loop devices and the programs. */
export function diskAvailable(type: DiskType): boolean {
  isPossible ??= Deno.build.os === "linux" && isRoot() &&
    ["losetup", "fsfreeze", "mount", "timeout"].every(hasProgram) && canLoop();
  return isPossible && hasProgram(`mkfs.${type}`);
}

async function run(command: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${decoder.decode(stderr).trim()}`);
  return decoder.decode(stdout).trim();
}

/** A disk that stands still. */
export interface Frozen extends AsyncDisposable {
  /**
   * Lets it go on.
   *
   * @returns whether it stood still until now; false: the limit was over, as this thread was stuck,
   *   too
   */
  thaw(): Promise<boolean>;
}

/** A mounted disk, to be unmounted at the end of its scope. */
export interface Disk extends AsyncDisposable {
  /** The path of something on it. */
  join(name: string): string;
  /** Has all writes to it block, until {@linkcode Frozen.thaw}, this process's end, or a minute. */
  freeze(): Promise<Frozen>;
}

/** Makes a disk. Only where {@linkcode diskAvailable} says so. */
export async function makeDisk(type: DiskType): Promise<Disk> {
  await using made = new AsyncDisposableStack();
  const dir = made.use(await tempDir());
  const [image, path] = [dir.join("image"), dir.join("mounted")];
  await Deno.mkdir(path);
  using file = await Deno.open(image, { write: true, create: true });
  await file.truncate(IMAGE_BYTES);
  await run(`mkfs.${type}`, "-q", image);
  await run("mount", "-o", "loop", image, path);
  made.defer(async () => void await run("umount", path));
  const kept = made.move();
  return {
    join: (name) => join(path, name),
    freeze: () => freeze(path),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Shares a disk among the tests of a file (shared.ts); each uses names of its own on it. */
export function shareDisk(type: DiskType): () => Disk {
  return shareAmongTests(() => makeDisk(type), diskAvailable(type));
}

/** Another process thaws it: at `thaw()`, when this one ends, or when the limit is over. */
async function freeze(path: string): Promise<Frozen> {
  const text = `
    fsfreeze -f "$1" && echo frozen
    timeout ${LIMIT_S} cat >/dev/null; in_time=$?
    fsfreeze -u "$1"
    exit $in_time`;
  const child = new Deno.Command("sh", {
    args: ["-c", text, "sh", path],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const { done } = await reader.read();
  if (done) throw new Error(`Cannot freeze ${path}`);
  let end: Promise<boolean> | null = null;
  const thaw = async () => {
    await child.stdin.close();
    await reader.cancel();
    return (await child.status).code === 0;
  };
  return {
    thaw: () => end ??= thaw(),
    [Symbol.asyncDispose]: async () => void await (end ??= thaw()),
  };
}

/** Whether a thread of a process, or one that the kernel runs for it, waits for a disk. */
export function isStuck(pid: number): boolean {
  const threads = `/proc/${pid}/task`;
  return [...Deno.readDirSync(threads)].some(({ name }) => {
    try {
      return Deno.readTextFileSync(`${threads}/${name}/stat`).includes(") D ");
    } catch {
      return false; // It has ended meanwhile.
    }
  });
}

/** A block device whose content lies in a file of a disk. */
export interface InnerDevice extends AsyncDisposable {
  /** Its path. */
  readonly path: string;
  /**
   * With its disk frozen: makes the device stand still as a whole, as it waits for a write of its
   * own.
   */
  stick(): Promise<void>;
}

/**
 * Makes a block device of a file whose content is not in memory. `stick()` loses the content of the
 * last page.
 */
export async function makeInnerDevice(content: string, bytes: number): Promise<InnerDevice> {
  const path = await run("losetup", "--find", "--show", content);
  const page = 4096;
  let child: Deno.ChildProcess | null = null;
  return {
    path,
    async stick() {
      const args = ["if=/dev/zero", `of=${path}`, `bs=${page}`, "count=1", "oflag=direct"];
      args.push(`seek=${bytes / page - 1}`, "conv=notrunc", "status=none");
      child = new Deno.Command("dd", { args }).spawn();
      const { pid } = child;
      await until(() => isStuck(pid), "dd waits for the disk");
    },
    async [Symbol.asyncDispose]() {
      await child?.status;
      await run("losetup", "--detach", path);
    },
  };
}
