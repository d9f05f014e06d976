/**
 * reapers_test.ts: threads die and leave what may block; the event loop of a thread that finds them
 * goes on.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";
import { testsOnFuse } from "../../support/disks/on_fuse.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { until, untilDead } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";
import { ONE_WORKER } from "../../support/workers/worker_pool.ts";
import { Turns } from "../../support/turns.ts";

const BYTES = 100;
const OPTIONS = { maxBackends: 2, workers: ONE_WORKER };
const ALL_SEVENS = new Uint8Array(BYTES).fill(7);

const testOnFuse = testsOnFuse(new Turns(4));
const turns = new Turns(2);

/** Has a thread attach, do something and die. @returns what it did */
async function runDeath<T>(
  aio: Aio,
  file: AioFile,
  act: (worker: AttachedWorker) => Promise<T>,
): Promise<T> {
  await using worker = await AttachedWorker.start(aio, file);
  const { threadId } = aio.backends()[1]!;
  const value = await act(worker);
  worker.end();
  await untilDead(backendOf(aio).libc, threadId);
  return value;
}

function dieStaged(worker: AttachedWorker): Promise<WaitRef> {
  return worker.ask<WaitRef>({ what: "dieStaged", offset: 5, bytes: BYTES });
}

/** The memory that an IO reads into; the dead thread had allocated it. */
function viewOf(aio: Aio, { index }: WaitRef): Uint8Array {
  return backendOf(aio).handleOf(index).buffers()[0]!;
}

async function someTurns(): Promise<void> {
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setTimeout(resolve, 1));
}

async function untilFree(aio: Aio): Promise<void> {
  await until(() => aio.backends().length === 1, "the dead thread's slot is free");
}

testOnFuse("wait() for slow IO of a thread that died holds up nothing", async (server, method) => {
  await using aio = await openAio(method, OPTIONS);
  await using file = await aio.openFile(server.join("file"));
  const ref = await runDeath(aio, file, dieStaged);
  const view = viewOf(aio, ref);
  await server.hold("READ");
  let isDone = false;
  const awaited = aio.wait(ref).then(() => isDone = true);
  await server.untilHeld("READ");
  await someTurns();
  assertEquals([isDone, view[0]], [false, 0]);
  await server.release("READ");
  await awaited;
  assertEquals(new Uint8Array(view), ALL_SEVENS);
  await untilFree(aio);
});

testOnFuse("the slow closing of a dead thread's file holds up nothing", async (server, method) => {
  await using dir = await tempDir();
  await Deno.writeFile(dir.join("data"), new Uint8Array(BYTES));
  await using aio = await openAio(method, OPTIONS);
  await using file = await aio.openFile(dir.join("data"));
  const path = server.join("file");
  await runDeath(aio, file, (worker) => worker.ask({ what: "openFile", path }));
  await server.hold("FLUSH");
  backendOf(aio).reapDead("eventLoop");
  await server.untilHeld("FLUSH");
  await someTurns();
  assertEquals(aio.backends().length, 2);
  await server.release("FLUSH");
  await untilFree(aio);
  assertEquals(backendOf(aio).files.count, 1);
});

testOnFuse(
  "close() waits for slow IO of a dead thread, unless it is given up",
  async (server, method) => {
    await using aio = await openAio(method, OPTIONS);
    const file = await aio.openFile(server.join("file"));
    await runDeath(aio, file, dieStaged);
    await server.hold("READ");
    const controller = new AbortController();
    const given = assertRejects(() => aio.close({ signal: controller.signal }), Error, "enough");
    await server.untilHeld("READ");
    await someTurns();
    controller.abort(new Error("enough"));
    await given;
    await server.release("READ");
    await aio.close();
  },
);

testOnFuse(
  "attach() in the place of a dead thread with slow IO holds up nothing",
  async (server, method) => {
    await using aio = await openAio(method, OPTIONS);
    await using file = await aio.openFile(server.join("file"));
    await runDeath(aio, file, dieStaged);
    await server.hold("READ");
    await using next = AttachedWorker.startBare();
    const attached = next.ask({ what: "attach", token: aio.token, file: file.token });
    await server.untilHeld("READ");
    // Its event loop answers, if only that it has no Aio yet.
    await assertRejects(() => next.ask({ what: "submit" }), Error, "TypeError");
    await server.release("READ");
    assertEquals(await attached, 1);
  },
);

testEachMethod(
  "wait() for IO of a thread whose number this one got ends",
  async (method) => {
    await using dir = await tempDir();
    await Deno.writeFile(dir.join("data"), new Uint8Array(2 * BYTES).fill(7));
    await using aio = await openAio(method, OPTIONS);
    await using file = await aio.openFile(dir.join("data"));
    const ref = await runDeath(aio, file, dieStaged);
    const { control, libc } = backendOf(aio);
    control.words[control.backendAt(1) + BACKEND.threadId] = libc.threadId();
    await aio.wait(ref);
    await untilFree(aio);
  },
  true,
  turns,
);

testEachMethod(
  "waitSync() for IO that a reaper is at needs no event loop",
  async (method) => {
    await using dir = await tempDir();
    await Deno.writeFile(dir.join("data"), new Uint8Array(2 * BYTES).fill(7));
    await using aio = await openAio(method, OPTIONS);
    await using file = await aio.openFile(dir.join("data"));
    const ref = await runDeath(aio, file, dieStaged);
    const view = viewOf(aio, ref);
    backendOf(aio).reapDead("eventLoop");
    aio.waitSync(ref);
    assertEquals(new Uint8Array(view), ALL_SEVENS);
    await untilFree(aio);
  },
  true,
  turns,
);
