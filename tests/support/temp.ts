/**
 * temp.ts: what many tests need of the machine: folders that go away, files with known content,
 * tiny file systems that fill up, child processes that cannot hang the run.
 *
 * @module
 */

import { join } from "@std/path";
import { HANG_MS } from "./patience.ts";
import { fillContent } from "./prng.ts";

export { contentAt } from "./prng.ts";

const WRITE_CHUNK_BYTES = 1024 * 1024;
const UNMOUNT_ATTEMPTS_MAX = 20;
const UNMOUNT_RETRY_MS = 50;

/** A folder that is removed, with all in it, at the end of its scope. */
export interface TempDir extends AsyncDisposable {
  /** Its absolute path. */
  readonly path: string;
  /** The path of something in it. */
  join(...names: string[]): string;
}

/**
 * Makes a folder: `await using dir = await tempDir()`. It is made in `AIO_TEST_DIR` if that is
 * set, so that the tests can be run on another file system.
 */
export async function tempDir(): Promise<TempDir> {
  const parent = Deno.env.get("AIO_TEST_DIR");
  const path = await Deno.makeTempDir({
    prefix: "aio_test_",
    ...(parent === undefined ? {} : { dir: parent }),
  });
  return {
    path,
    join: (...names) => join(path, ...names),
    async [Symbol.asyncDispose]() {
      await Deno.remove(path, { recursive: true });
    },
  };
}

/** A file in a folder of its own, which is removed at the end of its scope. */
export interface TempFile extends AsyncDisposable {
  /** Its absolute path. */
  readonly path: string;
}

/** Makes a file with a text in it: `await using temp = await tempFile()`. */
export async function tempFile(text = "hello"): Promise<TempFile> {
  const dir = await tempDir();
  const path = dir.join("file");
  await Deno.writeTextFile(path, text);
  return { path, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
}

/** Writes a file of `bytes` bytes with the content of `contentAt(seed, offset, length)`. */
export async function writeRandomFile(path: string, bytes: number, seed: number): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  const chunk = new Uint8Array(Math.min(bytes, WRITE_CHUNK_BYTES));
  for (let offset = 0; offset < bytes;) {
    const part = chunk.subarray(0, Math.min(chunk.length, bytes - offset));
    fillContent(part, seed, offset);
    for (let done = 0; done < part.length;) done += await file.write(part.subarray(done));
    offset += part.length;
  }
}

/** Whether the tests run as root, whom file permissions do not stop. */
export function isRoot(): boolean {
  return Deno.uid() === 0;
}

let isTmpfsAvailable: boolean | undefined;

/** Whether a tmpfs can be mounted here: root on Linux, and in a container only if it may. */
export function tmpfsAvailable(): boolean {
  isTmpfsAvailable ??= Deno.build.os === "linux" && isRoot() && tryMountTmpfs();
  return isTmpfsAvailable;
}

function tryMountTmpfs(): boolean {
  const path = Deno.makeTempDirSync({ prefix: "aio_probe_" });
  try {
    if (!runSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", path]).success) return false;
    return runSync("umount", [path]).success;
  } finally {
    Deno.removeSync(path);
  }
}

function runSync(command: string, args: string[]): { success: boolean; stderr: string } {
  try {
    const { success, stderr } = new Deno.Command(command, { args }).outputSync();
    return { success, stderr: new TextDecoder().decode(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { success: false, stderr: error.message };
    throw error;
  }
}

/**
 * Mounts a file system of its own that holds `bytes` bytes and then is full:
 * `await using disk = await mountTmpfs(65_536)`. Unmounted at the end of its scope. Only where
 * {@linkcode tmpfsAvailable} says so.
 */
export function mountTmpfs(bytes: number): Promise<TempDir> {
  return mountFileSystem("tmpfs", `size=${bytes},mode=0777`);
}

/**
 * The same of a file system that has no direct I/O. Only where {@linkcode tmpfsAvailable} says so.
 */
export function mountRamfs(): Promise<TempDir> {
  return mountFileSystem("ramfs", "mode=0777");
}

async function mountFileSystem(type: string, options: string): Promise<TempDir> {
  const path = await Deno.makeTempDir({ prefix: `aio_${type}_` });
  const mounted = runSync("mount", ["-t", type, "-o", options, type, path]);
  if (!mounted.success) {
    await Deno.remove(path);
    throw new Error(`Cannot mount a ${type} at "${path}": ${mounted.stderr.trim()}`);
  }
  return {
    path,
    join: (...names) => join(path, ...names),
    async [Symbol.asyncDispose]() {
      await unmount(path);
      await Deno.remove(path);
    },
  };
}

/** The kernel may let go of a file a moment after its close: tries a few times before it throws. */
async function unmount(path: string): Promise<void> {
  for (let attempt = 1;; attempt++) {
    const { success, stderr } = runSync("umount", [path]);
    if (success) return;
    if (attempt === UNMOUNT_ATTEMPTS_MAX) {
      runSync("umount", ["--lazy", path]);
      throw new Error(`A test left something open on "${path}": ${stderr.trim()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, UNMOUNT_RETRY_MS));
  }
}

/** Options of {@linkcode runChild}. */
export interface ChildOptions {
  /** Its folder; the test's own if left out. */
  cwd?: string;
  /** Variables beside the inherited ones; `NO_COLOR=1` and `DENO_NO_UPDATE_CHECK=1` are set. */
  env?: Record<string, string>;
  /** Whether only `env` and those two are set. */
  clearEnv?: boolean;
  /** What it reads on standard input; nothing if left out. */
  stdin?: string;
  /** When it is killed; by default when it hangs. */
  timeLimitMs?: number;
  /** What to run instead of this Deno. */
  command?: string;
}

/** How a child ended. */
export interface ChildResult {
  /** Its exit code; 128 and the signal's number where a signal ended it. */
  readonly code: number;
  /** The signal that ended it. */
  readonly signal: Deno.Signal | null;
  /** What it printed. */
  readonly stdout: string;
  /** What it printed on standard error. */
  readonly stderr: string;
  /** Whether it ran into the time limit. */
  readonly timedOut: boolean;
}

/**
 * Runs `Deno.execPath()` with these arguments, output captured. A child over its time limit is
 * killed and `timedOut`; whether an exit code is a failure is for the test to say.
 */
export async function runChild(args: string[], options: ChildOptions = {}): Promise<ChildResult> {
  const child = new Deno.Command(options.command ?? Deno.execPath(), {
    args,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...options.env },
    clearEnv: options.clearEnv ?? false,
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, options.timeLimitMs ?? HANG_MS);
  try {
    const [output] = await Promise.all([child.output(), writeStdin(child, options.stdin)]);
    const decoder = new TextDecoder();
    return {
      code: output.code,
      signal: output.signal,
      stdout: decoder.decode(output.stdout),
      stderr: decoder.decode(output.stderr),
      timedOut,
    };
  } finally {
    clearTimeout(timer);
  }
}

async function writeStdin(child: Deno.ChildProcess, text: string | undefined): Promise<void> {
  if (text === undefined) return;
  try {
    await new Blob([text]).stream().pipeTo(child.stdin);
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error; // A child need not read it.
  }
}
