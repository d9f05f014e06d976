/**
 * wait_event_test.ts: what a thread is blocked in, as another thread sees it. The main thread
 * looks, a Worker is blocked, and each test ends by letting it go on.
 */

import { assert, assertEquals } from "@std/assert";
import { closeSync, openSync as openDescriptor } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { backendOf } from "../../../core/inside.ts";
import { writeIovec } from "../../../core/io/operation.ts";
import {
  OP_READV,
  OP_WRITEV,
  OPERATIONS,
  STARTED_NAMES,
} from "../../../core/io/operation_table.ts";
import { BACKEND, HANDLE } from "../../../core/memory/shared_memory.ts";
import {
  WAIT_EVENT_NAMES,
  WAIT_IO_COMPLETION,
  type WaitEvent,
  waitEventOf,
} from "../../../core/io/wait_event.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { AttachedWorker, shareThread } from "../../support/threads/attached.ts";
import { fileContent, type Fixture, openHeld, openSync, startRead } from "../../support/core.ts";
import { HeldMethod } from "../../support/held_method.ts";
import { hangs, untilDead } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";

const startWorker = shareThread();

const LOOKS = 20;
const MIB = 1024 * 1024;
/** A transfer of so many bytes takes a few milliseconds, so that a look falls into it. */
const LONG_BYTES = 8 * MIB;

function waitEventIn({ aio }: Fixture, id: number): WaitEvent | null {
  const row = aio.backends().find(({ backendId }) => backendId === id);
  assert(row !== undefined, `Backend ${id} has no row`);
  return row.waitEvent;
}

/** Looks until the Worker is blocked in something. @returns what; null if it never is */
async function whatBlocks(fixture: Fixture): Promise<WaitEvent | null> {
  for (const isHanging = hangs();;) {
    const event = waitEventIn(fixture, 1);
    if (event !== null || isHanging()) return event;
    await setImmediate();
  }
}

/** Claims an IO for this thread, so that no other one completes it. */
function keep({ aio }: Fixture, ref: WaitRef): void {
  assert(backendOf(aio).claim(backendOf(aio).handleOf(ref.index)));
}

// --- waiting for IO ---

Deno.test("held: a thread that waits for another one's staged IO is in AioIoSubmit", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  aio.enterBatchmode();
  const { ref, view } = startRead(fixture, 7);
  const waited = worker.ask({ what: "waitSync", ref });
  const events = [waitEventIn(fixture, 0), await whatBlocks(fixture)];
  aio.exitBatchmode();
  await waited; // Once it is submitted, its waiter can execute it.
  assertEquals(events, [null, "AioIoSubmit"]);
  assertEquals(waitEventIn(fixture, 1), null);
  assertEquals(view, fileContent(7, view.length));
});

Deno.test("held: a thread that waits for another one's submitted IO is in AioIoCompletion", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await using worker = await startWorker(aio, file);
  const { ref } = startRead(fixture);
  keep(fixture, ref);
  const waited = worker.ask({ what: "waitSync", ref });
  const event = await whatBlocks(fixture);
  held.perform(aio, ref);
  await waited;
  assertEquals(event, "AioIoCompletion");
  assertEquals(waitEventIn(fixture, 1), null);
});

Deno.test("held: a thread that waits for its own IO is in AioIoCompletion in its method", async () => {
  const seen: (WaitEvent | null)[] = [];
  const held = new HeldMethod({
    onWaitOne(backend, handle) {
      seen.push(waitEventIn(fixture, 0));
      backend.processCompletion(handle, handle.length);
    },
  });
  await using fixture: Fixture = await openHeld({}, held);
  fixture.aio.waitSync(startRead(fixture).ref);
  assertEquals(seen, ["AioIoCompletion"]);
  assertEquals(waitEventIn(fixture, 0), null);
});

Deno.test("held: a thread that has no handle left is in AioIoCompletion", async () => {
  await using fixture = await openHeld({ maxConcurrency: 2 });
  const { aio, file, held } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  const refs = [
    await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 }),
    await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 }),
  ] as const;
  for (const ref of refs) keep(fixture, ref);
  const acquired = worker.ask<WaitRef>({ what: "acquire" });
  const event = await whatBlocks(fixture);
  held.perform(aio, refs[1]);
  assertEquals((await acquired).index, refs[1].index);
  assertEquals([event, waitEventIn(fixture, 1)], ["AioIoCompletion", null]);
  held.perform(aio, refs[0]);
  // The Worker holds a handle, so it would refuse to close.
  worker.terminate();
});

Deno.test("held: a thread that awaits is not blocked", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await using worker = await startWorker(aio, file);
  const { ref } = startRead(fixture);
  keep(fixture, ref);
  const awaited = worker.ask({ what: "await", ref });
  // It sleeps 1 ms at a time, as it looks for another thread's IO itself. Look at several sleeps.
  for (let look = 0; look < LOOKS; look++) {
    assertEquals(waitEventIn(fixture, 1), null);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  held.perform(aio, ref);
  await awaited;
});

// --- in the system ---

/** Has the Worker execute long IOs, until this thread has seen it in one. */
async function untilSeenIn(
  fixture: Fixture,
  worker: AttachedWorker,
  fd: number,
  operation: number,
): Promise<Set<WaitEvent | null>> {
  const { aio } = fixture;
  const { control } = backendOf(aio);
  const view = aio.alloc(LONG_BYTES);
  const seen = new Set<WaitEvent | null>();
  for (const isHanging = hangs(); !isHanging();) {
    const ref = await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 1 });
    const base = control.handleAt(ref.index);
    control.words[base + HANDLE.fd] = fd;
    control.words[base + HANDLE.operation] = operation;
    control.words[base + HANDLE.length] = LONG_BYTES;
    const address = backendOf(aio).memory.addressOf(view);
    writeIovec(control.words, control.iovecAt(ref.index), address, LONG_BYTES);
    let isOver = false;
    const performed = worker.ask({ what: "perform", ref }).then(() => isOver = true);
    while (!isOver) {
      seen.add(waitEventIn(fixture, 1));
      await setImmediate();
    }
    await performed;
    if (seen.size > 1) break;
  }
  return seen;
}

// A pipe would block for certain, but has no positions to read at.
Deno.test({
  name: "held: a thread that executes a read is in DataFileRead",
  ignore: Deno.build.os === "windows",
  async fn() {
    await using fixture = await openHeld({ arenaBytes: 16 * MIB });
    await using worker = await startWorker(fixture.aio, fixture.file);
    const fd = openDescriptor("/dev/urandom", "r");
    try {
      const seen = await untilSeenIn(fixture, worker, fd, OP_READV);
      assertEquals(seen, new Set([null, "DataFileRead"]));
    } finally {
      closeSync(fd);
    }
    assertEquals(waitEventIn(fixture, 1), null);
  },
});

Deno.test("held: a thread that executes a write is in DataFileWrite", async () => {
  await using dir = await tempDir();
  await using fixture = await openHeld({ arenaBytes: 16 * MIB });
  await using worker = await startWorker(fixture.aio, fixture.file);
  const fd = openDescriptor(dir.join("written"), "w");
  try {
    const seen = await untilSeenIn(fixture, worker, fd, OP_WRITEV);
    assertEquals(seen, new Set([null, "DataFileWrite"]));
  } finally {
    closeSync(fd);
  }
  assertEquals(waitEventIn(fixture, 1), null);
});

Deno.test("waitEventOf() an operation is the event of its row", () => {
  const events = STARTED_NAMES.map((name) => WAIT_EVENT_NAMES[waitEventOf(OPERATIONS[name].code)]);
  assertEquals(events, STARTED_NAMES.map((name) => OPERATIONS[name].waitEvent));
});

// --- running ---

Deno.test("sync: a thread that runs is blocked in nothing, before, between and after IO", async () => {
  await using fixture = await openSync();
  const { aio, file } = fixture;
  const seen: (WaitEvent | null)[] = [];
  const look = () => void seen.push(waitEventIn(fixture, 0));
  aio.attachInjectionPoint("aio-after-staging", look);
  aio.attachInjectionPoint("aio-process-completion-before-shared", look);
  aio.attachInjectionPoint("aio-before-reclaim", look);
  startRead(fixture);
  file.syncSync();
  file.writeAtSync(aio.alloc(10), 0);
  look();
  assertEquals(seen, new Array(10).fill(null));
});

Deno.test("held: a thread in the slot of one that died in a wait is blocked in nothing", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  const { control, libc } = backendOf(aio);
  await using worker = await AttachedWorker.start(aio, file);
  const { threadId } = aio.backends()[1]!;
  worker.terminate();
  await untilDead(libc, threadId);
  // Deno ends no thread that is blocked, so what one leaves behind is put there.
  control.words[control.backendAt(1) + BACKEND.waitEvent] = WAIT_IO_COMPLETION;
  assertEquals(waitEventIn(fixture, 1), "AioIoCompletion");
  aio.reapBackend(1);
  await using _next = await AttachedWorker.start(aio, file);
  assertEquals(waitEventIn(fixture, 1), null);
});
