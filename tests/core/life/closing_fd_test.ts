/**
 * closing_fd_test.ts: what must be over before a descriptor is closed, in all threads, and what can
 * no longer start on it. Only with `held` does IO stay in flight, so only `held` shows which IO a
 * closing waits for, and which it does not.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { tryClaim } from "../../../core/memory/claim.ts";
import { AioApiError } from "../../../core/base/errors.ts";
import { COMPLETED_SHARED } from "../../../core/memory/handle_state.ts";
import type { LogHook } from "../../../core/base/log_level.ts";
import { OP_INVALID } from "../../../core/io/operation_table.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import type { AioFile } from "../../../storage/file/file.ts";
import { AttachedWorker, shareThread } from "../../support/threads/attached.ts";
import {
  fileContent,
  type Fixture,
  openHeld,
  pokeState,
  startRead,
  stateOf,
} from "../../support/core.ts";
import { STAGING, testSharedCores } from "../../support/core_methods.ts";
import { HeldMethod } from "../../support/held_method.ts";
import { untilDead } from "../../support/patience.ts";

const startWorker = shareThread();

const WAITS = "waits for it before descriptor";

/** An Aio, and what sets a listener to its log, which has a line whenever a thread waits. */
async function openListening(held = new HeldMethod()): Promise<[Fixture, (hook: LogHook) => void]> {
  let onLog: LogHook = () => {};
  const fixture = await openHeld({
    maxConcurrency: 8,
    logLevel: "debug2",
    onLog: (line, level) => onLog(line, level),
  }, held);
  return [fixture, (hook) => onLog = hook];
}

/** Starts a read of another file. */
function startOther({ aio }: Fixture, other: AioFile): WaitRef {
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.setIovec(aio.alloc(512));
  other.startReadv(handle, 0);
  return ref;
}

// --- what is waited for ---

testSharedCores("closingFd() waits for own IO in flight, all of it", (fixture) => {
  const { aio, file } = fixture;
  const reads = Array.from({ length: 3 }, (_, i) => startRead(fixture, i));
  aio.closingFd(file.fd);
  for (const { ret, view, offset } of reads) {
    assertEquals([ret.result.status, ret.result.result], ["ok", 512]);
    assertEquals(view, fileContent(offset, 512));
  }
  assertEquals(aio.ios(), []);
});

testSharedCores(
  "closingFd() submits what the thread itself has staged, and waits for it",
  (fixture) => {
    const { aio, file } = fixture;
    aio.enterBatchmode();
    const reads = [startRead(fixture, 0), startRead(fixture, 1)];
    aio.closingFd(file.fd);
    assertEquals(fixture.submissions, [2]);
    assertEquals(reads.map(({ ret }) => ret.result.status), ["ok", "ok"]);
    assertEquals([aio.haveStaged, backendOf(aio).staging.isInBatch], [false, true]);
    aio.exitBatchmode();
  },
  { only: STAGING },
);

Deno.test("held: closingFd() waits for what another thread has in flight on it", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  const refs = [
    await worker.ask<WaitRef>({ what: "read", offset: 3, bytes: 100 }),
    await worker.ask<WaitRef>({ what: "read", offset: 4, bytes: 100 }),
  ];
  aio.closingFd(file.fd); // The held method performs the IO that a thread waits for.
  for (const [i, ref] of refs.entries()) {
    assert(aio.checkDone(ref));
    assertEquals(await worker.ask({ what: "seen", ref }), fileContent(3 + i, 100));
  }
});

Deno.test("held: closingFd() waits for what another thread has staged to be submitted", async () => {
  const [opened, listen] = await openListening();
  await using fixture = opened;
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  const ref = await worker.ask<WaitRef>({ what: "stage", offset: 3, bytes: 100 });
  const states: string[] = [];
  let submitted: Promise<unknown> | null = null;
  listen((line) => {
    // This thread is blocked now, so only a message reaches the other one.
    if (!line.includes(WAITS)) return;
    states.push(line.match(/state (\w+)/)![1]!);
    submitted ??= worker.ask({ what: "submit" });
  });
  aio.closingFd(file.fd);
  listen(() => {});
  assertEquals(states[0], "STAGED");
  assert(aio.checkDone(ref));
  await submitted;
  assertEquals(await worker.ask({ what: "seen", ref }), fileContent(3, 100));
});

Deno.test("held: closingFd() waits for an IO that another thread is about to complete", async () => {
  const [opened, listen] = await openListening();
  await using fixture = opened;
  const { aio, file, held } = fixture;
  await using worker = await startWorker(aio, file);
  const { ref, ret, view } = startRead(fixture, 9);
  const { words, base } = backendOf(aio).handleOf(ref.index);
  // As if the Worker had just begun: from now on this thread may not complete it.
  assert(tryClaim(words, base, 1, words[base + HANDLE.generationLow]!));
  let performed: Promise<unknown> | null = null;
  listen((line) => {
    if (line.includes(WAITS)) performed ??= worker.ask({ what: "perform", ref });
  });
  aio.closingFd(file.fd);
  listen(() => {});
  await performed;
  assertEquals([held.waits, ret.result.status], [[], "ok"]);
  assertEquals(view, fileContent(9, 512));
});

Deno.test("held: closingFd() does not wait for IO on other descriptors", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await using worker = await startWorker(aio, file);
  await using other = await aio.openFile(file.path);
  const own = startRead(fixture).ref;
  const foreign = await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 });
  const staged = await worker.ask<WaitRef>({ what: "stage", offset: 0, bytes: 10 });
  aio.closingFd(other.fd);
  assertEquals(held.waits, []);
  assertEquals([own, foreign, staged].map((ref) => stateOf(fixture, ref)), [
    "submitted",
    "submitted",
    "staged",
  ]);
  await worker.ask({ what: "submit" });
  held.performAll(aio);
});

Deno.test("held: closingFd() of a descriptor that no file has waits for its IO all the same", async () => {
  await using fixture = await openHeld();
  const { aio } = fixture;
  const { ref, ret } = startRead(fixture);
  const { words, base } = backendOf(aio).handleOf(ref.index);
  const present = words[base + HANDLE.fd]!;
  const unknown = 1_000_000;
  words[base + HANDLE.fd] = unknown;
  aio.closingFd(unknown + 1);
  assertEquals(ret.result.status, "unknown");
  aio.closingFd(unknown);
  assertEquals([ret.result.status, ret.result.errorData], ["error", 9]);
  aio.closingFd(present);
});

Deno.test("held: closingFd() does not wait where the method does not need it", async () => {
  const held = new HeldMethod({ waitOnFdBeforeClose: false });
  await using fixture = await openHeld({}, held);
  const { aio, file } = fixture;
  aio.enterBatchmode();
  const { ref } = startRead(fixture);
  aio.closingFd(file.fd);
  assertEquals([held.submissions, held.waits], [[1], []]);
  assertEquals(stateOf(fixture, ref), "submitted");
  aio.exitBatchmode();
  held.perform(aio, ref);
});

for (const holding of ["stage", "read"] as const) {
  Deno.test(`held: closingFd() after ${holding} by a thread that died ends by itself`, async () => {
    await using fixture = await openHeld();
    const { aio, file } = fixture;
    await using worker = await AttachedWorker.start(aio, file);
    const ref = await worker.ask<WaitRef>({ what: holding, offset: 0, bytes: 10 });
    const { threadId } = aio.backends()[1]!;
    worker.terminate();
    await untilDead(backendOf(fixture.aio).libc, threadId);
    aio.closingFd(file.fd);
    assert(aio.checkDone(ref));
    // Any waiter can complete an IO that was submitted. One that was only staged ends when a reaper
    // finds the thread dead.
    assertEquals(stateOf(fixture, ref), holding === "stage" ? "idle" : "completedShared");
    assertEquals(aio.backends().length, holding === "stage" ? 1 : 2);
  });
}

Deno.test("held: closingFd() ends if a thread died that was about to complete an IO on it", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  const { ref, ret } = startRead(fixture);
  const { words, base } = backendOf(aio).handleOf(ref.index);
  assert(tryClaim(words, base, 1, words[base + HANDLE.generationLow]!));
  const { threadId } = aio.backends()[1]!;
  worker.terminate();
  await untilDead(backendOf(fixture.aio).libc, threadId);
  aio.closingFd(file.fd);
  assertEquals([ret.result.status, held.waits], ["ok", []]);
  assertEquals(aio.backends().length, 1);
});

Deno.test("held: closingFd() takes back own IO that another thread completed and has not told of", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  const { ref, ret } = startRead(fixture);
  const { words, base } = backendOf(aio).handleOf(ref.index);
  words[base + HANDLE.resultStatus] = 1;
  words[base + HANDLE.result] = 512;
  pokeState(fixture, ref.index, COMPLETED_SHARED);
  aio.closingFd(file.fd);
  assertEquals([ret.result.status, ret.result.result], ["ok", 512]);
  assertEquals(aio.ios(), []);
});

// --- what can no longer start ---

testSharedCores("after closingFd() no IO starts on the file, in no thread", async (fixture) => {
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  aio.closingFd(file.fd);
  const handle = aio.acquire();
  handle.setIovec(aio.alloc(512));
  const message = `Cannot start IO on bytes 0..511 in file ${JSON.stringify(file.path)}: ` +
    "it is closed";
  const error = assertThrows(() => file.startReadv(handle, 0), Deno.errors.BadResource);
  assertEquals([error.message, handle.state], [message, "handedOut"]);
  handle.release();
  await assertRejects(() => file.readAt(new Uint8Array(8), 0), Deno.errors.BadResource);
  assertThrows(() => file.writeAtSync(new Uint8Array(8), 0), Deno.errors.BadResource);
  assertThrows(() => file.syncSync(), Deno.errors.BadResource);
  const bytes = new Uint8Array(8);
  const refused = worker.ask({ what: "write", bytes, offset: 0 });
  await assertRejects(() => refused, Error, "BadResource: Cannot");
  assertEquals(aio.ios(), []);
});

Deno.test("held: a handle whose start was refused is nothing that closingFd() waits for", async () => {
  const [opened, listen] = await openListening();
  await using fixture = opened;
  const { aio, file, held } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  await using other = await aio.openFile(file.path);
  aio.closingFd(file.fd);
  const handle = aio.acquire();
  const view = aio.alloc(512);
  handle.setIovec(view);
  assertThrows(() => file.startReadv(handle, 0), Deno.errors.BadResource);
  // The Worker keeps its handle, too.
  const refused = worker.ask({ what: "read", offset: 0, bytes: 10 });
  await assertRejects(() => refused, Error, "BadResource: Cannot start IO");
  assertEquals(aio.ios().map(({ state }) => state), ["HANDED_OUT", "HANDED_OUT"]);
  const waitedFor: string[] = [];
  listen((line) => {
    waitedFor.push(line);
    // Without this the call would wait for ever.
    for (const { ioId } of aio.ios()) {
      handle.words[backendOf(aio).control.handleAt(ioId) + HANDLE.operation] = OP_INVALID;
    }
  });
  aio.closingFd(file.fd);
  assertEquals(waitedFor, []);
  assertEquals([handle.state, handle.operation, held.waits], ["handedOut", "invalid", []]);
  handle.release();
  const again = aio.acquire();
  assertEquals(again.index, handle.index);
  const ref = again.waitRef();
  again.setIovec(view);
  other.startReadv(again, 5);
  aio.waitSync(ref);
  assertEquals(view, fileContent(5, 512));
  worker.terminate(); // It holds a handle, so it would refuse to close.
});

Deno.test("held: closingFd() of one file leaves others of the same path open, in all threads", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  await using other = await aio.openFile(file.path, { read: true, write: true });
  aio.closingFd(other.fd);
  assertThrows(() => other.readAtSync(new Uint8Array(8), 0), Deno.errors.BadResource);
  assertEquals(file.readAtSync(new Uint8Array(8), 0), 8);
  const ref = await worker.ask<WaitRef>({ what: "read", offset: 2, bytes: 10 });
  aio.waitSync(ref);
  assertEquals(await worker.ask({ what: "seen", ref }), fileContent(2, 10));
});

Deno.test("held: the last close() of a file waits for IO on it only", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await using other = await aio.openFile(file.path);
  const { ref } = startRead(fixture);
  const reading = startOther(fixture, other);
  const closing = other.close();
  await aio.openFile(file.path).then((third) => third.close()); // Time enough to close.
  assertEquals(backendOf(aio).files.count, 2);
  held.perform(aio, reading);
  await closing;
  assertEquals([backendOf(aio).files.count, stateOf(fixture, ref)], [1, "submitted"]);
});

Deno.test("held: the last closeSync() of a file waits for IO on it only", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await using other = await aio.openFile(file.path);
  const { ref } = startRead(fixture);
  const reading = startOther(fixture, other);
  other.closeSync();
  assertEquals(held.waits, [reading.index]);
  assertEquals(stateOf(fixture, ref), "submitted");
});

Deno.test("held: the last close() of a file, in a Worker, waits for the main thread's IO", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await using other = await aio.openFile(file.path);
  await using worker = await startWorker(aio, other);
  const { ref } = startRead(fixture);
  const reading = startOther(fixture, other);
  await other.close(); // The Worker still uses it, so this waits for nothing.
  assertEquals([held.waits, stateOf(fixture, reading)], [[], "submitted"]);
  const order: string[] = [];
  const closing = worker.ask({ what: "close" }).then(() => order.push("closed"));
  // Time enough to close.
  for (let i = 0; i < 20; i++) await aio.openFile(file.path).then((third) => third.close());
  order.push("performed");
  held.perform(aio, reading);
  await closing;
  assertEquals(order, ["performed", "closed"]);
  assert(aio.checkDone(reading));
  assertEquals(stateOf(fixture, ref), "submitted");
});

// --- refusals ---

testSharedCores(
  "closingFd() in a hook at an injection point is refused, and marks nothing",
  (fixture) => {
    const { aio, file } = fixture;
    const messages: string[] = [];
    aio.attachInjectionPoint("aio-before-reclaim", () => {
      messages.push(assertThrows(() => aio.closingFd(file.fd), AioApiError).message);
    });
    aio.waitSync(startRead(fixture).ref);
    assertEquals(messages.length, 1);
    aio.detachInjectionPoint("aio-before-reclaim");
    assertEquals(file.readAtSync(new Uint8Array(8), 0), 8);
  },
);
