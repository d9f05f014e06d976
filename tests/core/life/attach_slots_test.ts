/**
 * attach_slots_test.ts: which slot a thread gets that attaches (one of a dead thread if no other is
 * free, with nothing left in it), and what becomes of a slot whose thread then cannot attach.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { tryClaim } from "../../../core/memory/claim.ts";
import { DEFINED, HANDED_OUT, IDLE, SUBMITTED } from "../../../core/memory/handle_state.ts";
import { BACKEND, HANDLE } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import type { AioToken } from "../../../core/memory/token.ts";
import { AttachedWorker, shareThread } from "../../support/threads/attached.ts";
import { fileContent, type Fixture, openHeld, startRead, stateOf } from "../../support/core.ts";
import { HeldMethod } from "../../support/held_method.ts";
import { untilDead } from "../../support/patience.ts";
import { LIBRARY_URL } from "../../support/program.ts";

const startWorker = shareThread();

const HANDLES = 4;
const FREE = { handedOut: 0, staged: 0, inFlight: 0, idle: HANDLES };
const HELD_METHOD_URL = import.meta.resolve("../../support/held_method.ts");

function threadIn({ aio }: Fixture, id: number): number {
  const { control } = backendOf(aio);
  return Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId);
}

async function endThread({ aio }: Fixture, worker: AttachedWorker, threadId: number) {
  worker.terminate();
  await untilDead(backendOf(aio).libc, threadId);
}

/** Has a Worker die, as it is, in slot 1. @returns its thread id */
async function leaveDead(
  fixture: Fixture,
  prepare: (worker: AttachedWorker) => Promise<unknown> = () => Promise.resolve(),
): Promise<number> {
  const worker = await AttachedWorker.start(fixture.aio, fixture.file);
  await prepare(worker);
  const threadId = threadIn(fixture, 1);
  await endThread(fixture, worker, threadId);
  return threadId;
}

function assertSlotFree(fixture: Fixture, id: number): void {
  const { handedOut, staged, inFlight, idle } = fixture.aio.backends()[id]!;
  assertEquals({ handedOut, staged, inFlight, idle }, FREE);
}

/** Reads at several offsets in the slot, which shows that all its handles work. */
async function assertWorks(fixture: Fixture, worker: AttachedWorker): Promise<void> {
  const refs: WaitRef[] = [];
  for (let i = 0; i < HANDLES; i++) {
    refs.push(await worker.ask<WaitRef>({ what: "read", offset: 7 + i, bytes: 100 }));
  }
  fixture.held.performAll(fixture.aio);
  for (const [i, ref] of refs.entries()) {
    await worker.ask({ what: "await", ref });
    assertEquals(await worker.ask({ what: "seen", ref }), fileContent(7 + i, 100));
  }
}

// --- of a thread that died ---

Deno.test("held: attach() with no slot free takes that of a thread that died, with all it had", async () => {
  await using fixture = await openHeld({ maxConcurrency: HANDLES, maxBackends: 2 });
  const { aio, file } = fixture;
  const { arena, files } = backendOf(aio);
  const free = arena.freeBytes;
  const refs: WaitRef[] = [];
  const dead = await leaveDead(fixture, async (worker) => {
    refs.push(await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 100 }));
    refs.push(await worker.ask<WaitRef>({ what: "stage", offset: 0, bytes: 100 }));
    await worker.ask<WaitRef>({ what: "acquire" });
  });
  assert(arena.freeBytes < free);
  assertEquals(threadIn(fixture, 1), dead);
  await using next = await startWorker(aio, file);
  assert(backendOf(aio).libc.isThreadAlive(threadIn(fixture, 1)));
  assertSlotFree(fixture, 1);
  assertEquals([arena.freeBytes, files.count, aio.ios()], [free, 1, []]);
  assertEquals(refs.map((ref) => aio.checkDone(ref)), [true, true]);
  await assertWorks(fixture, next);
});

Deno.test("held: attach() into the slot of a thread that died ends the waits for its IO", async () => {
  await using fixture = await openHeld({ maxConcurrency: HANDLES, maxBackends: 2 });
  const { aio, file, held } = fixture;
  const refs: WaitRef[] = [];
  await leaveDead(fixture, async (worker) => {
    refs.push(await worker.ask<WaitRef>({ what: "read", offset: 9, bytes: 100 }));
    refs.push(await worker.ask<WaitRef>({ what: "stage", offset: 9, bytes: 100 }));
  });
  const [address] = aio.ios().map(({ ioId }) => backendOf(aio).handleOf(ioId).buffers()[0]!);
  const waits = refs.map((ref) => aio.wait(ref));
  await using _next = await AttachedWorker.start(aio, file);
  await Promise.all(waits);
  // The thread that took the slot completed them.
  assertEquals(address, fileContent(9, 100));
  assertEquals(held.waits, []);
});

Deno.test("held: attach() completes what the thread that died in the slot was about to", async () => {
  await using fixture = await openHeld({ maxConcurrency: HANDLES, maxBackends: 2 });
  const { aio, file, held } = fixture;
  await leaveDead(fixture);
  const { ref, ret, view } = startRead(fixture, 11);
  const { words, base } = backendOf(aio).handleOf(ref.index);
  assert(tryClaim(words, base, 1, words[base + HANDLE.generationLow]!));
  await using _next = await startWorker(aio, file);
  assertEquals(stateOf(fixture, ref), "completedShared");
  assert(aio.checkDone(ref));
  assertEquals([ret.result.status, held.waits], ["ok", []]);
  assertEquals(view, fileContent(11, view.length));
});

/** A method that cannot end in this thread what a dead one has. */
class FailsToReap extends HeldMethod {
  reapBackend(): never {
    throw new Error("fails, as planned");
  }
}

Deno.test("held: attach() takes the slot of a dead thread whose reaper lives and has failed", async () => {
  await using fixture = await openHeld({ maxBackends: 2 }, new FailsToReap());
  const { aio, file } = fixture;
  await leaveDead(fixture);
  assertThrows(() => aio.reapBackend(1), Error, "as planned");
  await using _next = await startWorker(aio, file);
  assert(backendOf(aio).libc.isThreadAlive(threadIn(fixture, 1)));
});

Deno.test("held: attach() prefers a free slot to that of a thread that died", async () => {
  await using fixture = await openHeld({ maxConcurrency: HANDLES, maxBackends: 3 });
  const { aio, file } = fixture;
  const dead = await leaveDead(fixture);
  await using _next = await startWorker(aio, file);
  assertEquals(threadIn(fixture, 1), dead);
  assertEquals(aio.backends().map(({ backendId }) => backendId), [0, 1, 2]);
  aio.reapBackend(1);
});

Deno.test("held: attach() of several threads in turn, each after the last one died, works on", async () => {
  await using fixture = await openHeld({ maxConcurrency: HANDLES, maxBackends: 2 });
  const { aio, file } = fixture;
  const { arena } = backendOf(aio);
  const free = arena.freeBytes;
  for (let round = 0; round < 2; round++) {
    await leaveDead(fixture, (worker) => worker.ask({ what: "stage", offset: 0, bytes: 100 }));
  }
  await using next = await startWorker(aio, file);
  assertSlotFree(fixture, 1);
  assertEquals(arena.freeBytes, free);
  await assertWorks(fixture, next);
});

Deno.test("held: attach() while all slots are those of living threads is refused", async () => {
  await using fixture = await openHeld({ maxBackends: 2 });
  const { aio, file } = fixture;
  await using _worker = await startWorker(aio, file);
  await assertRejects(
    () => AttachedWorker.start(aio, file),
    Error,
    'Busy: Cannot attach while 2 threads are attached: raise the option "maxBackends"',
  );
});

// --- a thread id that the system reused ---

Deno.test("held: attach() takes a slot over that holds its own thread id", async () => {
  await using first = await openHeld();
  await using fixture = await openHeld({ maxConcurrency: HANDLES, maxBackends: 2 });
  const { aio, file } = fixture;
  const { control } = backendOf(aio);
  // The Worker attaches to another Aio first, so that its thread id is known.
  await using worker = await AttachedWorker.start(first.aio, first.file);
  const threadId = threadIn(first, 1);
  // As if a thread of the same id had died there, in the middle of things.
  Atomics.store(control.words, control.backendAt(1) + BACKEND.threadId, threadId);
  const states = [HANDED_OUT, IDLE, SUBMITTED, DEFINED];
  for (const [i, state] of states.entries()) {
    Atomics.store(control.words, control.handleAt(HANDLES + i) + HANDLE.state, state);
  }
  assertEquals(await worker.ask({ what: "attach", token: aio.token, file: file.token }), 1);
  assertEquals(threadIn(fixture, 1), threadId);
  assertSlotFree(fixture, 1);
  await assertWorks(fixture, worker);
  await worker.ask({ what: "close" });
  assertEquals(threadIn(fixture, 1), 0);
  // The Worker closed the Aio that it attached to last; it is still attached to the first.
  worker.terminate();
});

// --- a backend that cannot be made ---

/** A Worker defines other callbacks by the same names, so its table refuses them. */
const WRONG_IN_WORKERS = `
  const isWorker = "DedicatedWorkerGlobalScope" in globalThis;
  export const callbacks = { mine: isWorker ? {} : { completeShared: (_handle, prior) => prior } };`;

function moduleUrl(text: string): URL {
  return new URL(`data:application/javascript,${encodeURIComponent(text)}`);
}

/** A Worker whose method fails at its first attempts to join. */
const FAILING_WORKER = `
  import { Aio } from ${JSON.stringify(LIBRARY_URL)};
  import { HeldMethod } from ${JSON.stringify(HELD_METHOD_URL)};
  const held = new HeldMethod();
  let attempts = 0;
  held.initBackend = async () => {
    await Promise.resolve();
    if (++attempts <= 2) throw new Error("not yet: " + attempts);
  };
  self.onmessage = async ({ data }) => {
    try {
      const aio = await Aio.attach(data, {}, [held]);
      await aio.close();
      self.postMessage("attached as " + aio.backendId);
    } catch (error) {
      self.postMessage(String(error));
    }
  };`;

function ask(worker: Worker, token: AioToken): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.postMessage(token);
  return promise;
}

for (const isSlotFree of [true, false]) {
  const which = isSlotFree ? "a free slot" : "the slot of a thread that died";
  Deno.test(`held: attach() whose method fails gives ${which} back, and can be tried again`, async () => {
    await using fixture = await openHeld({ maxBackends: 2 });
    if (!isSlotFree) await leaveDead(fixture);
    const worker = new Worker(moduleUrl(FAILING_WORKER), { type: "module" });
    try {
      for (const attempt of [1, 2]) {
        const { token } = fixture.aio;
        assertEquals(await ask(worker, token), `Error: not yet: ${attempt}`);
        assertEquals([threadIn(fixture, 1), fixture.aio.backends().length], [0, 1]);
      }
      assertEquals(await ask(worker, fixture.aio.token), "attached as 1");
    } finally {
      worker.terminate();
    }
  });
}

Deno.test("held: attach() whose callbacks are refused gives its slot back", async () => {
  await using fixture = await openHeld({
    maxBackends: 2,
    callbackModules: [moduleUrl(WRONG_IN_WORKERS)],
  });
  const { aio, file } = fixture;
  const worker = AttachedWorker.startBare();
  try {
    for (let attempt = 0; attempt < 2; attempt++) {
      const attached = worker.ask({ what: "attach", token: aio.token, file: file.token });
      const refusal = 'TypeError: Cannot register callback "mine": it does not have a completion';
      await assertRejects(() => attached, Error, refusal);
      assertEquals([threadIn(fixture, 1), aio.backends().length], [0, 1]);
    }
  } finally {
    worker.terminate();
  }
});

Deno.test("held: attach() with other callbacks leaves the slot of a dead thread to others", async () => {
  await using fixture = await openHeld({ maxBackends: 2 });
  const { aio, file } = fixture;
  await leaveDead(fixture);
  const url = import.meta.resolve("../fixtures/layers.ts");
  const callbackModules = [{ url, data: undefined }];
  const token = { ...aio.token, options: { ...aio.options, callbackModules } };
  const worker = AttachedWorker.startBare();
  try {
    await assertRejects(
      () => worker.ask({ what: "attach", token, file: file.token }),
      Error,
      "Cannot attach with other callbacks",
    );
    // The slot can be reaped, though that thread lives.
    aio.reapBackend(1);
    assertEquals(threadIn(fixture, 1), 0);
  } finally {
    worker.terminate();
  }
});
