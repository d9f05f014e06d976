/**
 * mounted.ts: file systems that are hard to find on a test machine, made in a file and mounted.
 *
 * @module
 */

import { join } from "@std/path";
import { hasProgram, loopAvailable } from "./stuck_disk.ts";
import { mountRamfs, mountTmpfs, runChild, tempDir, tmpfsAvailable } from "../temp.ts";

const BTRFS_BYTES = 128 * 1024 * 1024;
const UPPER_BYTES = 16 * 1024 * 1024;

/** A mounted file system, to be unmounted at the end of its scope. */
export interface Mounted extends AsyncDisposable {
  /** The path of something in it. */
  join(name: string): string;
}

async function run(command: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await runChild(args, { command });
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.trim()}`);
}

async function mount(made: AsyncDisposableStack, ...args: string[]): Promise<void> {
  await run("mount", ...args);
  made.defer(() => run("umount", args.at(-1)!));
}

function keep(made: AsyncDisposableStack, path: string): Mounted {
  const kept = made.move();
  return {
    join: (name) => join(path, name),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Whether {@linkcode mountOverlay} works here: for root on Linux, with squashfs-tools. */
export function overlayAvailable(): boolean {
  return loopAvailable() && tmpfsAvailable() && hasProgram("mksquashfs");
}

/**
 * Mounts an overlay over a squashfs with files, as container images and live systems have it.
 *
 * @param files their content by name
 * @param upper where what is written goes: ramfs has no direct I/O
 */
export async function mountOverlay(
  files: Readonly<Record<string, Uint8Array>>,
  upper: "tmpfs" | "ramfs" = "tmpfs",
): Promise<Mounted> {
  await using made = new AsyncDisposableStack();
  const dir = made.use(await tempDir());
  const [source, image, lower, path] = ["source", "image", "lower", "merged"].map((name) =>
    dir.join(name)
  );
  for (const folder of [source!, lower!, path!]) await Deno.mkdir(folder);
  for (const [name, content] of Object.entries(files)) {
    await Deno.writeFile(join(source!, name), content);
  }
  await run("mksquashfs", source!, image!, "-quiet", "-no-progress");
  await mount(made, "-o", "loop", image!, lower!);
  const above = made.use(await (upper === "tmpfs" ? mountTmpfs(UPPER_BYTES) : mountRamfs()));
  const [upperDir, workDir] = [above.join("upper"), above.join("work")];
  for (const folder of [upperDir, workDir]) await Deno.mkdir(folder);
  const layers = `lowerdir=${lower},upperdir=${upperDir},workdir=${workDir}`;
  await mount(made, "-t", "overlay", "-o", layers, "overlay", path!);
  return keep(made, path!);
}

/** Whether {@linkcode mountBtrfs} works here: for root on Linux, with btrfs-progs. */
export function btrfsAvailable(): boolean {
  return loopAvailable() && hasProgram("mkfs.btrfs");
}

/** Mounts an empty btrfs. */
export async function mountBtrfs(): Promise<Mounted> {
  await using made = new AsyncDisposableStack();
  const dir = made.use(await tempDir());
  const [image, path] = [dir.join("image"), dir.join("mounted")];
  await Deno.mkdir(path);
  using file = await Deno.open(image, { write: true, create: true });
  await file.truncate(BTRFS_BYTES);
  await run("mkfs.btrfs", "-q", image);
  await mount(made, "-o", "loop", image, path);
  return keep(made, path);
}
