/**
 * ios_race_test.ts: each row of the view of all IOs shows a moment that existed, whatever other
 * threads write while it is read. Each check has canaries: the view must fail it without a part of
 * its protocol. More listings: ios_race_long_test.ts.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertNotEquals } from "@std/assert";
import { type IoRow, listIos } from "../../../core/views/io_rows.ts";
import { withPrng } from "../../support/prng.ts";
import { listBeside } from "./ios_beside.ts";
import { findFault, LOADS, Replay } from "./ios_replay.ts";
import { STATES } from "../../support/listed_ios.ts";
import { differences, type ListIos } from "./ios_rows.ts";

/** Listings with random writes between their reads. */
const ROUNDS = 30_000;
/** Listings beside a thread. */
const LISTINGS = 40_000;
/** A canary is found within so many rounds: the rarest takes 15 000 on average. */
const CANARY_ROUNDS = 1_000_000;
const CANARY_LISTINGS = 200_000;

// --- writes before any one of the reads ---

Deno.test("ios() shows each moment of a handle's use when nobody writes", () => {
  const replay = new Replay();
  const shown = replay.still.flatMap((text) => JSON.parse(text) as IoRow[]);
  assertEquals(new Set(shown.map(({ state }) => state)), new Set(STATES));
  for (const row of shown) assertEquals(differences(row), []);
  assertEquals(replay.still.at(-1), "[]");
});

Deno.test("ios() shows a moment that was, with writes before any one of its reads", () => {
  const replay = new Replay();
  for (let start = 0; start < replay.writes.length; start += 3) {
    for (let load = 0; load <= LOADS; load++) {
      for (const count of [1, 2, 5, 20, 30, 40]) {
        assertEquals(replay.list(listIos, start, new Map([[load, count]])), null);
      }
    }
  }
});

Deno.test("ios() shows a moment that was, with random writes between its reads", async () => {
  await withPrng((prng) => assertEquals(findFault(listIos, prng, ROUNDS), null));
});

/** The module with some of its text replaced. */
async function importChanged(changes: readonly (readonly [string, string])[]): Promise<ListIos> {
  const url = new URL("../../../core/views/io_rows.ts", import.meta.url);
  let text = await (await fetch(url)).text();
  for (const [old, by] of changes) {
    assert(text.includes(old), `core/views/io_rows.ts no longer has: ${old}`);
    text = text.replace(old, by);
  }
  text = text.replaceAll(/from "(\.[^"]+)"/g, (_, path) => `from "${new URL(path, url)}"`);
  const module = await import(`data:application/typescript,${encodeURIComponent(text)}`);
  return module.listIos;
}

const NO_GENERATION_CHECK = ["!== low) return null", "!== low) void 0"] as const;
const NO_STATE_CHECK = [
  "HANDLE.state) !== state) continue",
  "HANDLE.state) < 0) continue",
] as const;
const NO_SECOND_COPY = ["(isSeenAtEnd && isSame)", "true"] as const;
const STATE_FIRST = [
  ["const low = ", "const first = Atomics.load(words, base + HANDLE.state);\n  const low = "],
  ["const state = ", "const state = attempt === 0 ? first : "],
] as const;
const CANARIES = [
  ["the generation's check", [NO_GENERATION_CHECK]],
  ["a second copy of COMPLETED_LOCAL", [NO_SECOND_COPY]],
  ["the state's check and that copy", [NO_STATE_CHECK, NO_SECOND_COPY]],
  ["the generation read before the state", STATE_FIRST],
] as const;

for (const [what, changes] of CANARIES) {
  Deno.test(`ios() canary: without ${what} it shows a moment that never was`, async () => {
    const list = await importChanged(changes);
    await withPrng((prng) => assertNotEquals(findFault(list, prng, CANARY_ROUNDS), null));
  });
}

// --- beside a thread that works ---

Deno.test("ios() never mixes two uses of a handle, beside a thread", async () => {
  const { rows, faults } = await listBeside(listIos, LISTINGS);
  assertGreater(rows, 0);
  assertEquals(faults, []);
});

Deno.test("ios() canary: without its checks it mixes uses beside a thread", async () => {
  const list = await importChanged([NO_GENERATION_CHECK, NO_STATE_CHECK, NO_SECOND_COPY]);
  const { faults } = await listBeside(list, CANARY_LISTINGS);
  assertGreater(faults.length, 0);
});
