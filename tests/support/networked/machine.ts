/**
 * machine.ts: a machine within this one, for storage servers: namespaces give it mounts, a network
 * and processes that nothing else sees. When its first process ends, the kernel ends all others and
 * undoes the mounts, so a test that fails half-way leaves nothing behind.
 *
 * Deno reaches its files through `/proc/PID/root`. It takes root on Linux.
 *
 * @module
 */

import { join } from "@std/path";
import { hasProgram, loopAvailable } from "../disks/stuck_disk.ts";
import { hangs, until } from "../patience.ts";
import { runChild, type TempDir, tempDir } from "../temp.ts";

/** Its address: Gluster refuses those of the loopback network. */
export const ADDRESS = "10.99.0.1";

/** Pause between two looks whether a server is up. */
const LOOK_AGAIN_MS = 10;
const NAMESPACES = ["--mount", "--net", "--pid"] as const;
/**
 * Its first process. The shell stays, because it reaps orphans: to glusterd a killed brick that is
 * still a zombie looks alive. It ends with its standard input.
 */
const INIT = `
  set -e
  read -r pid rest </proc/self/stat
  mount --make-rprivate /
  mount -t proc proc /proc
  for folder in /run /var/lib/glusterd /var/log/glusterfs; do
    test ! -d "$folder" || mount -t tmpfs tmpfs "$folder"
  done
  ip link set lo up
  ip address add ${ADDRESS}/32 dev lo
  echo "$pid"
  set +e
  cat
  exit 0
`;

/** Whether such a machine can be made here, with these programs in it. */
export function machineAvailable(...programs: readonly string[]): boolean {
  return Deno.build.os === "linux" && loopAvailable() &&
    ["unshare", "nsenter", "ip", ...programs].every(hasProgram) && canUnshare();
}

function canUnshare(): boolean {
  const args = [...NAMESPACES, "--fork", "mount", "--make-rprivate", "/"];
  return new Deno.Command("unshare", { args, stderr: "null" }).outputSync().success;
}

/** The machine, until the end of its scope. */
export class Machine implements AsyncDisposable {
  readonly #dir: TempDir;
  readonly #child: Deno.ChildProcess;
  readonly #pid: number;
  /** Programs that were started. */
  readonly #started: Promise<Deno.CommandStatus>[] = [];

  private constructor(dir: TempDir, child: Deno.ChildProcess, pid: number) {
    this.#dir = dir;
    this.#child = child;
    this.#pid = pid;
  }

  /** Makes one. Only where {@linkcode machineAvailable} says so. */
  static async make(): Promise<Machine> {
    await using made = new AsyncDisposableStack();
    const dir = made.use(await tempDir());
    const args = [...NAMESPACES, "--fork", "--kill-child", "sh", "-c", INIT];
    const child = new Deno.Command("unshare", { args, stdin: "piped", stdout: "piped" }).spawn();
    const reader = child.stdout.getReader();
    const { value } = await reader.read();
    await reader.cancel();
    if (value === undefined) {
      await child.stdin.close().catch(() => {});
      throw new Error(`No machine was made: unshare ended with ${(await child.status).code}`);
    }
    made.move();
    return new Machine(dir, child, Number(new TextDecoder().decode(value)));
  }

  /** The path of something in its folder, for its own programs. */
  join(...names: string[]): string {
    return this.#dir.join(...names);
  }

  /** The path by which this process reaches a path of the machine. */
  outside(path: string): string {
    return join(`/proc/${this.#pid}/root`, path);
  }

  /** Whether something is at a path of its own. */
  has(path: string): boolean {
    try {
      return Deno.lstatSync(this.outside(path)) !== null;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  /** What is mounted in it. */
  get mounts(): string {
    return Deno.readTextFileSync(`/proc/${this.#pid}/mounts`);
  }

  /** Runs a program to its end. @returns what it printed. @throws if it fails */
  async run(...command: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryRun(...command);
    if (code !== 0) throw new Error(`${command.join(" ")}: ${(stderr + stdout).trim()}`);
    return stdout;
  }

  /** The same of one that may fail. */
  tryRun(...command: readonly string[]): ReturnType<typeof runChild> {
    return runChild([...this.#enter(), ...command], { command: "nsenter" });
  }

  #enter(): string[] {
    return [`--target=${this.#pid}`, ...NAMESPACES, "--"];
  }

  /**
   * Starts a server, and waits until something is so. It ends with the machine.
   *
   * @param isUp whether it serves
   * @param command starts it, in the foreground
   */
  async start(isUp: () => boolean | Promise<boolean>, ...command: string[]): Promise<void> {
    const log = this.join(`${this.#started.length}.log`);
    const args = [...this.#enter(), "sh", "-c", 'log=$0; exec "$@" >"$log" 2>&1', log, ...command];
    const env = { TMPDIR: this.#dir.path };
    const child = new Deno.Command("nsenter", { args, env, stdin: "null" }).spawn();
    let hasEnded = false;
    this.#started.push(child.status.finally(() => hasEnded = true));
    for (const isHanging = hangs(); !await isUp();) {
      if (hasEnded || isHanging()) {
        const state = hasEnded ? "has ended" : "does not serve";
        throw new Error(`${command.join(" ")} ${state}: ${await Deno.readTextFile(log)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  /** Kills a process, which is not warned, by the file that has its number. */
  async kill(pidFile: string): Promise<void> {
    await this.run("sh", "-c", 'kill -KILL "$(cat "$0")"', pidFile);
  }

  /** Resolves when no loop device is made of a file in its folder. */
  async untilNoLoops(): Promise<void> {
    await untilNoLoops(this.#dir.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close();
    await Promise.all([this.#child.status, ...this.#started]);
    await this.untilNoLoops();
    await this.#dir[Symbol.asyncDispose]();
  }
}

/** Resolves when no loop device is made of a file in a folder: they outlive an unmount a little. */
export async function untilNoLoops(folder: string): Promise<void> {
  const left = () => loopFiles().filter((file) => file.startsWith(folder));
  await until(() => left().length === 0, () => `loop devices go: ${left()}`);
}

/** What the loop devices of this machine are made of. */
function loopFiles(): string[] {
  return [...Deno.readDirSync("/sys/block")].flatMap(({ name }) => {
    try {
      return [Deno.readTextFileSync(`/sys/block/${name}/loop/backing_file`)];
    } catch {
      return []; // It is none, or has none.
    }
  });
}
