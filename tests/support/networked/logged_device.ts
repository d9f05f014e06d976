/**
 * logged_device.ts: a block device, shown as a file, that logs its writes and flushes
 * (device_log.ts).
 *
 * ```text
 * file of nbdfuse ─► qemu-nbd: blklogwrites ─► image
 *                                      └─────► log
 * ```
 *
 * nbdfuse passes one request at a time. So what is logged before a flush was over before that flush
 * began, and the flush covers it.
 *
 * It is mounted where the tests are, and not in a machine of its own as other storage of
 * `test:networked` is: `recordIo()` needs paths that `/proc` shows.
 *
 * @module
 */

import { fuseAvailable } from "../disks/fuse_server.ts";
import { hasProgram, loopAvailable } from "../disks/stuck_disk.ts";
import { hangs } from "../patience.ts";
import { isRoot, runChild, tempDir } from "../temp.ts";
import { DeviceLog, SECTOR_BYTES } from "./device_log.ts";
import { untilNoLoops } from "./machine.ts";

/** The log is sparse, so this is only a bound. */
const LOG_BYTES = 1024 * 1024 * 1024;
/** Pause between two looks whether it is there. */
const LOOK_AGAIN_MS = 10;
const PROGRAMS = ["qemu-nbd", "nbdfuse", "mkfs.ext4"] as const;

/** Whether such a device can be made here, and a file system on it. */
export const loggedDeviceAvailable: boolean = Deno.build.os === "linux" && isRoot() &&
  PROGRAMS.every(hasProgram) && fuseAvailable() && loopAvailable();

async function run(command: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await runChild(args, { command });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.trim()}`);
}

/** The device, until the end of its scope. */
export interface LoggedDevice extends AsyncDisposable {
  /** Its writes and flushes. */
  readonly log: DeviceLog;
  /** What it holds. */
  readonly image: string;
}

/** What the device does at a flush: what it should, or nothing. */
export type DeviceCache = "writeback" | "unsafe";

/** How a device begins. */
export interface DeviceBeginning {
  /** A file whose bytes it has at first, and which it writes to. */
  readonly image: string;
  readonly cache?: DeviceCache;
}

/**
 * Makes one.
 *
 * @param path of a file that is there: while it is shown, that file is hidden
 */
export async function showDevice(
  path: string,
  { image, cache = "writeback" }: DeviceBeginning,
): Promise<LoggedDevice> {
  await using made = new AsyncDisposableStack();
  const dir = made.use(await tempDir());
  const logPath = dir.join("log");
  await Deno.writeFile(logPath, new Uint8Array());
  await Deno.truncate(logPath, LOG_BYTES);
  const options = [
    "driver=blklogwrites",
    "file.driver=file",
    `file.filename=${image}`,
    "log.driver=file",
    `log.filename=${logPath}`,
    `log-sector-size=${SECTOR_BYTES}`,
  ];
  const server = ["qemu-nbd", "--image-opts", options.join(), `--cache=${cache}`];
  const child = new Deno.Command("nbdfuse", {
    args: ["-s", path, "[", ...server, "]"],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let hasEnded = false;
  const ended = child.output().finally(() => hasEnded = true);
  made.defer(async () => void await ended);
  made.defer(() => hasEnded ? undefined : run("umount", path));
  for (const isHanging = hangs(); !isMounted(path);) {
    if (hasEnded) throw new Error(new TextDecoder().decode((await ended).stderr));
    if (isHanging()) throw new Error(`The device is not shown at ${path}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
  const log = made.use(new DeviceLog(logPath));
  const kept = made.move();
  return { log, image, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function isMounted(path: string): boolean {
  return Deno.readTextFileSync("/proc/self/mounts").includes(` ${path} fuse`);
}

/** Makes a file with an empty file system in it, as small as it may be. */
export async function makeFileSystem(
  image: string,
  imageBytes: number,
  blockBytes: number,
): Promise<void> {
  await Deno.writeFile(image, new Uint8Array());
  await Deno.truncate(image, imageBytes);
  // Nothing is left to do for the kernel in the background.
  const lazy = "lazy_itable_init=0,lazy_journal_init=0";
  await run("mkfs.ext4", "-q", "-b", `${blockBytes}`, "-J", "size=4", "-E", lazy, image);
}

/**
 * Mounts the file system in a file. Its journal is replayed, as after a power cut.
 *
 * @param folder where that file is, and nothing else that is mounted
 */
export async function mountFileSystem(
  folder: string,
  image: string,
  path: string,
): Promise<AsyncDisposable> {
  await run("mount", "-o", "loop", image, path);
  return {
    async [Symbol.asyncDispose]() {
      await run("umount", path);
      await untilNoLoops(folder);
    },
  };
}
