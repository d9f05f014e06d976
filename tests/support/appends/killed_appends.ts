/**
 * killed_appends.ts: a program that appends durably in many tasks and says what was acknowledged,
 * killed in the middle; then each acknowledged record must be in the file, whole, where it was said
 * to be.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { runAndKill } from "../line_process.ts";
import { describeSeed, Prng } from "../prng.ts";
import { LIBRARY_URL } from "../program.ts";
import { recordAt } from "./records.ts";

/** What is killed how often. */
export interface KillPlan {
  readonly method: string;
  readonly kills: number;
  readonly seed: number;
  /** A folder for its files. */
  readonly dir: string;
  /** Whether the program lies: it acknowledges before it appends. */
  readonly lies?: boolean;
  /** Hears of each kill. */
  readonly onKilled?: (acknowledged: number) => void;
}

const TASKS = 8;
/** Most lines that a program says before it is killed. */
const LINES_MAX = 300;

/** Appends until it is killed. A line: a task, a number and an offset. */
const APPENDER = `
  import { Aio } from ${JSON.stringify(LIBRARY_URL)};
  import { makeRecord, UNIT_BYTES } from ${JSON.stringify(import.meta.resolve("./make_record.ts"))};
  const [path, method, lies] = Deno.args;
  const aio = await Aio.open({ method });
  const file = await aio.openFile(path, { write: true, createNew: true });
  const encoder = new TextEncoder();
  const say = (...words) => Deno.stdout.writeSync(encoder.encode(words.join(" ") + "\\n"));
  await Promise.all(Array.from({ length: ${TASKS} }, async (_, task) => {
    for (let number = 0;; number++) {
      const record = makeRecord(task, number, UNIT_BYTES * (1 + (task * 7 + number) % 40));
      if (lies) say(task, number, await file.size());
      const offset = await file.append(record, { durable: true });
      if (!lies) say(task, number, offset);
    }
  }));`;

/** Runs the program and kills it, as often as is planned. @throws if a record is lost */
export async function killAppends(plan: KillPlan): Promise<void> {
  const prng = new Prng(plan.seed);
  for (let kill = 0; kill < plan.kills; kill++) {
    const path = `${plan.dir}/killed_${kill}`;
    const args = [path, plan.method, plan.lies ? "lies" : ""];
    const lines = await runAndKill(APPENDER, args, prng.between(1, LINES_MAX));
    // What was under way may end anywhere.
    const content = await Deno.readFile(path);
    const message = `kill ${kill}; ${describeSeed(plan.seed)}`;
    for (const line of lines) checkThere(content, line, message);
    await Deno.remove(path);
    plan.onKilled?.(lines.length);
  }
}

/** Checks that the record is in the file of which a line tells. */
function checkThere(content: Uint8Array, line: string, message: string): void {
  const [task, told, offset] = line.split(" ").map(Number);
  const what = `record ${told} of task ${task}; ${message}`;
  try {
    const { thread, number, bytes, written } = recordAt(content, offset!);
    assertEquals([thread, number, written], [task, told, bytes]);
  } catch (cause) {
    throw new Error(`Lost: ${what}`, { cause });
  }
}
