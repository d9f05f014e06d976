/** run_users_test.ts: the threads that use a run of the arena, of which one is the last. */

import { assert, assertEquals } from "@std/assert";
import { backendOf, type Layer, type LayerParts, layersOf } from "../../core/inside.ts";
import type { LayerHost } from "../../core/inside_layers.ts";
import { type ArenaRun, freeEnded } from "../../core/memory/layer_runs.ts";
import type { Aio } from "../../mod.ts";
import { logLayer } from "../../storage/log/log_layer.ts";
import { BACKENDS_MAX, LOG, LogMemory } from "../../storage/log/log_memory.ts";
import { poolLayer } from "../../storage/pool/pool_layer.ts";
import { BUFFER, POOL } from "../../storage/pool/pool_memory.ts";
import { endUse, tryUse } from "../../storage/run_users.ts";
import { replace } from "../support/bells/bells.ts";
import { BUFFER_BYTES, SEGMENT_BYTES } from "../support/log/log_fixture.ts";
import { openAio, testEachMethod } from "../support/methods.ts";
import { bufferOf, memoryOf } from "../support/pool/pool_fixture.ts";
import { tempDir } from "../support/temp.ts";

const AT = 1;
const LOG_OPTIONS = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES };

function words(users: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(12)).fill(users, AT, AT + 1);
}

Deno.test("tryUse() adds a thread to those that use a run, endUse() tells the last", () => {
  const run = words(1 << 3);
  assert(tryUse(run, AT, 31, () => true));
  assertEquals([...run], [0, 1 << 3 | 1 << 31, 0]);
  assert(!endUse(run, AT, 3));
  assert(endUse(run, AT, 31));
  assertEquals([...run], [0, 0, 0]);
});

Deno.test("tryUse() of a run that nobody uses is refused", () => {
  const run = words(0);
  assert(!tryUse(run, AT, 2, () => true));
  assertEquals(run[AT], 0);
});

Deno.test("tryUse() of a run in which something else is by now leaves no mark", () => {
  for (const looks of [0, 1]) {
    const run = words(1 << 3);
    let left = looks;
    assert(!tryUse(run, AT, 2, () => left-- > 0));
    assertEquals(run[AT], 1 << 3, `after ${looks} looks`);
  }
});

type HostedLayer = Layer<LayerParts & { readonly host: LayerHost }>;

/**
 * Has another thread reap a dead one, and a third one take the same memory anew, right before what
 * closes gives its run back.
 *
 * @param serialAt the word of the serial number
 * @returns the run that the third one has, and whether it still has that
 */
async function closeAmongReaping(
  aio: Aio,
  layer: HostedLayer,
  serialAt: number,
  close: () => Promise<void>,
): Promise<{ readonly run: ArenaRun; readonly isThere: boolean }> {
  const backend = backendOf(aio);
  const { runs, arena } = layersOf(backend).partsOf(layer).host;
  const { giveBack } = runs;
  const found: ArenaRun[] = [];
  runs.each((run) => void found.push(run));
  const [run] = found;
  let isFirst = true;
  {
    using _giveBack = replace(runs, "giveBack", (...args) => {
      if (isFirst) {
        isFirst = false;
        layersOf(backend).reapBackend(backend.id + 1);
        freeEnded(arena);
        runs.tryTake(run!.bytes, ({ offset }) => {
          assertEquals(offset, run!.offset);
          new Int32Array(arena.buffer, offset, serialAt + 1)[serialAt]! += 2;
        });
      }
      return Reflect.apply(giveBack, runs, args);
    });
    await close();
  }
  assert(!isFirst);
  return { run: run!, isThere: runs.giveBack(run!) };
}

testEachMethod("pool.close() leaves a pool alone that is in its place by then", async (method) => {
  await using aio = await openAio(method);
  const pool = await aio.openPool({ pages: 16 });
  const { run, isThere } = await closeAmongReaping(
    aio,
    poolLayer,
    POOL.serial,
    () => pool.close(),
  );
  assertEquals([run.offset, isThere], [pool.token.offset, true]);
});

testEachMethod("log.close() leaves a log alone that is in its place by then", async (method) => {
  await using dir = await tempDir();
  await using aio = await openAio(method);
  const log = await aio.openLog(dir.join("log"), LOG_OPTIONS);
  const { run, isThere } = await closeAmongReaping(aio, logLayer, LOG.serial, () => log.close());
  assertEquals([run.offset, isThere], [log.token.offset, true]);
});

testEachMethod("the death of a helper leaves a pool and a log to their users", async (method) => {
  await using dir = await tempDir();
  await using aio = await openAio(method);
  await using file = await aio.openFile(dir.join("file"), {
    read: true,
    write: true,
    create: true,
  });
  await using pool = await aio.openPool({ pages: 16 });
  await using log = await aio.openLog(dir.join("log"), LOG_OPTIONS);
  const [page] = await pool.extend(file, 1);
  const backend = backendOf(aio);
  const { arena, control: { maxBackends } } = backend;
  const { words } = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  const memory = memoryOf(aio, pool);
  const pinsAt = memory.at(bufferOf(pool, 0)) + BUFFER.pins;
  const state = () => [
    words.slice(),
    memory.words[POOL.users],
    memory.words[pinsAt],
    arena.freeBytes,
  ];
  const before = state();
  // The place of its bit is that of this thread's.
  layersOf(backend).reapBackend(Math.ceil(maxBackends / BACKENDS_MAX) * BACKENDS_MAX + backend.id);
  assertEquals(state(), before);
  page!.release();
});
