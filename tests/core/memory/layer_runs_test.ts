/**
 * layer_runs_test.ts: memory of the arena that belongs to a layer: where it lies, and which threads
 * find and free it.
 */

import { assertEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { Arena } from "../../../core/memory/arena.ts";
import { RUN_MAKING } from "../../../core/memory/arena_pages.ts";
import { type ArenaRun, freeEnded, LayerRuns } from "../../../core/memory/layer_runs.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import { AioInvariantError } from "../../../core/base/assert.ts";
import { type Fixture, openSync } from "../../support/core.ts";
import { testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";
import { LayerThread } from "../../support/layers/layer_thread.ts";
import { hooks, hosts, spyLayer } from "../../support/layers/spy_layer.ts";
import { withPrng } from "../../support/prng.ts";
import { Turns } from "../../support/turns.ts";

const PAGE = 4096;
const LAYER = 5;

function runsOf(runs: LayerRuns): ArenaRun[] {
  const found: ArenaRun[] = [];
  runs.each((run) => found.push(run));
  return found;
}

function layerRuns(fixture: Fixture, layer = LAYER): LayerRuns {
  return new LayerRuns(backendOf(fixture.aio).arena, layer);
}

function take(runs: LayerRuns, pages: number): ArenaRun {
  return runs.tryTake(pages * PAGE, () => {})!;
}

/** The arena as the thread of another backend sees it. */
function arenaOf({ aio }: Fixture, backendId: number): Arena {
  const { arena, control } = backendOf(aio);
  return new Arena(control, arena.buffer, arena.address, backendId, -1);
}

testSharedCores(
  "layer runs come from the top of the arena, users' runs from the bottom",
  ({ aio }) => {
    const { arena } = backendOf(aio);
    const runs = new LayerRuns(arena, LAYER);
    const [first, second] = [take(runs, 3), take(runs, 1)];
    assertEquals(first, { offset: arena.bytes - 3 * PAGE, bytes: 3 * PAGE });
    assertEquals(second, { offset: arena.bytes - 4 * PAGE, bytes: PAGE });
    const view = aio.alloc(PAGE);
    assertEquals(view.byteOffset, 0);
    for (const run of [first, second]) runs.giveBack(run);
  },
);

testSharedCores(
  "layer runs take the highest pages that fit, over random steps",
  async ({ aio }) => {
    await withPrng((prng) => {
      const { arena } = backendOf(aio);
      const runs = new LayerRuns(arena, LAYER);
      const pages = arena.pages.count;
      const taken = new Array<boolean>(pages).fill(false);
      const held: ArenaRun[] = [];
      const fill = ({ offset, bytes }: ArenaRun, isTaken: boolean) =>
        taken.fill(isTaken, offset / PAGE, (offset + bytes) / PAGE);
      for (let step = 0; step < 300; step++) {
        if (held.length > 0 && prng.chance(1, 2)) {
          const [run] = held.splice(prng.below(held.length), 1);
          assertEquals(runs.giveBack(run!), true);
          fill(run!, false);
          continue;
        }
        const count = prng.between(1, pages / 4);
        let start = pages - count;
        while (start >= 0 && taken.slice(start, start + count).includes(true)) start--;
        const run = runs.tryTake(count * PAGE - prng.below(PAGE), () => {});
        assertEquals(run?.offset ?? -PAGE, start * PAGE);
        if (run === null) continue;
        held.push(run);
        fill(run, true);
      }
      for (const run of held) runs.giveBack(run);
      assertEquals(arena.freeBytes, arena.bytes);
    });
  },
);

testSharedCores("layer runs are found by every thread once they are initialised", (fixture) => {
  const runs = layerRuns(fixture);
  const others = new LayerRuns(arenaOf(fixture, 1), LAYER);
  const found: ArenaRun[][] = [];
  const run = runs.tryTake(PAGE, () => found.push(runsOf(others)))!;
  assertEquals([found, runsOf(others)], [[[]], [run]]);
  assertEquals(others.giveBack(run), true);
});

testSharedCores("layer runs of another layer are not found, nor given back", (fixture) => {
  const [runs, others] = [layerRuns(fixture), layerRuns(fixture, LAYER + 1)];
  const run = take(runs, 2);
  assertEquals([runsOf(others), others.giveBack(run)], [[], false]);
  assertEquals([runsOf(runs), runs.giveBack(run)], [[run], true]);
});

testSharedCores("tryTake() of more than is free returns null", (fixture) => {
  const runs = layerRuns(fixture);
  const { pages } = backendOf(fixture.aio).arena;
  const most = take(runs, pages.count - 1);
  for (const count of [2, pages.count, pages.count + 1]) {
    assertEquals(runs.tryTake(count * PAGE, () => assertEquals("called", "not called")), null);
  }
  assertEquals(runs.giveBack(most), true);
});

testSharedCores("tryTake() whose init throws leaves the memory free", (fixture) => {
  const runs = layerRuns(fixture);
  const init = () => {
    throw new Error("not today");
  };
  assertThrows(() => runs.tryTake(PAGE, init), Error, "not today");
  const { arena } = backendOf(fixture.aio);
  assertEquals([runsOf(runs), arena.freeBytes], [[], arena.bytes]);
});

testSharedCores("tryTake() in a thread that is no backend is refused", (fixture) => {
  const { maxBackends } = fixture.aio.options;
  const runs = new LayerRuns(arenaOf(fixture, maxBackends), LAYER);
  assertThrows(() => runs.tryTake(PAGE, () => {}), AioInvariantError, "A helper takes a run");
});

testSharedCores(
  "aio.free() of a layer's run is refused, whatever the run is about to be",
  (fixture) => {
    const { aio } = fixture;
    const { arena } = backendOf(aio);
    const runs = layerRuns(fixture);
    const refuse = ({ offset, bytes }: ArenaRun) => {
      const view = new Uint8Array(arena.buffer, offset, bytes);
      assertThrows(() => aio.free(view), TypeError, "nothing was allocated there");
    };
    const run = runs.tryTake(PAGE, refuse)!;
    refuse(run);
    whileReaping(fixture, () => {
      runs.giveBack(run);
      refuse(run);
    });
  },
);

testSharedCores("a layer's run is not given back with what a dead thread had", (fixture) => {
  const other = arenaOf(fixture, 1);
  const runs = new LayerRuns(other, LAYER);
  const run = take(runs, 2);
  other.tryTake(PAGE, "user");
  other.giveBackAllOf(1);
  assertEquals([runsOf(runs), other.freeBytes], [[run], other.bytes - 2 * PAGE]);
  runs.giveBack(run);
});

testSharedCores("a run whose thread dies before it is a layer's is given back", (fixture) => {
  const other = arenaOf(fixture, 1);
  other.pages.tryTakeHighest(RUN_MAKING, 1, 3);
  assertEquals(other.freeBytes, other.bytes - 3 * PAGE);
  other.giveBackAllOf(1);
  assertEquals(other.freeBytes, other.bytes);
});

testSharedCores("giveBack() frees at once, and once", (fixture) => {
  const { arena } = backendOf(fixture.aio);
  const runs = layerRuns(fixture);
  const run = take(runs, 2);
  assertEquals([runs.giveBack(run), arena.freeBytes], [true, arena.bytes]);
  assertEquals(runs.giveBack(run), false);
});

testSharedCores("giveBack() while a handle has the memory is refused", (fixture) => {
  const { aio } = fixture;
  const { arena } = backendOf(aio);
  const runs = layerRuns(fixture);
  const run = take(runs, 2);
  const handle = aio.acquire();
  handle.setIovec(new Uint8Array(arena.buffer, run.offset + PAGE, PAGE));
  const error = assertThrows(() => runs.giveBack(run), Deno.errors.Busy);
  assertEquals(
    error.message,
    `Cannot give back the run at byte ${run.offset} of the arena while an IO uses it: ` +
      "wait for the IO first",
  );
  assertEquals(runsOf(runs), [run]);
  handle.release();
  assertEquals(runs.giveBack(run), true);
});

/** As if a thread were reaping the slot 1. */
function whileReaping({ aio }: Fixture, use: () => void): void {
  const { control, arena } = backendOf(aio);
  const at = control.backendAt(1) + BACKEND.threadId;
  Atomics.store(control.words, at, -1);
  try {
    use();
  } finally {
    Atomics.store(control.words, at, 0);
    freeEnded(arena);
  }
}

testSharedCores(
  "giveBack() while a thread reaps leaves the pages taken until it has",
  (fixture) => {
    const { arena } = backendOf(fixture.aio);
    const runs = layerRuns(fixture);
    const run = take(runs, 2);
    whileReaping(fixture, () => {
      assertEquals(runs.giveBack(run), true);
      assertEquals([runsOf(runs), runs.giveBack(run)], [[], false]);
      freeEnded(arena);
      assertEquals(arena.freeBytes, arena.bytes - 2 * PAGE);
    });
    assertEquals(arena.freeBytes, arena.bytes);
  },
);

Deno.test("sync: a layer's run may end with an arena of 4 GiB", async () => {
  await using fixture = await openSync({ arenaBytes: 4 * 1024 ** 3 });
  const { arena } = backendOf(fixture.aio);
  const runs = new LayerRuns(arena, LAYER);
  const run = runs.tryTake(PAGE, ({ offset, bytes }) => {
    arena.words[(offset + bytes) / Int32Array.BYTES_PER_ELEMENT - 1] = 77;
  })!;
  assertEquals([run.offset + run.bytes, arena.words.at(-1)], [4 * 1024 ** 3, 77]);
  assertEquals(runs.giveBack(run), true);
});

const turns = new Turns(2);

testEachCoreMethod("a layer's run outlives the thread that took it", async (test) => {
  await using fixture = await test.open({}, [spyLayer]);
  const { aio, file } = fixture;
  const { arena, runs } = hosts.at(-1)!;
  const free = arena.freeBytes;
  await using thread = await LayerThread.start(aio, file, [spyLayer]);
  const offset = await thread.ask<number>({ what: "takeRun", bytes: PAGE, mark: 77 });
  await thread.ask({ what: "alloc" });
  await thread.die(aio);
  aio.reapBackend(1);
  assertEquals(runsOf(runs), [{ offset, bytes: PAGE }]);
  assertEquals(arena.words[offset / Int32Array.BYTES_PER_ELEMENT], 77);
  assertEquals(arena.freeBytes, free - PAGE);
  assertEquals(runs.giveBack({ offset, bytes: PAGE }), true);
}, { turns });

testEachCoreMethod(
  "a run that a layer gives back for a dead thread is free when that is reaped",
  async (test) => {
    await using fixture = await test.open({}, [spyLayer]);
    const { aio, file } = fixture;
    const { arena } = hosts.at(-1)!;
    const free = arena.freeBytes;
    await using thread = await LayerThread.start(aio, file, [spyLayer]);
    await thread.ask({ what: "takeRun", bytes: PAGE, mark: 1 });
    await thread.die(aio);
    const during: number[] = [];
    hooks.reapBackend = ({ arena, runs }) => {
      runs.each((run) => runs.giveBack(run));
      during.push(arena.freeBytes);
    };
    aio.reapBackend(1);
    hooks.reapBackend = undefined;
    assertEquals([during, arena.freeBytes], [[free - PAGE], free]);
  },
  { turns },
);
