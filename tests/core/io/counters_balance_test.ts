/**
 * counters_balance_test.ts: what is started, completed and in flight stays in balance, whatever
 * threads do and however they end.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { EAGAIN, EINTR } from "../../../ffi/errno.ts";
import { AttachedWorker, shareThread } from "../../support/threads/attached.ts";
import { FILE_BYTES, type Fixture, openHeld, openSync } from "../../support/core.ts";
import { untilDead } from "../../support/patience.ts";
import { type Prng, withPrng } from "../../support/prng.ts";
import { allOf, counted } from "../../support/counted.ts";

const startWorker = shareThread();

const EIO = 5;
const OPENERS = { sync: openSync, held: openHeld };

for (const ending of ["close", "terminate"] as const) {
  Deno.test(`held: a thread in the slot of one that ended by ${ending} starts at zero`, async () => {
    await using fixture = await openHeld();
    const { aio, file, held } = fixture;
    await using worker = await AttachedWorker.start(aio, file);
    const ref = await worker.ask<WaitRef>({ what: "read", offset: 0, bytes: 10 });
    held.perform(aio, ref);
    await worker.ask({ what: "await", ref });
    assertEquals(allOf(fixture, 1).started, 1);
    const { threadId } = aio.backends()[1]!;
    if (ending === "close") {
      await worker.ask({ what: "close" });
    } else {
      worker.terminate();
      await untilDead(backendOf(fixture.aio).libc, threadId);
      assertEquals(allOf(fixture, 1).started, 1);
      aio.reapBackend(1);
    }
    await using _next = await startWorker(aio, file);
    assertEquals(counted(fixture, 1), {});
    assertEquals(counted(fixture, 0), { completedForOthers: 1 });
  });
}

// --- what always holds ---

/** Every started IO is over, or has a row in `ios()`. */
function assertBalanced(fixture: Fixture, step: string): void {
  const rows = fixture.aio.ios().filter(({ state }) => state !== "HANDED_OUT");
  for (const { backendId, counters } of fixture.aio.backends()) {
    const seen = rows.filter((row) => row.backendId === backendId).length;
    const { started, completedBySelf, completedByOthers } = counters;
    assertEquals(started, completedBySelf + completedByOthers + seen, `${step} of ${backendId}`);
  }
}

/** One random step; it leaves no handle handed out. */
type Step = (random: Prng) => unknown;

function stepsOf(fixture: Fixture, worker: AttachedWorker): Record<string, Step> {
  const { aio, file, held } = fixture;
  const { control } = backendOf(aio);
  const view = aio.alloc(4096);
  const offset = (random: Prng) => random.below(FILE_BYTES);
  const start = (random: Prng) => {
    const handle = aio.tryAcquire();
    if (handle === null) return;
    handle.setIovec(view.subarray(0, random.between(1, 4096)));
    if (random.chance(1, 4)) handle.setFlag("synchronous");
    file.startReadv(handle, offset(random), {
      submit: random.chance(1, 2) ? "now" : "endOfTurn",
    });
  };
  const heldIo = (random: Prng): WaitRef | null => {
    const all = held.held(aio);
    if (all.length === 0) return null;
    const index = random.pick(all);
    return { index, generation: backendOf(aio).waiting.generationOf(control.handleAt(index)) };
  };
  return {
    start,
    batch: (random) =>
      aio.batch(() => Array.from({ length: random.between(1, 40) }, () => start(random))),
    workerStarts: (random) =>
      allOf(fixture, 1).started < 100 &&
      worker.ask({ what: "read", offset: offset(random), bytes: 100 }),
    perform(random) {
      const ref = heldIo(random);
      if (ref !== null) held.perform(aio, ref);
    },
    fail(random) {
      const ref = heldIo(random);
      if (ref !== null) held.complete(aio, ref, -random.pick([EIO, EINTR, EAGAIN]));
    },
    workerPerforms(random) {
      const ref = heldIo(random);
      return ref !== null && worker.ask({ what: "perform", ref });
    },
    workerFails(random) {
      const ref = heldIo(random);
      return ref !== null && worker.ask({ what: "complete", ref, result: -EIO });
    },
    collect: () => backendOf(aio).collect(),
    wait(random) {
      const ref = heldIo(random);
      if (ref !== null) aio.waitSync(ref);
    },
    friendly: (random) => file.readAtSync(view.subarray(0, 100), offset(random)),
    local: (random) => file.writeAtSync(new Uint8Array(10), random.below(FILE_BYTES - 10)),
    acquire: () => aio.acquire().release(),
    turn: () => Promise.resolve(),
  };
}

for (const method of ["sync", "held"] as const) {
  Deno.test(`${method}: after any mix, each started IO is over or to be seen`, async () => {
    await withPrng(async (random) => {
      await using fixture = await OPENERS[method]({ arenaBytes: 4 * 1024 * 1024 });
      const { aio, file, held } = fixture;
      await using worker = await startWorker(aio, file);
      const steps = Object.entries(stepsOf(fixture, worker));
      for (let i = 0; i < 400; i++) {
        const [name, step] = random.pick(steps);
        await step(random);
        assertBalanced(fixture, `${i}: ${name}`);
      }
      held.performAll(aio);
      backendOf(aio).collect();
      assertBalanced(fixture, "the end");
      const own = allOf(fixture, 0);
      assertEquals(own.started, own.completedBySelf + own.completedByOthers);
      assertEquals(own.completedByOthers > 0, method === "held");
    });
  });
}
