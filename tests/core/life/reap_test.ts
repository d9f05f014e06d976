/**
 * reap_test.ts: threads end without `close()`, each while it holds something else, and their
 * remains are reaped.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { tryReapRest, tryTakeOver } from "../../../core/life/reap.ts";
import { claimantOf, releaseClaim, tryClaim } from "../../../core/memory/claim.ts";
import { BACKEND, HANDLE } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { replace } from "../../support/bells/bells.ts";
import { AttachedWorker, shareThread } from "../../support/threads/attached.ts";
import { fileContent, type Fixture, openHeld } from "../../support/core.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { settles, until, untilDead } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";
import { ONE_WORKER } from "../../support/workers/worker_pool.ts";

const startWorker = shareThread();
/** More than the system gives out. */
const OTHER_REAPER = 0x7fff_fffe;

/** What the Worker holds when it ends. */
const HOLDINGS = ["nothing", "handle", "staged", "submitted"] as const;
type Holding = typeof HOLDINGS[number];

function hold(worker: AttachedWorker, holding: Holding): Promise<WaitRef | null> {
  switch (holding) {
    case "nothing":
      return Promise.resolve(null);
    case "handle":
      return worker.ask<WaitRef>({ what: "acquire" });
    case "staged":
      return worker.ask<WaitRef>({ what: "stage", offset: 5, bytes: 100 });
    case "submitted":
      return worker.ask<WaitRef>({ what: "read", offset: 5, bytes: 100 });
  }
}

function threadOf({ aio }: Pick<Fixture, "aio">, id: number): number {
  const { control } = backendOf(aio);
  return Atomics.load(control.words, control.backendAt(id) + BACKEND.threadId);
}

for (const holding of HOLDINGS) {
  for (const ending of ["terminate", "selfClose"] as const) {
    Deno.test(`held: reapBackend() after ${ending} holding ${holding} frees all`, async () => {
      await using fixture = await openHeld();
      const { aio, file } = fixture;
      const { arena, files, control } = backendOf(aio);
      const free = arena.freeBytes;
      await using worker = await AttachedWorker.start(aio, file);
      const threadId = threadOf(fixture, 1);
      await hold(worker, holding);
      assertThrows(() => aio.reapBackend(1), AioApiError, "its thread still runs");
      if (ending === "terminate") worker.terminate();
      else worker.end();
      await untilDead(backendOf(aio).libc, threadId);
      aio.reapBackend(1);
      assertEquals([threadOf(fixture, 1), arena.freeBytes, files.count], [0, free, 1]);
      assertEquals(aio.ios(), []);
      assertEquals(control.words[control.backendAt(1) + BACKEND.doorbell], 0);
      assertThrows(() => aio.reapBackend(1), AioApiError, "no thread is attached there");
      // The next thread can use the slot.
      await using next = await startWorker(aio, file);
      const ref = await next.ask<WaitRef>({ what: "read", offset: 5, bytes: 100 });
      aio.waitSync(ref);
      assertEquals(await next.ask({ what: "seen", ref }), fileContent(5, 100));
    });
  }
}

for (const holding of ["staged", "submitted"] as const) {
  Deno.test(`held: awaiting a ${holding} IO of a thread that died ends by itself`, async () => {
    await using fixture = await openHeld();
    const { aio, file } = fixture;
    await using worker = await AttachedWorker.start(aio, file);
    const ref = await hold(worker, holding);
    const awaited = aio.wait(ref!);
    worker.terminate();
    assert(await settles(awaited));
    await awaited;
    assertEquals(threadOf(fixture, 1), 0);
  });
}

Deno.test("held: waitSync() of a staged IO of a thread that died ends by itself", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  const ref = await hold(worker, "staged");
  const threadId = threadOf(fixture, 1);
  worker.terminate();
  await untilDead(backendOf(aio).libc, threadId);
  aio.waitSync(ref!);
  assertEquals(threadOf(fixture, 1), 0);
});

Deno.test("held: reapBackend() refuses itself, free slots and numbers that are none", async () => {
  await using fixture = await openHeld();
  const { aio } = fixture;
  assertThrows(() => aio.reapBackend(0), AioApiError, "its thread still runs");
  assertThrows(() => aio.reapBackend(1), AioApiError, "no thread is attached there");
  assertThrows(() => aio.reapBackend(2), RangeError, "Cannot reap backend 2: there are 0 to 1");
  assertThrows(() => aio.reapBackend(-1), RangeError, "Cannot reap backend -1");
});

Deno.test("reap: tryTakeOver() leaves a dead thread to another one that was faster", async () => {
  await using fixture = await openHeld();
  const { control } = backendOf(fixture.aio);
  const at = control.backendAt(1) + BACKEND.threadId;
  const [own, dead, faster] = [7, 8, 9];
  control.words[at] = dead;
  // Another waiter takes over between the question and its answer.
  const isThreadAlive = () => {
    control.words[at] = -faster;
    return false;
  };
  assertEquals(tryTakeOver(control, { threadId: () => own, isThreadAlive }, 1), false);
  assertEquals(control.words[at], -faster);
  control.words[at] = 0;
});

Deno.test("reap: tryTakeOver() goes on for a thread that died while it reaped", async () => {
  await using fixture = await openHeld();
  const { control } = backendOf(fixture.aio);
  const at = control.backendAt(1) + BACKEND.threadId;
  const [own, reaper] = [7, 8];
  const threads = (isAlive: boolean) => ({ threadId: () => own, isThreadAlive: () => isAlive });
  control.words[at] = -reaper;
  assertEquals(tryTakeOver(control, threads(true), 1), false);
  assertEquals(tryTakeOver(control, threads(false), 1), true);
  assertEquals(control.words[at], -own);
  assertEquals(tryTakeOver(control, threads(true), 1), true);
  control.words[at] = 0;
});

Deno.test("reap: tryTakeOver() knows a thread id that the system gave out again", async () => {
  await using fixture = await openHeld();
  const { control } = backendOf(fixture.aio);
  const at = control.backendAt(1) + BACKEND.threadId;
  const own = 7;
  control.words[at] = own;
  assertEquals(tryTakeOver(control, { threadId: () => own, isThreadAlive: () => true }, 1), true);
  control.words[at] = 0;
});

Deno.test("reap: hasDead() knows a thread id that the system gave out again", async () => {
  await using fixture = await openHeld();
  const backend = backendOf(fixture.aio);
  const { control, libc } = backend;
  const at = control.backendAt(1) + BACKEND.threadId;
  assertEquals(backend.hasDead(), false);
  control.words[at] = libc.threadId();
  assertEquals(backend.hasDead(), true);
  control.words[at] = 0;
  assertEquals(backend.hasDead(), false);
});

/** IO of a thread that died, which no reaper can end while another thread is about to. */
interface HeldUp {
  readonly ref: WaitRef;
  /** From now on it can be ended. */
  letGo(): void;
}

/** Has backend 2 die with an IO that backend 1, which lives, has claimed. */
async function holdUpReaping(aio: Aio, file: AioFile): Promise<HeldUp> {
  const { libc, control } = backendOf(aio);
  const worker = await AttachedWorker.start(aio, file);
  const threadId = threadOf({ aio }, 2);
  const ref = await worker.ask<WaitRef>({ what: "dieStaged", offset: 5, bytes: 100 });
  worker.end();
  await untilDead(libc, threadId);
  const { words } = control;
  const base = control.handleAt(ref.index);
  assert(tryClaim(words, base, 1, words[base + HANDLE.generationLow]!));
  return { ref, letGo: () => releaseClaim(words, base, 1) };
}

for (const call of ["reapDead", "reapBackend"] as const) {
  testEachMethod(
    `${call}() that cannot end a dead thread's IO yet leaves that to any other thread`,
    async (method) => {
      await using dir = await tempDir();
      await Deno.writeFile(dir.join("data"), new Uint8Array(200));
      await using aio = await openAio(method, { maxBackends: 3, workers: ONE_WORKER });
      await using file = await aio.openFile(dir.join("data"));
      await using other = await startWorker(aio, file);
      const { ref, letGo } = await holdUpReaping(aio, file);
      if (call === "reapDead") backendOf(aio).reapDead();
      else {
        // It looks a thousand times, with pauses.
        using _noPauses = replace(Atomics, "wait", () => "timed-out" as const);
        const message = "another thread is completing IO of it, try again later";
        assertThrows(() => aio.reapBackend(2), AioApiError, message);
      }
      assert(threadOf({ aio }, 2) !== 0);
      letGo();
      // This thread does not look again.
      const awaited = other.ask({ what: "await", ref });
      const isOver = await settles(awaited);
      // Without that the other thread could not end.
      if (!isOver) backendOf(aio).reapDead();
      await awaited;
      assert(isOver);
      await until(() => threadOf({ aio }, 2) === 0, "the dead thread's slot is free");
    },
  );
}

testEachMethod(
  "an IO that two dead threads leave is left to whoever has just begun to reap its claimant",
  async (method) => {
    await using dir = await tempDir();
    await Deno.writeFile(dir.join("data"), new Uint8Array(200));
    await using aio = await openAio(method, { maxBackends: 3, workers: ONE_WORKER });
    await using file = await aio.openFile(dir.join("data"));
    const backend = backendOf(aio);
    const { control, libc } = backend;
    const claimant = await AttachedWorker.start(aio, file);
    const threadId = threadOf({ aio }, 1);
    const { ref } = await holdUpReaping(aio, file);
    claimant.terminate();
    await untilDead(libc, threadId);
    const at = control.backendAt(1) + BACKEND.threadId;
    assert(tryTakeOver(control, libc, 2));
    {
      const isThreadAlive = libc.isThreadAlive.bind(libc);
      // Another thread begins between the question and its answer.
      using _reaper = replace(libc, "isThreadAlive", (asked) => {
        if (asked !== threadId) return asked === OTHER_REAPER || isThreadAlive(asked);
        Atomics.store(control.words, at, -OTHER_REAPER);
        return false;
      });
      assertEquals(tryReapRest(backend, 2), false);
      assertEquals(tryReapRest(backend, 2), false);
    }
    const { words, base } = backend.handleOf(ref.index);
    assertEquals([claimantOf(words, base), Atomics.load(control.words, at)], [1, -OTHER_REAPER]);
    // That one dies, too.
    await until(() => {
      backend.reapDead("eventLoop");
      return threadOf({ aio }, 1) === 0 && threadOf({ aio }, 2) === 0;
    }, "both are taken over from");
  },
);
