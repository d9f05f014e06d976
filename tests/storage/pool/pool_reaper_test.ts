/** pool_reaper_test.ts: whoever waits for what a thread had hears of its death. */

import { assertEquals, assertNotEquals } from "@std/assert";
import { announceWait, backendOf, layersOf } from "../../../core/inside.ts";
import { poolLayer } from "../../../storage/pool/pool_layer.ts";
import { BUFFER as WORD, POOL } from "../../../storage/pool/pool_memory.ts";
import { reapPool } from "../../../storage/pool/pool_reaper.ts";
import { changeOf, extenderOf } from "../../../storage/pool/wait_words.ts";
import { replace } from "../../support/bells/bells.ts";
import { memoryOf, PAGE_BYTES, testPool } from "../../support/pool/pool_fixture.ts";

const BUFFER = 3;
/** A place for a file. */
const FILE = 5;

testPool(
  "a reaper wakes whoever waits for a buffer of which the dead thread has nothing any more",
  ({ aio, pool }) => {
    // It died, or its first reaper did, between a change of the buffer and the bell.
    const backend = backendOf(aio);
    const { host } = layersOf(backend).partsOf(poolLayer);
    const memory = memoryOf(aio, pool);
    const word = changeOf(memory, BUFFER);
    const seen = announceWait(word, backend.id);
    reapPool(host, memory, backend.id + 1);
    assertNotEquals(Atomics.load(word.words, word.index), seen);
    return Promise.resolve();
  },
);

testPool(
  "a reaper wakes whoever waits for the dead thread to have made a file longer",
  ({ aio, pool }) => {
    const backend = backendOf(aio);
    const { host } = layersOf(backend).partsOf(poolLayer);
    const dead = backend.id + 1;
    const { words, index, waiters } = extenderOf(memoryOf(aio, pool), FILE);
    Atomics.store(words, index, dead + 1);
    Atomics.or(words, waiters, 1 << backend.id);
    reapPool(host, memoryOf(aio, pool), dead);
    assertEquals([words[index], words[waiters]], [0, 0]);
    return Promise.resolve();
  },
);

testPool(
  "a pool whose memory cannot be given back keeps no other from being reaped",
  async (it) => {
    const backend = backendOf(it.aio);
    const { host: { runs } } = layersOf(backend).partsOf(poolLayer);
    const dead = backend.id + 1;
    // It lies before the first, and the dead thread was its last user.
    const other = await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
    const { words } = memoryOf(it.aio, other);
    words[POOL.users] = 1 << dead;
    const memory = memoryOf(it.aio, it.pool);
    const pinsAt = memory.at(BUFFER) + WORD.pins;
    memory.words[pinsAt] = 1 << dead;
    {
      using _giveBack = replace(runs, "giveBack", () => {
        throw new Deno.errors.Busy("an IO uses it");
      });
      layersOf(backend).reapBackend(dead);
    }
    assertEquals([memory.words[pinsAt], words[POOL.users]], [0, 0]);
    assertEquals(it.warnings.length, 1);
    words[POOL.users] = 1 << backend.id;
    await other.close();
  },
);

testPool("a pool whose memory cannot be given back keeps no other's from that", async (it) => {
  const backend = backendOf(it.aio);
  const { host: { runs } } = layersOf(backend).partsOf(poolLayer);
  const dead = backend.id + 1;
  const pools = [it.pool, await it.aio.openPool({ pages: 16, pageSize: PAGE_BYTES })];
  const setUsers = (id: number) => {
    for (const pool of pools) memoryOf(it.aio, pool).words[POOL.users] = 1 << id;
  };
  // It was the last user of both.
  setUsers(dead);
  const given: number[] = [];
  {
    using _giveBack = replace(runs, "giveBack", ({ offset }) => {
      given.push(offset);
      throw new Deno.errors.Busy("an IO uses it");
    });
    layersOf(backend).reapBackend(dead);
  }
  assertEquals(given.sort(), pools.map(({ token }) => token.offset).sort());
  assertEquals(it.warnings.length, 1);
  setUsers(backend.id);
  await pools[1]!.close();
});
