/** run_users_test.ts: the threads that use a run of the arena, of which one is the last. */

import { assert, assertEquals } from "@std/assert";
import { backendOf, type Layer, type LayerParts, layersOf } from "../../core/inside.ts";
import type { LayerHost } from "../../core/inside_layers.ts";
import { type ArenaRun, freeEnded, LayerRuns } from "../../core/memory/layer_runs.ts";
import { HEADER } from "../../core/memory/shared_memory.ts";
import type { Aio } from "../../mod.ts";
import { logLayer } from "../../storage/log/log_layer.ts";
import { BACKENDS_MAX, LOG, LogMemory } from "../../storage/log/log_memory.ts";
import { poolLayer } from "../../storage/pool/pool_layer.ts";
import { BUFFER, POOL } from "../../storage/pool/pool_memory.ts";
import { endUse, type RunUsers, tryLeave, tryUse } from "../../storage/run_users.ts";
import { replace } from "../support/bells/bells.ts";
import { BUFFER_BYTES, SEGMENT_BYTES } from "../support/log/log_fixture.ts";
import { openAio, testEachMethod } from "../support/methods.ts";
import { bufferOf, memoryOf } from "../support/pool/pool_fixture.ts";
import { tempDir } from "../support/temp.ts";

/** No layer that there is. */
const LAYER = 5;
const AT = 1;
const LOG_OPTIONS = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES };

/** A run of a layer, with a word for its users. */
function usersIn(aio: Aio, users: number) {
  const { arena } = backendOf(aio);
  const runs = new LayerRuns(arena, LAYER);
  const run = runs.tryTake(1, ({ offset }) => {
    new Int32Array(arena.buffer, offset, AT + 1)[AT] = users;
  })!;
  const words = new Int32Array(arena.buffer, run.offset, AT + 1);
  return { runs, run, words, at: AT } satisfies RunUsers;
}

testEachMethod(
  "tryUse() adds a thread to those that use a run, endUse() tells the last",
  async (method) => {
    await using aio = await openAio(method);
    const it = usersIn(aio, 1 << 3);
    assert(tryUse(it, 31, () => true));
    assertEquals(it.words[AT], 1 << 3 | 1 << 31);
    assert(!endUse(it.words, AT, 3));
    assert(endUse(it.words, AT, 31));
    assertEquals(it.words[AT], 0);
    it.runs.giveBack(it.run);
  },
);

testEachMethod("tryLeave() keeps the mark of one of those that leave at once", async (method) => {
  await using aio = await openAio(method);
  const it = usersIn(aio, 1 << 3 | 1 << 31);
  const { words } = it;
  const { load } = Atomics;
  {
    // The other one leaves between the look of this one and what it does.
    using _load = replace(
      Atomics,
      "load",
      ((...args: Parameters<typeof load>) => {
        const users = Reflect.apply(load, Atomics, args);
        if (args[0].byteOffset === words.byteOffset && args[1] === AT) words[AT] = 1 << 3;
        return users;
      }) as typeof load,
    );
    assert(!tryLeave(words, AT, 3));
  }
  assertEquals(words[AT], 1 << 3);
  words[AT] = 1 << 3 | 1 << 31;
  assert(tryLeave(words, AT, 31));
  assertEquals(words[AT], 1 << 3);
  it.runs.giveBack(it.run);
});

testEachMethod("tryUse() of a run that nobody uses is refused", async (method) => {
  await using aio = await openAio(method);
  const it = usersIn(aio, 0);
  assert(!tryUse(it, 2, () => true));
  assertEquals(it.words[AT], 0);
  it.runs.giveBack(it.run);
});

testEachMethod(
  "tryUse() of a run in which something else is by now leaves no mark",
  async (method) => {
    await using aio = await openAio(method);
    const it = usersIn(aio, 1 << 3);
    assert(!tryUse(it, 2, () => false));
    assertEquals(it.words[AT], 1 << 3);
    it.runs.giveBack(it.run);
    // The memory is nobody's, or a user's.
    assert(!tryUse(it, 2, () => true));
    assertEquals(it.words[AT], 1 << 3);
  },
);

testEachMethod(
  "tryUse() keeps a run from being given back between look and mark",
  async (method) => {
    await using aio = await openAio(method);
    const { arena } = backendOf(aio);
    const it = usersIn(aio, 1 << 3);
    const lock = () => backendOf(aio).control.words[HEADER.arenaLock];
    assert(tryUse(it, 2, () => lock() === arena.threadId));
    assertEquals([it.words[AT], lock()], [1 << 3 | 1 << 2, 0]);
    it.runs.giveBack(it.run);
  },
);

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
