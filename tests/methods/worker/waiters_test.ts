/**
 * waiters_test.ts: threads wait for IO that its issuer executes in the submit, as its data is in
 * the page cache, while no Worker runs: whoever claims it completes it, and only that thread.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { FLAG_BITS } from "../../../core/io/handle_flag.ts";
import { backendOf } from "../../../core/inside.ts";
import { claimantOf } from "../../../core/memory/claim.ts";
import { IDLE, SUBMITTED } from "../../../core/memory/handle_state.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { AioReturn } from "../../../core/mod.ts";
import { Aio } from "../../../mod.ts";
import { METHODS_UNDER_TEST } from "../../support/methods.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";
import { until } from "../../support/patience.ts";
import { contentAt, tempDir, writeRandomFile } from "../../support/temp.ts";
import { hasPool } from "../../support/workers/worker_pool.ts";

const SEED = 1;
const FILE_BYTES = 65_536;
const READ_BYTES = 4096;
/** Enough to find a fault that comes in one round of four. */
const ROUNDS = 100;

Deno.test("worker: a cached read is completed once, whoever waits for it", async () => {
  await using dir = await tempDir();
  const path = dir.join("data");
  await writeRandomFile(path, FILE_BYTES, SEED);
  await using aio = await Aio.open({ method: "worker", arenaBytes: 1024 * 1024 });
  await using file = await aio.openFile(path);
  await using waiter = await AttachedWorker.start(aio, file);
  const view = aio.alloc(READ_BYTES);
  for (let round = 0; round < ROUNDS; round++) {
    const offset = round * READ_BYTES % FILE_BYTES;
    const ret = new AioReturn();
    aio.enterBatchmode();
    const handle = aio.acquire(null, ret);
    const ref = handle.waitRef();
    handle.setIovec(view.fill(0));
    file.startReadv(handle, offset);
    const waited = waiter.ask({ what: "waitSync", ref });
    const isWaiting = () => aio.backends().some(({ waitEvent }) => waitEvent === "AioIoSubmit");
    await until(isWaiting, "the other thread waits for the submit");
    aio.exitBatchmode();
    await waited;
    await aio.wait(ref);
    assertEquals([ret.result.status, ret.result.result], ["ok", READ_BYTES]);
    assertEquals(view.slice(), contentAt(SEED, offset, READ_BYTES));
  }
});

for (const { name: method, ignore } of METHODS_UNDER_TEST.filter(({ name }) => hasPool(name))) {
  Deno.test({
    name: `${method}: waitOne() of a use that is over leaves the next one to its start call`,
    ignore,
    async fn() {
      await using aio = await Aio.open({ method, arenaBytes: 1024 * 1024, maxBackends: 2 });
      const backend = backendOf(aio);
      const handle = backend.handleOf(backend.control.handlesPerBackend);
      const { words, base } = handle;
      // As where the other thread came to its next use, and into that call, once this one waits.
      const generation = words[base + HANDLE.generationLow]!++;
      words[base + HANDLE.flags] = FLAG_BITS.synchronous;
      words[base + HANDLE.state] = SUBMITTED;
      backend.method.waitOne!(backend, handle, generation);
      const now = [handle.state, claimantOf(words, base)];
      words[base + HANDLE.flags] = words[base + HANDLE.claim] = 0;
      words[base + HANDLE.state] = IDLE;
      assertEquals(now, ["submitted", -1]);
    },
  });
}
