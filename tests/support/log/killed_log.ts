/**
 * killed_log.ts: a program whose threads append to a log and say what was acknowledged, killed in
 * the middle, again and again on the same log; then each acknowledged record must be in it, whole,
 * once, where it was said to be.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Aio, type OpenLogOptions } from "../../../mod.ts";
import { runAndKill } from "../line_process.ts";
import { describeSeed, Prng } from "../prng.ts";
import { LIBRARY_URL } from "../program.ts";

/** What is killed how often. */
export interface KillPlan {
  readonly method: string;
  readonly kills: number;
  readonly seed: number;
  /** A folder for the log. */
  readonly dir: string;
  readonly options: OpenLogOptions;
  /** Whether the program lies: it acknowledges before it appends. */
  readonly lies?: boolean;
  /** Hears of each kill. */
  readonly onKilled?: (acknowledged: number) => void;
}

const THREADS = 2;
const TASKS = 8;
/** Most lines that a program says before it is killed. */
const LINES_MAX = 300;
/** What a line is: a run, a thread, a task, a number and a position. */
const FIELDS = 5;

/** Each thread of it appends until the program is killed. Records begin with what they are. */
const APPENDER = `
  import { Aio } from ${JSON.stringify(LIBRARY_URL)};
  const append = async (aio, log, run, thread, lies) => {
    const encoder = new TextEncoder();
    const say = (...words) => Deno.stdout.writeSync(encoder.encode(words.join(" ") + "\\n"));
    await Promise.all(Array.from({ length: ${TASKS} }, async (_, task) => {
      for (let number = 0;; number++) {
        const words = new Int32Array(4 + (task * 7 + number) % 200).fill(number);
        words.set([run, thread, task, number]);
        if (lies) {
          say(run, thread, task, number, log.end);
          // Whoever hears of it has the time to kill the program.
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        const position = await log.append(new Uint8Array(words.buffer));
        if (!lies) say(run, thread, task, number, position);
      }
    }));
  };
  if (self.name === "appender") {
    self.onmessage = async ({ data: [token, logToken, run, thread] }) => {
      const aio = await Aio.attach(token);
      append(aio, aio.attachLog(logToken), run, thread, false);
    };
  } else {
    const [directory, method, run, lies, options] = Deno.args;
    const aio = await Aio.open({ method });
    const log = await aio.openLog(directory, JSON.parse(options));
    for (let thread = 1; thread < ${THREADS}; thread++) {
      const worker = new Worker(import.meta.url, { type: "module", name: "appender" });
      worker.postMessage([aio.token, log.token, Number(run), thread]);
    }
    append(aio, log, Number(run), 0, lies === "lies");
  }`;

/** Runs the program and kills it, as often as is planned. @throws if a record is lost */
export async function killLog(plan: KillPlan): Promise<void> {
  const prng = new Prng(plan.seed);
  const directory = `${plan.dir}/log`;
  const told = new Map<string, number>();
  for (let run = 0; run < plan.kills; run++) {
    const lies = plan.lies === true ? "lies" : "";
    const args = [directory, plan.method, `${run}`, lies, JSON.stringify(plan.options)];
    const lines = await runAndKill(APPENDER, args, prng.between(1, LINES_MAX));
    for (const line of lines) {
      const words = line.split(" ").map(Number);
      // Two threads may have said something at once.
      if (words.length !== FIELDS) continue;
      told.set(words.slice(0, 4).join(":"), words[4]!);
    }
    await check(directory, plan.options, told, `kill ${run}; ${describeSeed(plan.seed)}`);
    plan.onKilled?.(lines.length);
  }
}

async function check(
  directory: string,
  options: OpenLogOptions,
  told: ReadonlyMap<string, number>,
  message: string,
): Promise<void> {
  await using aio = await Aio.open({ method: "sync", arenaBytes: 4 * 1024 * 1024 });
  await using log = await aio.openLog(directory, options);
  const found = new Map<string, number>();
  for await (const { position, data } of log.read()) {
    const words = new Int32Array(data.slice().buffer);
    const name = words.subarray(0, 4).join(":");
    assert(!found.has(name), `record ${name} is there once; ${message}`);
    assert(words.subarray(4).every((word) => word === words[3]), `${name} is whole; ${message}`);
    found.set(name, position);
  }
  for (const [name, position] of told) {
    assertEquals(found.get(name), position, `Lost: record ${name}; ${message}`);
  }
}
