/** ring_all_test.ts: whom a bell for many reaches, and that nothing beyond the table of backends is touched. */

import { assertEquals } from "@std/assert";
import { BACKEND } from "../../core/shared_memory.ts";
import { openHeld } from "../support/core.ts";

const PARKED = 1;
const RUNG = 2;

for (const maxBackends of [1, 2, 16, 31, 32]) {
  Deno.test(`held: ringAll() of all bits rings the others of ${maxBackends} backends only`, async () => {
    await using fixture = await openHeld({ maxBackends });
    const { control, doorbells } = fixture.aio.backend;
    const parkedAt = (id: number) => control.backendAt(id) + BACKEND.parked;
    for (let id = 1; id < maxBackends; id++) control.words[parkedAt(id)] = PARKED;
    const expected = control.words.slice();
    for (let id = 1; id < maxBackends; id++) expected[parkedAt(id)] = RUNG;
    doorbells.ringAll(-1);
    assertEquals(control.words.findIndex((word, i) => word !== expected[i]), -1);
    for (let id = 1; id < maxBackends; id++) control.words[parkedAt(id)] = 0;
  });
}
