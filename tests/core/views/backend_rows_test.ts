/** backend_rows_test.ts: aio.backends(): which threads are attached, and what each is doing. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { BackendRow } from "../../../core/views/backend_rows.ts";
import type { BackendCounters } from "../../../core/io/counters.ts";
import {
  COMPLETED_IO,
  COMPLETED_LOCAL,
  COMPLETED_SHARED,
  DEFINED,
  IDLE,
  STATE_NAMES,
} from "../../../core/memory/handle_state.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { AttachedWorker, shareThread } from "../../support/threads/attached.ts";
import { type Fixture, openHeld, openSync, pokeState, startRead } from "../../support/core.ts";
import { becomes } from "../../support/patience.ts";
import { hooks, reset } from "../fixtures/layers.ts";

const startWorker = shareThread();

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);

/** The counters of a thread that has done nothing: each one that is documented. */
const NOTHING_DONE: BackendCounters = {
  started: 0,
  synchronousByFlag: 0,
  synchronousByLocalMemory: 0,
  synchronousByMethod: 0,
  completedBySelf: 0,
  completedByOthers: 0,
  completedForOthers: 0,
  handleWaits: 0,
  submissions: 0,
  bytesRead: 0,
  bytesWritten: 0,
  shortTransfers: 0,
  retries: 0,
  errors: 0,
  sleeps: 0,
  sleepsTimedOut: 0,
  bells: 0,
  bellsForNothing: 0,
  wakeUpMs: 0,
  blockingSleeps: 0,
  turnsEnded: 0,
  breaks: 0,
  turnWaitMs: 0,
  dozes: 0,
  dozesTimedOut: 0,
  dozesForOthers: 0,
};

type Counts = Pick<BackendRow, "handedOut" | "staged" | "inFlight" | "idle">;

function rowOf({ aio }: Fixture, id: number): BackendRow {
  const row = aio.backends().find(({ backendId }) => backendId === id);
  assert(row !== undefined, `Backend ${id} has no row`);
  return row;
}

function countsOf(fixture: Fixture, id: number): Counts {
  const { handedOut, staged, inFlight, idle } = rowOf(fixture, id);
  return { handedOut, staged, inFlight, idle };
}

function idsOf({ aio }: Fixture): number[] {
  return aio.backends().map(({ backendId }) => backendId);
}

// --- rows ---

for (const [method, open] of [["sync", openSync], ["held", openHeld]] as const) {
  Deno.test(`${method}: aio.backends() has one row of a thread that is alone`, async () => {
    await using fixture = await open({ maxConcurrency: 5, maxBackends: 3 });
    const { aio } = fixture;
    assertEquals(aio.backends(), [{
      backendId: 0,
      threadId: backendOf(aio).libc.threadId(),
      handedOut: 0,
      staged: 0,
      inFlight: 0,
      idle: 5,
      isParked: false,
      waitEvent: null,
      counters: NOTHING_DONE,
    }]);
  });
}

Deno.test("held: aio.backends() has a row for each thread, in the order of their slots", async () => {
  await using fixture = await openHeld({ maxBackends: 4 });
  const { aio, file } = fixture;
  await using first = await startWorker(aio, file);
  await using _second = await AttachedWorker.start(aio, file);
  await using _third = await AttachedWorker.start(aio, file);
  assertEquals(idsOf(fixture), [0, 1, 2, 3]);
  const threads = new Set(aio.backends().map(({ threadId }) => threadId));
  assertEquals(threads.size, 4);
  await first.ask({ what: "close" });
  assertEquals(idsOf(fixture), [0, 2, 3]);
});

Deno.test("held: aio.backends() shows what a Worker has prepared and in flight", async () => {
  await using fixture = await openHeld({ maxConcurrency: 8 });
  const { aio, file, held } = fixture;
  await using worker = await startWorker(aio, file);
  const { threadId } = rowOf(fixture, 1);
  assertNotEquals(threadId, backendOf(aio).libc.threadId());
  assert(backendOf(aio).libc.isThreadAlive(threadId));
  assertEquals(countsOf(fixture, 1), { handedOut: 0, staged: 0, inFlight: 0, idle: 8 });
  await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 });
  await worker.ask<WaitRef>({ what: "stage", offset: 0, bytes: 10 });
  await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 });
  assertEquals(countsOf(fixture, 1), { handedOut: 0, staged: 2, inFlight: 1, idle: 5 });
  assertEquals(countsOf(fixture, 0), { handedOut: 0, staged: 0, inFlight: 0, idle: 8 });
  await worker.ask({ what: "submit" });
  assertEquals(countsOf(fixture, 1), { handedOut: 0, staged: 0, inFlight: 3, idle: 5 });
  held.performAll(aio);
});

Deno.test("held: aio.backends() loses the row of a thread that closed", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  for (let round = 0; round < 2; round++) {
    await using worker = await startWorker(aio, file);
    assertEquals(idsOf(fixture), [0, 1]);
    await worker.ask({ what: "close" });
    assertEquals(idsOf(fixture), [0]);
  }
});

Deno.test("held: aio.backends() keeps the row of a thread that died until it is reaped", async () => {
  await using fixture = await openHeld({ maxConcurrency: 8 });
  const { aio, file } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  const { threadId } = rowOf(fixture, 1);
  await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 });
  await worker.ask<WaitRef>({ what: "stage", offset: 0, bytes: 10 });
  await worker.ask<WaitRef>({ what: "acquire" });
  worker.terminate();
  assert(await becomes(() => !backendOf(aio).libc.isThreadAlive(threadId)));
  assertEquals(rowOf(fixture, 1).threadId, threadId);
  assertEquals(countsOf(fixture, 1), { handedOut: 1, staged: 1, inFlight: 1, idle: 5 });
  aio.reapBackend(1);
  assertEquals(idsOf(fixture), [0]);
});

Deno.test("held: aio.backends() has a row of a slot that is being reaped, and by whom", async () => {
  await using fixture = await openHeld();
  const { control } = backendOf(fixture.aio);
  const at = control.backendAt(1) + BACKEND.threadId;
  const reaper = 7;
  control.words[at] = -reaper;
  assertEquals(rowOf(fixture, 1).threadId, reaper);
  control.words[at] = 0;
});

// --- what each has ---

Deno.test("held: aio.backends() counts handles by what becomes of them", async () => {
  await using fixture = await openHeld({ maxConcurrency: 6 });
  const { aio, held } = fixture;
  const handle = aio.acquire();
  assertEquals(countsOf(fixture, 0), { handedOut: 1, staged: 0, inFlight: 0, idle: 5 });
  handle.release();
  assertEquals(countsOf(fixture, 0), { handedOut: 0, staged: 0, inFlight: 0, idle: 6 });
  aio.enterBatchmode();
  for (let i = 0; i < 3; i++) startRead(fixture);
  assertEquals(countsOf(fixture, 0), { handedOut: 0, staged: 3, inFlight: 0, idle: 3 });
  aio.submitStaged();
  startRead(fixture);
  const second = aio.acquire();
  assertEquals(countsOf(fixture, 0), { handedOut: 1, staged: 1, inFlight: 3, idle: 1 });
  second.release();
  aio.exitBatchmode();
  held.performAll(aio);
  assertEquals(countsOf(fixture, 0), { handedOut: 0, staged: 0, inFlight: 0, idle: 6 });
});

Deno.test("held: aio.backends() counts an IO as in flight until its issuer takes it back", async () => {
  await using fixture = await openHeld({ maxConcurrency: 4 });
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  const { ref } = startRead(fixture);
  await worker.ask({ what: "perform", ref });
  assertEquals(countsOf(fixture, 0), { handedOut: 0, staged: 0, inFlight: 1, idle: 3 });
  assert(aio.checkDone(ref));
  assertEquals(countsOf(fixture, 0), { handedOut: 0, staged: 0, inFlight: 0, idle: 4 });
});

for (
  const [state, column] of [
    [DEFINED, "staged"],
    [COMPLETED_IO, "inFlight"],
    [COMPLETED_SHARED, "inFlight"],
    [COMPLETED_LOCAL, null],
  ] as const
) {
  const where = column === null ? "nowhere" : `as ${column}`;
  Deno.test(`held: aio.backends() counts a handle that is ${STATE_NAMES[state]} ${where}`, async () => {
    await using fixture = await openHeld({ maxConcurrency: 4 });
    pokeState(fixture, 2, state);
    const expected = { handedOut: 0, staged: 0, inFlight: 0, idle: 3 };
    assertEquals(countsOf(fixture, 0), column === null ? expected : { ...expected, [column]: 1 });
    pokeState(fixture, 2, IDLE);
  });
}

// --- isParked ---

Deno.test("held: aio.backends() shows that a Worker's event loop sleeps while it awaits", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await using worker = await startWorker(aio, file);
  assertEquals(rowOf(fixture, 1).isParked, false);
  const ref = await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 });
  const awaited = worker.ask({ what: "await", ref });
  const wasParked = await becomes(() => rowOf(fixture, 1).isParked);
  const { waitEvent } = rowOf(fixture, 1);
  held.perform(aio, ref);
  await awaited;
  assertEquals([wasParked, waitEvent], [true, null]);
  assertEquals(rowOf(fixture, 1).isParked, false);
});

Deno.test("held: aio.backends() shows a thread to itself as asleep, from a timer", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const { ref } = startRead(fixture);
  const awaited = aio.wait(ref);
  const wasParked = await becomes(() => rowOf(fixture, 0).isParked);
  held.perform(aio, ref);
  await awaited;
  assertEquals(wasParked, true);
  assert(await becomes(() => !rowOf(fixture, 0).isParked), "It sleeps with nothing in flight");
});

// --- from everywhere ---

Deno.test("sync: aio.backends() can be called in callbacks, of each phase", async () => {
  await using fixture = await openSync({ callbackModules: [LAYERS], maxConcurrency: 4 });
  const { aio, file } = fixture;
  const seen: Counts[] = [];
  const look = () => seen.push(countsOf(fixture, 0));
  reset();
  hooks.stage = () => void look();
  hooks.completeShared = (_handle, prior) => (look(), prior);
  hooks.completeLocal = (_handle, prior) => (look(), prior);
  const handle = aio.acquire();
  handle.registerCallbacks(aio.callbackId("free"));
  handle.setIovec(aio.alloc(10));
  file.startReadv(handle, 0);
  reset();
  assertEquals(seen, [
    { handedOut: 0, staged: 1, inFlight: 0, idle: 3 },
    { handedOut: 0, staged: 0, inFlight: 1, idle: 3 },
    { handedOut: 0, staged: 0, inFlight: 1, idle: 3 },
  ]);
});

Deno.test("held: aio.backends() can be called in hooks at injection points", async () => {
  await using fixture = await openHeld({ maxConcurrency: 4 });
  const { aio, held } = fixture;
  const seen: Counts[] = [];
  const look = () => void seen.push(countsOf(fixture, 0));
  aio.attachInjectionPoint("aio-after-staging", look);
  aio.attachInjectionPoint("aio-process-completion-before-shared", look);
  aio.attachInjectionPoint("aio-before-reclaim", look);
  held.perform(aio, startRead(fixture).ref);
  assertEquals(seen, [
    { handedOut: 0, staged: 1, inFlight: 0, idle: 3 },
    { handedOut: 0, staged: 0, inFlight: 1, idle: 3 },
    { handedOut: 0, staged: 0, inFlight: 1, idle: 3 },
  ]);
});

Deno.test("held: aio.backends() can be called in onLog and onWarning", async () => {
  const seen: [string, Counts][] = [];
  let look: (message: string) => void = () => {};
  await using fixture = await openHeld({
    maxConcurrency: 4,
    logLevel: "debug3",
    onLog: (line) => look(line),
    onWarning: (message) => look(message),
  });
  const { aio, held } = fixture;
  look = (message) => seen.push([message.split(": ").at(-1)!, countsOf(fixture, 0)]);
  aio.attachInjectionPoint("aio-process-completion-before-shared", () => {
    throw new Error("mine");
  });
  held.complete(aio, startRead(fixture).ref, 512);
  aio.detachInjectionPoint("aio-process-completion-before-shared");
  assertEquals(seen.map(([, counts]) => counts), [
    { handedOut: 0, staged: 1, inFlight: 0, idle: 3 },
    { handedOut: 0, staged: 0, inFlight: 1, idle: 3 },
    { handedOut: 0, staged: 0, inFlight: 1, idle: 3 },
    { handedOut: 0, staged: 0, inFlight: 1, idle: 3 },
    // After the local callbacks it is neither in flight nor idle.
    { handedOut: 0, staged: 0, inFlight: 0, idle: 3 },
  ]);
  assertEquals(seen.map(([end]) => end).slice(1, 3), ["submitted", "mine"]);
});
