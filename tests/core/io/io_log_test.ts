/**
 * io_log_test.ts: the lines of the log, in PostgreSQL's form and at each level. What the hook that
 * takes them may do: io_log_hook_test.ts.
 */

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { IoLog } from "../../../core/io/io_log.ts";
import { LOG_LEVELS, type LogHook } from "../../../core/base/log_level.ts";
import type { AioOptions } from "../../../core/base/options.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { Aio } from "../../../storage/aio.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";
import { FILE_BYTES, openHeld, openSync, startOn, startRead, wrong } from "../../support/core.ts";
import { reset } from "../fixtures/layers.ts";
import { keeping, type Line } from "../../support/log_lines.ts";

const EIO = 5;
const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);

/** The beginning of a line about a read of handle 0. */
function io0(state: string): string {
  return `io 0         |op readv|target file|state ${state.padEnd(16)}: `;
}

const STAGED: Line = [`${io0("STAGED")}staged (synchronous: false)`, "debug3"];
const AT_ONCE: Line = [`${io0("STAGED")}staged (synchronous: true)`, "debug3"];
const SUBMITTING: Line = ["submitting 1 IO", "debug4"];
const SUBMITTED: Line = [`${io0("SUBMITTED")}submitted`, "debug3"];
const CALLS: Line = [`${io0("COMPLETED_IO")}calls completeShared of "fileReadv"`, "debug4"];
const COMPLETED: Line = [
  `${io0("COMPLETED_SHARED")}completed: status OK, callback 0, error data 0, ` +
  "result 512, raw result 512",
  "debug3",
];

const LOCAL: Line = [
  `${io0("COMPLETED_LOCAL")}after local callbacks: status OK, callback 0, error data 0, result 512`,
  "debug3",
];
const RECLAIMING: Line = [
  `${io0("COMPLETED_LOCAL")}reclaiming: status OK, callback 0, error data 0, ` +
  "result 512, raw result 512",
  "debug4",
];

// --- lines ---

for (
  const [level, whole] of [
    ["log", []],
    ["debug2", []],
    ["debug3", [AT_ONCE, COMPLETED, LOCAL]],
    ["debug4", [AT_ONCE, CALLS, COMPLETED, LOCAL, RECLAIMING]],
  ] as const
) {
  Deno.test(`sync: a whole IO is ${whole.length} lines at level ${level}`, async () => {
    const lines: Line[] = [];
    await using fixture = await openSync(keeping(lines, level));
    startRead(fixture);
    assertEquals(lines, [...whole]);
  });
}

for (
  const [level, whole] of [
    ["log", []],
    ["debug2", []],
    ["debug3", [STAGED, SUBMITTED, COMPLETED, LOCAL]],
    ["debug4", [STAGED, SUBMITTING, SUBMITTED, CALLS, COMPLETED, LOCAL, RECLAIMING]],
  ] as const
) {
  Deno.test(`held: a whole IO is ${whole.length} lines at level ${level}`, async () => {
    const lines: Line[] = [];
    await using fixture = await openHeld(keeping(lines, level));
    const { aio, held } = fixture;
    aio.enterBatchmode();
    const { ref } = startRead(fixture);
    assertEquals(lines, whole.slice(0, 1));
    aio.exitBatchmode();
    assertEquals(lines, whole.slice(0, 1 + whole.findIndex((line) => line === SUBMITTED)));
    held.perform(aio, ref);
    assertEquals(lines, [...whole]);
  });
}

Deno.test("sync: without a level the lines are those of debug3", async () => {
  const lines: Line[] = [];
  const onLog: LogHook = (message, level) => lines.push([message, level]);
  await using other = await openSync();
  await using aio = await Aio.open({ onLog, method: "sync", arenaBytes: 4096 });
  await using file = await aio.openFile(other.file.path);
  file.readAtSync(aio.alloc(512), 0);
  assertEquals(lines, [AT_ONCE, COMPLETED, LOCAL]);
});

Deno.test("held: waiting for a free handle is logged at level debug2", async () => {
  const lines: Line[] = [];
  await using fixture = await openHeld({ ...keeping(lines, "debug2"), maxConcurrency: 2 });
  startRead(fixture);
  startRead(fixture);
  fixture.aio.acquire().release();
  assertEquals(lines, [["waiting for a free handle: 2 in flight", "debug2"]]);
});

Deno.test("held: an IO that a descriptor must outlive is logged at level debug2", async () => {
  const lines: Line[] = [];
  await using fixture = await openHeld(keeping(lines, "debug2"));
  const { aio, file } = fixture;
  startRead(fixture);
  aio.closingFd(file.fd);
  const line = `${io0("SUBMITTED")}waits for it before descriptor ${file.fd} is closed`;
  assertEquals(lines, [[line, "debug2"]]);
});

Deno.test("held: a failed IO is logged with what its callback made of it", async () => {
  const lines: Line[] = [];
  await using fixture = await openHeld(keeping(lines, "debug3"));
  const { aio, held } = fixture;
  held.complete(aio, startRead(fixture).ref, -EIO);
  held.complete(aio, startRead(fixture).ref, 100);
  const outcomes = lines.map(([message]) => message.split("completed: ")[1]).filter((it) => it);
  assertEquals(outcomes, [
    "status ERROR, callback 1, error data 5, result 0, raw result -5",
    "status PARTIAL, callback 1, error data 0, result 100, raw result 100",
  ]);
});

Deno.test("sync: each call of each callback is logged at level debug4, in their order", async () => {
  const lines: Line[] = [];
  await using fixture = await openSync({ ...keeping(lines, "debug4"), callbackModules: [LAYERS] });
  const { aio } = fixture;
  const handle = aio.acquire();
  reset();
  handle.registerCallbacks(aio.callbackId("first"));
  handle.registerCallbacks(aio.callbackId("localOnly"));
  startOn(fixture, handle);
  reset();
  const of = (state: string, text: string): Line => [`${io0(state)}calls ${text}`, "debug4"];
  assertEquals(lines.filter(([, level]) => level === "debug4"), [
    of("DEFINED", 'stage of "first"'),
    of("COMPLETED_IO", 'completeShared of "fileReadv"'),
    of("COMPLETED_IO", 'completeShared of "first"'),
    of("COMPLETED_SHARED", 'completeLocal of "localOnly"'),
    of("COMPLETED_SHARED", 'completeLocal of "first"'),
    [
      `${io0("COMPLETED_LOCAL")}reclaiming: status OK, callback 0, error data 0, ` +
      "result 5121, raw result 512",
      "debug4",
    ],
  ]);
  // What the local callbacks make of it goes to the issuer alone.
  assertEquals(lines.at(-2), [LOCAL[0].replace("result 512", "result 51211"), "debug3"]);
});

Deno.test("held: whoever completes another thread's IO has the line, its issuer has none", async () => {
  const lines: Line[] = [];
  await using fixture = await openHeld({ ...keeping(lines, "debug3"), maxConcurrency: 4 });
  const { aio, file, held } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  const { ref } = startRead(fixture);
  await worker.ask({ what: "perform", ref });
  assert(aio.checkDone(ref));
  assertEquals(lines, [STAGED, SUBMITTED, LOCAL]);
  held.perform(aio, await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 512 }));
  const [message, level] = COMPLETED;
  assertEquals(lines.slice(3), [[message.replace("io 0", "io 4"), level]]);
});

// --- the form of a line ---

Deno.test("held: ids, operations, targets and states are padded as PostgreSQL pads them", async () => {
  const lines: Line[] = [];
  await using fixture = await openHeld({
    ...keeping(lines, "debug3"),
    maxConcurrency: 1024,
    callbackModules: [LAYERS],
  });
  const { aio, held } = fixture;
  const backend = backendOf(aio);
  const hook: LogHook = (message, level) => lines.push([message, level]);
  const log = new IoLog(hook, "debug4", backend.callbacks);
  const handle = backend.handleOf(1234);
  const first = handle.base;
  const { words } = handle;
  // A handle of the second backend, whose words nobody else looks at.
  const say = (state: number, operation: number, target: string | null) => {
    words[first + HANDLE.operation] = operation;
    words[first + HANDLE.target] = target === null ? 0 : aio.targetId(target);
    words[first + HANDLE.state] = state;
    log.io("log", handle, "x");
  };
  say(0, 0, null);
  say(1, 0, "file");
  say(2, 1, "page");
  say(3, 2, "grumpy");
  say(4, 3, "file");
  say(5, 4, "file");
  say(6, 1, "file");
  say(7, 1, "file");
  say(0, 0, null);
  assertEquals(lines.slice(0, 8).map(([message]) => message), [
    "io 1234      |op invalid|target invalid|state IDLE            : x",
    "io 1234      |op invalid|target file|state HANDED_OUT      : x",
    "io 1234      |op readv|target page|state DEFINED         : x",
    "io 1234      |op writev|target grumpy|state STAGED          : x",
    "io 1234      |op fsync|target file|state SUBMITTED       : x",
    "io 1234      |op fdatasync|target file|state COMPLETED_IO    : x",
    "io 1234      |op readv|target file|state COMPLETED_SHARED: x",
    "io 1234      |op readv|target file|state COMPLETED_LOCAL : x",
  ]);
  assertEquals(held.held(aio), []);
});

// --- levels ---

for (const [at, level] of LOG_LEVELS.entries()) {
  Deno.test(`IoLog at level ${level} makes lines of the first ${at + 1} levels`, async () => {
    await using fixture = await openSync();
    const backend = backendOf(fixture.aio);
    const lines: Line[] = [];
    const log = new IoLog((message, of) => lines.push([message, of]), level, backend.callbacks);
    for (const one of LOG_LEVELS) {
      log.say(one, `said at ${one}`);
      log.io(one, backend.handleOf(0), `io at ${one}`);
      assertEquals(log.has(one), LOG_LEVELS.indexOf(one) <= at);
    }
    const made = LOG_LEVELS.slice(0, at + 1);
    assertEquals(lines.map(([, of]) => of), made.flatMap((of) => [of, of]));
    assertEquals(lines.length, 2 * made.length);
  });
}

const UNKNOWN_LEVELS: readonly (readonly [unknown, string])[] = [
  ["debug1", '"debug1"'],
  ["debug5", '"debug5"'],
  ["DEBUG3", '"DEBUG3"'],
  ["warning", '"warning"'],
  ["", '""'],
  [3, "3"],
  [null, "null"],
  [["log"], "an Array"],
];

for (const [logLevel, text] of UNKNOWN_LEVELS) {
  Deno.test(`Aio.open() refuses the logLevel ${text}`, async () => {
    const error = await assertRejects(
      () => Aio.open(wrong<AioOptions>({ logLevel, method: "sync" })),
      RangeError,
    );
    const message = '"logLevel" must be one of log, debug2, debug3, debug4: got';
    assertEquals(error.message.replace(/got .*/, "got"), `Cannot open aio as ${message}`);
  });
}

Deno.test("sync: attach() refuses an unknown logLevel, and takes a known one", async () => {
  await using fixture = await openSync();
  const hooksOf = (logLevel: unknown) => wrong<AioOptions>({ logLevel });
  await assertRejects(() => Aio.attach(fixture.aio.token, hooksOf("debug1")), RangeError, "debug4");
  // A level that is known comes as far as the next refusal.
  await assertRejects(() => Aio.attach(fixture.aio.token, hooksOf("debug4")), AioApiError, "twice");
});

Deno.test("sync: without a hook there is no log", async () => {
  await using aio = await Aio.open({ method: "sync", arenaBytes: 4096, logLevel: "debug4" });
  assertStrictEquals(backendOf(aio).log, null);
  assertStrictEquals(backendOf(aio).callbacks.onCall, null);
});

Deno.test("sync: callbacks are traced at level debug4 only", async () => {
  for (const level of LOG_LEVELS) {
    await using fixture = await openSync({ logLevel: level });
    assertEquals(backendOf(fixture.aio).callbacks.onCall !== null, level === "debug4");
  }
});

// --- level log ---

Deno.test("sync: reportResult() at level log is a line of level log, at each logLevel", async () => {
  for (const logLevel of LOG_LEVELS) {
    const lines: Line[] = [];
    await using fixture = await openSync(keeping(lines, logLevel));
    const { ret } = startRead(fixture, FILE_BYTES - 100);
    lines.length = 0;
    fixture.aio.reportResult(ret.result, ret.targetData, "log");
    const [from, to] = [FILE_BYTES - 100, FILE_BYTES + 411];
    const path = JSON.stringify(fixture.file.path);
    assertEquals(lines, [
      [`could not read bytes ${from}..${to} in file ${path}: read only 100 of 512 bytes`, "log"],
    ]);
    assertEquals(fixture.messages(), []);
    fixture.aio.reportResult(ret.result, ret.targetData, "warning");
    assertEquals([lines.length, fixture.messages().length], [1, 1]);
  }
});

Deno.test("held: a thread that is reaped on the way is a line of level log", async () => {
  const lines: Line[] = [];
  await using fixture = await openHeld(keeping(lines, "log"));
  const { aio, file } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  const ref = await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 });
  worker.terminate();
  await aio.wait(ref);
  assertEquals(lines, [["reaped backend 1: its thread has died", "log"]]);
});
