/** log_test.ts: lines of the log about IO that IO Workers execute. */

import { assertEquals } from "@std/assert";
import type { AioOptions } from "../../../core/base/options.ts";
import type { LogLevel } from "../../../core/base/log_level.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";
import { open, READ_BYTES, start } from "../../support/workers/opened_pool.ts";
import { until } from "../../support/patience.ts";
import { FAULTS } from "../fixtures/worker_faults.ts";

/** Options that keep the lines of the log. */
function keeping(lines: string[], logLevel: LogLevel): AioOptions {
  return { logLevel, onLog: (message) => lines.push(message) };
}

function line(io: number, op: string, state: string, text: string): string {
  return `io ${String(io).padEnd(10)}|op ${op}|target file|state ${state.padEnd(16)}: ${text}`;
}

const COMPLETED = `completed: status OK, callback 0, error data 0, result ${READ_BYTES}, ` +
  `raw result ${READ_BYTES}`;

/** The lines about a read from the thread that completes it. */
const OF_READ = [
  line(0, "readv", "COMPLETED_IO", 'calls completeShared of "fileReadv"'),
  line(0, "readv", "COMPLETED_IO", 'calls completeShared of "fault"'),
  line(0, "readv", "COMPLETED_SHARED", COMPLETED),
];

function isOfCompletion(message: string): boolean {
  return message.includes("completeShared") || message.includes("completed:");
}

/** Waits until all lines that are sure to come are there. @returns the lines there then */
async function untilSaid(lines: readonly string[], count: number): Promise<string[]> {
  const found = () => lines.filter(isOfCompletion);
  await until(() => found().length >= count, "the lines are there");
  return found();
}

for (
  const [level, wanted] of [["debug4", OF_READ], ["debug3", OF_READ.slice(2)]] as const
) {
  Deno.test(`worker: the opener's log has ${wanted.length} lines of a Worker at level ${level}`, async () => {
    const lines: string[] = [];
    await using opened = await open(keeping(lines, level));
    const { aio } = opened;
    const { ref } = start(opened, "fault", 0);
    await aio.wait(ref);
    const expected = wanted.map((text) => text.replace("fault", "fault"));
    assertEquals(await untilSaid(lines, expected.length), expected);
    const ofSubmit = lines.indexOf(line(0, "readv", "SUBMITTED", "submitted"));
    assertEquals(ofSubmit >= 0 && ofSubmit < lines.indexOf(wanted[0]!), true, lines.join("\n"));
  });
}

Deno.test("worker: a Worker's lines come before the issuer's next one", async () => {
  const lines: string[] = [];
  await using opened = await open(keeping(lines, "debug3"));
  const { aio } = opened;
  await aio.wait(start(opened, "fault", 0).ref);
  await aio.wait(start(opened, "fault", 0).ref);
  const steps = lines.map((text) => text.split(": ")[1]);
  const second = steps.lastIndexOf("staged (synchronous");
  assertEquals(steps.slice(0, second).filter((step) => step === "completed"), ["completed"]);
});

Deno.test("worker: no lines of Workers are made at level debug2", async () => {
  const lines: string[] = [];
  {
    await using opened = await open(keeping(lines, "debug2"));
    await opened.aio.wait(start(opened, "fault", 0).ref);
  }
  assertEquals(lines.filter(isOfCompletion), []);
});

Deno.test("worker: lines about another thread's IO are in the opener's log, too", async () => {
  const lines: string[] = [];
  await using opened = await open(keeping(lines, "debug3"));
  const { aio, file } = opened;
  await using other = await AttachedWorker.start(aio, file);
  await other.ask({ what: "write", bytes: new Uint8Array(READ_BYTES), offset: 0 });
  const io = aio.options.maxConcurrency;
  assertEquals(await untilSaid(lines, 1), [
    line(io, "writev", "COMPLETED_SHARED", COMPLETED),
  ]);
});

Deno.test("worker: a Worker that dies has said what it did before, and so has its successor", async () => {
  const lines: string[] = [];
  await using opened = await open(keeping(lines, "debug3"));
  const { aio } = opened;
  await aio.wait(start(opened, "fault", FAULTS.throwsHolding).ref);
  await aio.wait(start(opened, "fault", 0).ref);
  assertEquals((await untilSaid(lines, 2)).length, 2);
});

Deno.test("worker: close() brings what Workers have said", async () => {
  const lines: string[] = [];
  {
    await using opened = await open(keeping(lines, "debug3"));
    for (let i = 0; i < 5; i++) start(opened, "slow", 1);
  }
  assertEquals(lines.filter(isOfCompletion).length, 5);
});
