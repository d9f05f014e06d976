/**
 * death_cases.ts: the checks that death_cases_test.ts makes with each thing that a thread can be in
 * the middle of, and death_cases_long_test.ts in each way to end.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { fileContent, type Fixture, startOn } from "../core.ts";
import { type AioBelongings, aioBelongingsOf } from "../belongings.ts";
import { Mailbox } from "./death_load.ts";
import {
  type Fate,
  type Holding,
  HOLDINGS,
  MortalWorker,
  openMortal,
  untilReaped,
  type Way,
} from "./deaths.ts";

const READ_BYTES = 64;
/** Those of {@linkcode HOLDINGS} that are the same each time. */
export const CASES: readonly Holding[] = HOLDINGS.filter((holding) =>
  holding !== "attach" && holding !== "anything"
);

/** One read of the main thread, with the callback that ends other threads. */
interface OwnRead {
  readonly ref: WaitRef;
  readonly view: Uint8Array;
}

function startOwn(fixture: Fixture): OwnRead {
  const handle = fixture.aio.acquire();
  const ref = handle.waitRef();
  handle.registerCallbacks(fixture.aio.callbackId("mortal"));
  return { ref, view: startOn(fixture, handle) };
}

/** Has a Worker die that reads into a view; resolves with its IO, or null if it let go before. */
async function runDeath(fixture: Fixture, fate: Fate, view: Uint8Array): Promise<WaitRef | null> {
  const mailbox = Mailbox.make();
  const worker = new MortalWorker(fixture, fate, { mailbox, lane: 0, view });
  await worker.untilDead(backendOf(fixture.aio).libc);
  assertEquals(worker.faults, []);
  return worker.isHolding ? mailbox.read(0, 0) : null;
}

/** The same, as often as it takes. */
async function runDeathWhile(fixture: Fixture, fate: Fate, view: Uint8Array): Promise<WaitRef> {
  for (;;) {
    const ref = await runDeath(fixture, fate, view);
    if (ref !== null) return ref;
    await untilReaped(fixture);
  }
}

async function assertAllBack(fixture: Fixture, start: AioBelongings): Promise<void> {
  const { aio, file } = fixture;
  // Both locks can be taken, though a dead thread may have held them.
  aio.free(aio.alloc(READ_BYTES));
  await (await aio.openFile(file.path)).close();
  await untilReaped(fixture);
  assertEquals(aioBelongingsOf(fixture.aio), start);
}

/** Registers a test in which a thread ends in one way in the middle of something. */
export function testDeathIn(holding: Holding, way: Way): void {
  Deno.test(`held: ${way} in the middle of ${holding}: nobody hangs, nothing is lost`, async () => {
    await using fixture = await openMortal();
    const { aio } = fixture;
    const view = aio.alloc(READ_BYTES);
    const own = startOwn(fixture);
    const start = aioBelongingsOf(fixture.aio);
    const ref = await runDeathWhile(fixture, { way, holding, afterIos: 0, seed: 1 }, view);
    await aio.wait(ref);
    assertEquals(new Uint8Array(view), fileContent(0, READ_BYTES));
    aio.waitSync(own.ref);
    assertEquals(new Uint8Array(own.view), fileContent(0, own.view.length));
    await assertAllBack(fixture, { ...start, ios: 0, idleHandles: start.idleHandles + 1 });
  });
}

/** Registers a test in which a thread ends in one way while it takes over from another one. */
export function testDeathOfReaper(way: Way): void {
  Deno.test(`held: ${way} in the middle of taking over from another: a third one does`, async () => {
    await using fixture = await openMortal();
    const { aio } = fixture;
    const backend = backendOf(aio);
    const views = [aio.alloc(READ_BYTES), aio.alloc(READ_BYTES)];
    const start = aioBelongingsOf(fixture.aio);
    const { reapDead } = backend;
    backend.reapDead = () => {};
    const fate: Fate = { way, holding: "nothing", afterIos: 0, seed: 1 };
    const first = await runDeathWhile(fixture, fate, views[0]!);
    const second = await runDeath(fixture, { ...fate, holding: "reap" }, views[1]!);
    backend.reapDead = reapDead;
    for (const ref of [first, second]) await aio.wait(ref!);
    for (const view of views) assertEquals(new Uint8Array(view), fileContent(0, READ_BYTES));
    await assertAllBack(fixture, start);
  });
}
