/**
 * startup.ts: what a whole process takes that opens an Aio and a file, reads 4 KiB and closes both,
 * with each method, beside one that calls `Deno.readFile`.
 *
 * Each contender is a program of its own (startup/). They run in turn; a first run of each, which
 * fills Deno's caches of compiled modules, does not count. "whole" is from the start of the process
 * until it is gone, "processor" what the program says of its own threads at its end, both in ms:
 * the median, and in brackets the fastest and the slowest round. "to readFile" is the ratio to
 * `Deno.readFile`, round by round. Rows that read nothing show where the time goes: Deno itself,
 * loading this module, opening.
 *
 * Run: deno task bench:startup [--rounds N] [--dir DIR]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { availableMethods } from "../methods/mod.ts";
import { figures, ROUND_OPTIONS } from "./rounds.ts";

const FILE_BYTES = 4096;
const PEER = "Deno.readFile";

/** One run of a program. */
interface Run {
  readonly wholeMs: number;
  readonly processorMs: number;
}

/** Programs with their arguments, by name. */
function contendersOf(path: string): Readonly<Record<string, readonly string[]>> {
  const methods = availableMethods().filter(({ ok }) => ok).map(({ name }) => name);
  return {
    "nothing": ["deno_read.ts"],
    [PEER]: ["deno_read.ts", path],
    "import, no more": ["ours.ts"],
    ...Object.fromEntries(methods.map((method) => [method, ["ours.ts", method, path]])),
  };
}

async function runProgram([program, ...args]: readonly string[]): Promise<Run> {
  const url = new URL(`startup/${program}`, import.meta.url).href;
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", url, ...args],
    stderr: "inherit",
  });
  const start = performance.now();
  const { success, stdout } = await command.output();
  const wholeMs = performance.now() - start;
  if (!success) throw new Error(`${program} ${args.join(" ")} failed`);
  return { wholeMs, processorMs: Number(new TextDecoder().decode(stdout)) };
}

/** Runs all in turn, so that a machine that becomes slower is slower for all. */
async function measure(
  contenders: Readonly<Record<string, readonly string[]>>,
  rounds: number,
): Promise<Record<string, Run[]>> {
  const runs: Record<string, Run[]> = {};
  for (let round = -1; round < rounds; round++) {
    for (const [name, program] of Object.entries(contenders)) {
      const run = await runProgram(program);
      if (round < 0) runs[name] = [];
      else runs[name]!.push(run);
    }
  }
  return runs;
}

function shown(values: readonly number[], digits: number): string {
  const { median, min, max } = figures(values);
  return `${median.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})`;
}

function rowOf(runs: readonly Run[], peer: readonly Run[]): Record<string, string> {
  const whole = runs.map(({ wholeMs }) => wholeMs);
  const ratios = whole.map((ms, i) => ms / peer[i]!.wholeMs);
  return {
    "whole": shown(whole, 0),
    "processor": shown(runs.map(({ processorMs }) => processorMs), 0),
    "to readFile": shown(ratios, 2),
  };
}

async function main(): Promise<void> {
  const { rounds, dir } = ROUND_OPTIONS;
  const { values } = parseArgs({ options: { rounds, dir } });
  const path = await Deno.makeTempFile({ dir: values.dir, prefix: "startup_" });
  try {
    await Deno.writeFile(path, new Uint8Array(FILE_BYTES));
    const runs = await measure(contendersOf(path), Number(values.rounds));
    const rows = Object.entries(runs).map(([name, own]) => [name, rowOf(own, runs[PEER]!)]);
    console.table(Object.fromEntries(rows));
  } finally {
    await Deno.remove(path);
  }
}

if (import.meta.main) await main();
