/** pool_reaper_test.ts: whoever waits for what a thread had hears of its death. */

import { assertNotEquals } from "@std/assert";
import { announceWait, backendOf, layersOf } from "../../../core/inside.ts";
import { poolLayer } from "../../../storage/pool/pool_layer.ts";
import { reapPool } from "../../../storage/pool/pool_reaper.ts";
import { changeOf } from "../../../storage/pool/wait_words.ts";
import { memoryOf, testPool } from "../../support/pool/pool_fixture.ts";

const BUFFER = 3;

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
