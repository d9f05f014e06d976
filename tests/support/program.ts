/**
 * program.ts: small programs that use the library in a process of their own: with permissions of
 * their own, limits of their own, and an end of their own.
 *
 * @module
 */

import { Worker } from "node:worker_threads";
import { join } from "@std/path";
import { type ChildOptions, type ChildResult, runChild } from "./temp.ts";
import { hasPool } from "./workers/worker_pool.ts";

/** The library, as a program anywhere on this machine imports it. */
export const LIBRARY_URL = import.meta.resolve("../../mod.ts");
/** The module about methods, likewise. */
export const METHODS_URL = import.meta.resolve("../../methods/mod.ts");

/** How {@linkcode runProgram} runs. */
export interface ProgramOptions extends Omit<ChildOptions, "command" | "stdin"> {
  /** Permission flags; `["-A"]` if left out. */
  readonly flags?: readonly string[];
  /** What the program finds in `Deno.args`. */
  readonly args?: readonly string[];
  /** Commands of `sh` before Deno starts in its place, such as `ulimit -n 64`. */
  readonly shell?: string;
  /** A command that starts Deno, with its arguments, such as `setpriv`. */
  readonly wrapper?: readonly string[];
}

/**
 * Runs a program whose text may use `Aio`, imported already.
 *
 * @param source the program
 * @param options how
 */
export function runProgram(source: string, options: ProgramOptions = {}): Promise<ChildResult> {
  const { flags = ["-A"], args = [], shell, wrapper, ...rest } = options;
  const program = `import { Aio } from ${JSON.stringify(LIBRARY_URL)};\n${source}`;
  const url = `data:application/typescript,${encodeURIComponent(program)}`;
  const denoArgs = ["run", "--no-prompt", "--no-lock", "--no-config", ...flags, url, ...args];
  if (shell !== undefined) {
    const command = [`${shell}; exec "$0" "$@"`, Deno.execPath(), ...denoArgs];
    return runChild(["-c", ...command], { ...rest, command: "sh" });
  }
  if (wrapper !== undefined) {
    const [command, ...wrapperArgs] = wrapper;
    return runChild([...wrapperArgs, Deno.execPath(), ...denoArgs], {
      ...rest,
      ...(command === undefined ? {} : { command }),
    });
  }
  return runChild(denoArgs, rest);
}

/** Runs of a program that the runtime itself may end. */
const RUNS_MAX = 5;

/**
 * The same of a program that runs out of descriptors. A thread of the runtime that wants one in the
 * wrong moment panics, which tells nothing of this module: then the program is run again.
 */
export async function runLackingDescriptors(
  source: string,
  options: ProgramOptions = {},
): Promise<ChildResult> {
  let result = await runProgram(source, options);
  for (let runs = 1; runs < RUNS_MAX && result.stderr.includes("Deno has panicked"); runs++) {
    result = await runProgram(source, options);
  }
  return result;
}

/** What a program must be allowed to read beside its data: IO Workers load the module from disk. */
export function foldersOf(method: string): string[] {
  return hasPool(method) ? [join(import.meta.dirname ?? ".", "..", "..")] : [];
}

/** Where this process's descriptors point to, by their numbers. */
export function openDescriptors(): Map<number, string> {
  const found = new Map<number, string>();
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      found.set(Number(name), Deno.readLinkSync(`/proc/self/fd/${name}`));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // The one of the listing itself.
    }
  }
  return found;
}

/** How many descriptors of this process point to a path. */
export function countDescriptorsOf(path: string): number {
  return [...openDescriptors().values()].filter((target) => target === path).length;
}

/**
 * Runs a Worker to its end. Deno keeps an eventfd and an epoll of the last one that ended, and a
 * test that counts descriptors is to find them before it begins.
 */
export async function endOneWorker(): Promise<void> {
  const worker = new Worker(new URL("data:text/javascript,"));
  await new Promise((resolve) => worker.once("exit", resolve));
}
