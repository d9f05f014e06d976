/**
 * ios_race_long_test.ts: what ios_race_test.ts shows, with more listings.
 *
 * @module
 */

import { assertEquals, assertGreater } from "@std/assert";
import { listIos } from "../../../core/views/io_rows.ts";
import { withPrng } from "../../support/prng.ts";
import { listBeside } from "./ios_beside.ts";
import { findFault } from "./ios_replay.ts";

Deno.test("ios() shows a moment that was, in 300 000 listings with random writes", async () => {
  await withPrng((prng) => assertEquals(findFault(listIos, prng, 300_000), null));
});

Deno.test("ios() never mixes two uses of a handle, in 1 000 000 listings beside a thread", async () => {
  const { rows, faults } = await listBeside(listIos, 1_000_000);
  assertGreater(rows, 0);
  assertEquals(faults, []);
});
