/**
 * page_places_test.ts: places for pages of a stream are taken in rows.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { PagePlaces } from "../../../storage/stream/page_places.ts";
import { Prng } from "../../support/prng.ts";

const LIMIT = 16;

Deno.test("PagePlaces gives a row each time while pages come back in order", () => {
  const prng = new Prng();
  const pinned = 272;
  const places = new PagePlaces(pinned + LIMIT - 1, pinned);
  const into = new Int32Array(LIMIT);
  const taken: number[] = [];
  for (let round = 0; round < 10_000; round++) {
    const count = prng.between(1, LIMIT);
    while (places.left < count) places.giveBack(taken.shift()!);
    places.take(count, into);
    for (let i = 0; i < count; i++) {
      assertEquals(into[i], into[0]! + i, `round ${round}`);
      taken.push(into[i]!);
    }
    assertEquals([places.taken, places.left], [taken.length, pinned - taken.length]);
  }
});

Deno.test("PagePlaces gives all places once, in whatever order they came back", () => {
  const prng = new Prng();
  const count = 40;
  const places = new PagePlaces(count, count);
  const into = new Int32Array(LIMIT);
  const taken: number[] = [];
  for (let round = 0; round < 5_000; round++) {
    const wanted = prng.between(1, Math.min(LIMIT, count));
    while (places.left < wanted) {
      const [place] = taken.splice(prng.below(taken.length), 1);
      places.giveBack(place!);
    }
    places.take(wanted, into);
    taken.push(...into.subarray(0, wanted));
    assertEquals(new Set(taken).size, taken.length);
    assert(taken.every((place) => place >= 0 && place < count));
  }
});
