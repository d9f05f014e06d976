/**
 * fuzz_run.ts: random programs of the core with an Aio of their own, in one thread.
 *
 * @module
 */

import { assert } from "@std/assert";
import type { IoMethod } from "../../../core/io/method.ts";
import type { AioOptions } from "../../../core/base/options.ts";
import { createIoUringMethod } from "../../../methods/io_uring.ts";
import { METHODS } from "../../../methods/registry.ts";
import { DEFAULT_TUNING } from "../../../methods/io_uring/tuning.ts";
import { createLinuxAioMethod } from "../../../methods/linux_aio.ts";
import { createWorkerMethod } from "../../../methods/worker.ts";
import { Aio } from "../../../storage/aio.ts";
import { openDescriptors } from "../belongings.ts";
import { becomes } from "../patience.ts";
import { Prng } from "../prng.ts";
import { type TempDir, tempDir } from "../temp.ts";
import { SMALL_POOL } from "../workers/worker_pool.ts";
import { FUZZ_MODULES } from "./fuzz_callbacks.ts";
import { FuzzFiles } from "./fuzz_files.ts";
import { RandomlyHeld } from "./fuzz_held.ts";
import { type FuzzProgramParts, type FuzzReport, runProgram } from "./fuzz_program.ts";

const HANDLES = [1, 2, 3, 8, 40];

/** What to run. */
export interface FuzzPlan {
  /** `"held"`, or a method of this version. */
  readonly method: string;
  readonly seed: number;
  readonly steps: number;
  /** Breaks a rule, for canaries, until it is disposed of. */
  readonly sabotage?: (aio: Aio) => Disposable;
}

/** Runs a random program. @throws if anything is not as the model has it, with the last steps */
export async function fuzzCore(plan: FuzzPlan): Promise<FuzzReport> {
  await using dir = await tempDir();
  const { parts, end } = await openFuzzed(dir, plan);
  try {
    return await runProgram({ ...parts, board: null, shared: [] }, plan.steps, plan.sabotage);
  } finally {
    await end();
  }
}

/** An Aio for random programs. */
export interface FuzzedAio {
  readonly parts: Omit<FuzzProgramParts, "board" | "shared">;
  /** Closes it, and looks for descriptors that are left. */
  end(): Promise<void>;
}

/** Opens an Aio as a seed says, with files in a folder. */
export async function openFuzzed(
  dir: TempDir,
  plan: Pick<FuzzPlan, "method" | "seed">,
): Promise<FuzzedAio> {
  const content = filesIn(dir, plan.seed);
  content.create();
  const prng = new Prng(plan.seed);
  const warnings: string[] = [];
  const { held, method } = randomMethod(plan.method, prng);
  const before = descriptorsOf(dir);
  const aio = await Aio.open({
    ...randomOptions(plan.method, prng),
    onWarning: (message) => warnings.push(message),
  }, [method]);
  return {
    parts: { aio, prng, content, held, warnings },
    async end() {
      await aio.close();
      await assertNoneLeft(dir, before);
    },
  };
}

/** Its files. */
function filesIn(dir: TempDir, seed: number): FuzzFiles {
  return new FuzzFiles({ read: dir.join("read"), written: dir.join("written") }, seed);
}

/**
 * The open descriptors of files in a folder, and of rings. Doorbells do not count, as Deno has such
 * descriptors of its own.
 */
function descriptorsOf({ path }: TempDir): string[] {
  return openDescriptors().filter((open) => open.startsWith(path) || open.includes("[io_uring]"));
}

/** Asserts that there are no more than before. */
async function assertNoneLeft(dir: TempDir, before: readonly string[]): Promise<void> {
  // A thread that has ended may have to be waited for, and the kernel ends rings in its own time.
  const isSo = await becomes(() => descriptorsOf(dir).length <= before.length);
  assert(isSo, `Descriptors that are left: ${descriptorsOf(dir)}, before: ${before}`);
}

/** Options of an Aio, without hooks. */
function randomOptions(method: string, prng: Prng): AioOptions {
  return {
    method,
    maxConcurrency: prng.pick(HANDLES),
    maxBackends: 4,
    arenaBytes: 8 * 1024 * 1024,
    ioMaxCombineLimit: prng.pick([1, 4, 16]),
    workers: SMALL_POOL,
    callbackModules: FUZZ_MODULES,
    ...(prng.chance(1, 4) ? { logLevel: "debug4", onLog: () => {} } : {}),
  };
}

/** A method as users have it, or with every IO through its pool or ring; or `held`. */
export function randomMethod(
  name: string,
  prng: Prng,
): { method: IoMethod; held: RandomlyHeld | null } {
  const isWhole = prng.chance(1, 2);
  if (name === "held") {
    const held = new RandomlyHeld(new Prng(prng.seed + 1));
    return { method: held, held };
  }
  if (name === "linux_aio") return { method: createLinuxAioMethod(!isWhole, isWhole), held: null };
  if (name === "worker") return { method: createWorkerMethod(!isWhole), held: null };
  if (name === "io_uring" && isWhole) {
    const tuning = { ...DEFAULT_TUNING, cachedReadsMin: Infinity };
    return { method: createIoUringMethod(null, tuning), held: null };
  }
  return { method: METHODS.find((method) => method.name === name)!, held: null };
}
