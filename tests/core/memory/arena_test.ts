/**
 * arena_test.ts: the arena's runs of pages: first fit, misuse of free, and random use against a
 * model.
 */

import { assertEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { Arena } from "../../../core/memory/arena.ts";
import { replace } from "../../support/bells/bells.ts";
import { openHeld, openSync, startRead, wrong } from "../../support/core.ts";
import { withPrng } from "../../support/prng.ts";

const PAGE = 4096;
/** The first of some thread ids. */
const THREAD = 1000;

Deno.test("sync: the arena hands out the lowest run that fits, page-aligned", async () => {
  await using fixture = await openSync();
  const { aio } = fixture;
  const views = [1, PAGE, PAGE + 1, 1].map((bytes) => aio.alloc(bytes));
  assertEquals(views.map((view) => view.byteOffset), [0, PAGE, 2 * PAGE, 4 * PAGE]);
  assertEquals(views.map((view) => view.byteLength), [1, PAGE, PAGE + 1, 1]);
  aio.free(views[0]!);
  aio.free(views[1]!);
  assertEquals(aio.alloc(3 * PAGE).byteOffset, 5 * PAGE);
  assertEquals(aio.alloc(2 * PAGE).byteOffset, 0);
});

Deno.test("sync: the arena can be used to its last byte, and again", async () => {
  await using fixture = await openSync({ arenaBytes: 8 * PAGE });
  const { aio } = fixture;
  for (let round = 0; round < 3; round++) {
    const views = Array.from({ length: 8 }, () => aio.alloc(PAGE));
    assertEquals(backendOf(aio).arena.freeBytes, 0);
    assertThrows(() => aio.alloc(1), Deno.errors.Busy, "arenaBytes");
    for (const view of views) aio.free(view);
    assertEquals(backendOf(aio).arena.freeBytes, 8 * PAGE);
  }
  aio.free(aio.alloc(8 * PAGE));
});

const NOTHING_THERE = "nothing was allocated there, or it was freed before";

Deno.test("sync: aio.free() twice is refused", async () => {
  await using fixture = await openSync();
  const view = fixture.aio.alloc(PAGE);
  fixture.aio.free(view);
  const error = assertThrows(() => fixture.aio.free(view), TypeError);
  assertEquals(error.message, `Cannot free the view at byte 0 of the arena: ${NOTHING_THERE}`);
});

Deno.test("sync: aio.free() of a part inside a run is refused", async () => {
  await using fixture = await openSync();
  const view = fixture.aio.alloc(3 * PAGE);
  for (const at of [1, PAGE, 2 * PAGE]) {
    assertThrows(() => fixture.aio.free(view.subarray(at)), TypeError, NOTHING_THERE);
  }
  fixture.aio.free(view);
});

Deno.test("sync: aio.free() of another aio's memory, plain memory, or no view is refused", async () => {
  await using fixture = await openSync();
  await using other = await openSync();
  for (const view of [other.aio.alloc(1), new Uint8Array(PAGE)]) {
    const error = assertThrows(() => fixture.aio.free(view), TypeError);
    assertEquals(
      error.message,
      "Cannot free a view of other memory: pass the Uint8Array that alloc() of this aio returned",
    );
  }
  for (const [value, shown] of [[null, "null"], [0, "0"], [new Int32Array(1), "a Int32Array"]]) {
    const error = assertThrows(() => fixture.aio.free(wrong<Uint8Array>(value)), TypeError);
    assertEquals(
      error.message,
      `Cannot free ${shown}: pass the Uint8Array that aio.alloc() returned`,
    );
  }
});

Deno.test("held: aio.free() of memory in flight is refused until the IO is done", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const spare = aio.alloc(PAGE);
  const { ref, view } = startRead(fixture);
  const error = assertThrows(() => aio.free(view), Deno.errors.Busy);
  assertEquals(
    error.message,
    `Cannot free the view at byte ${view.byteOffset} of the arena while an IO uses it: ` +
      "wait for the IO first",
  );
  aio.free(spare);
  held.perform(aio, ref);
  aio.free(view);
});

Deno.test("sync: aio.free() of memory set on a handle in hand is refused", async () => {
  await using fixture = await openSync();
  const { aio } = fixture;
  const view = aio.alloc(3 * PAGE);
  const handle = aio.acquire();
  handle.setIovec(view.subarray(2 * PAGE));
  assertThrows(() => aio.free(view), Deno.errors.Busy, "while an IO uses it");
  handle.release();
  aio.free(view);
});

/** A run of backend 1, and what becomes of its page while this thread is about to free it. */
async function meanwhile(
  use: (arena: Arena, view: Uint8Array<SharedArrayBuffer>) => void,
): Promise<void> {
  await using fixture = await openSync();
  const { arena, control } = backendOf(fixture.aio);
  const arenaOf = (id: number) => new Arena(control, arena.buffer, arena.address, id, THREAD + id);
  const view = arenaOf(1).tryTake(PAGE, "user")!;
  const isInUse = arena.isInUse.bind(arena);
  using _other = replace(arena, "isInUse", (offset, bytes) => {
    // Another thread, to which it was posted, frees it, and a third one gets the page.
    arenaOf(2).free(view);
    assertEquals(arenaOf(3).tryTake(2 * PAGE, "user")!.byteOffset, view.byteOffset);
    return isInUse(offset, bytes);
  });
  use(arena, view);
  assertEquals(arena.bytes - arena.freeBytes, 2 * PAGE);
}

Deno.test("sync: a run of a dead thread that another one frees meanwhile is freed once", async () => {
  await meanwhile((arena) => arena.giveBackAllOf(1));
});

Deno.test("sync: aio.free() of memory that another thread frees meanwhile is refused", async () => {
  await meanwhile((arena, view) => {
    assertThrows(() => arena.free(view), TypeError, NOTHING_THERE);
  });
});

Deno.test("sync: the arena does what a model of pages does, over random steps", async () => {
  await withPrng(async (prng) => {
    await using fixture = await openSync({ arenaBytes: 32 * PAGE });
    const { arena } = backendOf(fixture.aio);
    const taken = new Array<boolean>(32).fill(false);
    const runs: Uint8Array[] = [];
    const pagesOf = (view: Uint8Array) => Math.ceil(view.byteLength / PAGE);
    for (let step = 0; step < 3000; step++) {
      if (runs.length > 0 && prng.chance(1, 2)) {
        const [view] = runs.splice(prng.below(runs.length), 1);
        fixture.aio.free(view!);
        taken.fill(false, view!.byteOffset / PAGE, view!.byteOffset / PAGE + pagesOf(view!));
      } else {
        const bytes = prng.between(1, 6 * PAGE);
        const pages = Math.ceil(bytes / PAGE);
        const starts = taken.findIndex((_, i) =>
          i + pages <= 32 && taken.slice(i, i + pages).every((isTaken) => !isTaken)
        );
        const view = arena.tryTake(bytes, "user");
        assertEquals(view === null ? -1 : view.byteOffset / PAGE, starts);
        if (view === null) continue;
        runs.push(view);
        taken.fill(true, starts, starts + pages);
      }
      assertEquals(arena.freeBytes, taken.filter((isTaken) => !isTaken).length * PAGE);
    }
  });
});
