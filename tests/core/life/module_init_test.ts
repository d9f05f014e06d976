/**
 * module_init_test.ts: callback modules that begin with data of their own: when, how often, with
 * what.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { AioCore } from "../../../core/life/aio.ts";
import { backendOf } from "../../../core/inside.ts";
import { syncMethod } from "../../../methods/sync.ts";
import { type BeginsData, begun } from "../fixtures/begins.ts";
import {
  testCoresAtOnce,
  testEachCoreMethod,
  testSharedCores,
} from "../../support/core_methods.ts";
import { LayerThread, shareLayerThread } from "../../support/layers/layer_thread.ts";
import { hostOf, spyLayer } from "../../support/layers/spy_layer.ts";
import { until } from "../../support/patience.ts";
import { hasPool } from "../../support/workers/worker_pool.ts";
import { Turns } from "../../support/turns.ts";

const BEGINS = new URL("../fixtures/begins.ts", import.meta.url);
const startThread = shareLayerThread();
const WORKERS = { min: 1, max: 1 };

function makeData(more: Partial<BeginsData> = {}): BeginsData {
  return { count: new Int32Array(new SharedArrayBuffer(4)), list: [7], ...more };
}

function options(data: BeginsData) {
  return { workers: WORKERS, callbackModules: [{ url: BEGINS, data }] };
}

/** Of the Aios that tests share. */
const SHARED_DATA = makeData();
const SHARED = { options: options(SHARED_DATA), layers: [spyLayer] };

const turns = new Turns(2);

testEachCoreMethod(
  "init() of a module is over before Aio.open() is, and gets a clone",
  async (test) => {
    const data = makeData();
    await using fixture = await test.open(options(data));
    const got = begun.at(-1)!;
    assertEquals([got.list, data.list], [[7, 1], [7]]);
    // Each thread changes a clone of its own only.
    const [shown] = fixture.aio.options.callbackModules;
    assertEquals(shown!.url, BEGINS.href);
    assertEquals((shown!.data as BeginsData).list, [7]);
  },
  { turns },
);

testEachCoreMethod(
  "init() of a module is called once for each Aio in each thread",
  async (test) => {
    const data = makeData();
    const count = () => Atomics.load(data.count, 0);
    const each = hasPool(test.method) ? 2 : 1;
    await using one = await test.open(options(data));
    assertEquals(count(), each);
    await using _two = await test.open(options(data));
    assertEquals(count(), 2 * each);
    const { aio, file } = one;
    await using thread = await startThread(aio, file, []);
    assertEquals(count(), 2 * each + 1);
    await thread.ask({ what: "id" });
  },
  { turns },
);

testCoresAtOnce(
  "init() of a module is called in a thread that only reaps",
  (fixtures) =>
    LayerThread.dieIn(
      fixtures,
      SHARED.layers,
      // To close a file may block, so another thread does that.
      (thread, { file }) => thread.ask({ what: "openFile", path: file.path }),
    ),
  async ({ aio }) => {
    const before = Atomics.load(SHARED_DATA.count, 0);
    await until(() => {
      backendOf(aio).reapDead("eventLoop");
      return aio.backends().length === 1;
    }, "the dead thread is taken over from");
    assertEquals(Atomics.load(SHARED_DATA.count, 0), before + 1);
  },
  { ...SHARED, only: ["sync", "worker", "io_uring"] },
);

testSharedCores(
  "attach() of a thread whose init() fails is refused, and takes no slot",
  async ({ aio, file }) => {
    const token = {
      ...aio.token,
      options: {
        ...aio.options,
        callbackModules: [{ url: BEGINS.href, data: { ...SHARED_DATA, fails: true } }],
      },
    };
    const attached = startThread({ token }, file, SHARED.layers);
    const message = `TypeError: Cannot begin with the callback module ${BEGINS.href}: not today`;
    await assertRejects(() => attached, Error, message);
    assertEquals(aio.backends().length, 1);
  },
  SHARED,
);

Deno.test("sync: Aio.open() with a module whose init() fails is refused", async () => {
  const error = await assertRejects(
    () => AioCore.open({ ...options(makeData({ fails: true })), arenaBytes: 4096 }, [syncMethod]),
    TypeError,
  );
  assertEquals(error.message, `Cannot begin with the callback module ${BEGINS.href}: not today`);
  assert(error.cause instanceof Error);
  assertEquals(error.cause.message, "not today");
});

Deno.test("sync: Aio.open() with a module whose init is no function is refused", async () => {
  const url = new URL("data:text/javascript,export const init = 5;");
  const open = AioCore.open({ callbackModules: [url], arenaBytes: 4096 }, [syncMethod]);
  const message = `Cannot use "init" of the callback module ${url.href}: it must be a function`;
  assertEquals((await assertRejects(() => open, TypeError)).message, message);
});

Deno.test("sync: a module without data gets undefined", async () => {
  const text = "export let got = 5; export const init = (data) => { got = data; };";
  const url = new URL(`data:text/javascript,${encodeURIComponent(text)}`);
  for (const one of [url, { url }]) {
    await using _aio = await AioCore.open(
      { callbackModules: [one], arenaBytes: 4096, maxBackends: 1 },
      [syncMethod],
    );
    const { got }: { got: unknown } = await import(url.href);
    assertEquals(got, undefined);
  }
});

// --- verifiers ---

testSharedCores("verifiers have ids in the order of layers, modules, keys", (fixture) => {
  const { verifiers } = hostOf(backendOf(fixture.aio));
  const even = verifiers.idOf("even");
  assertEquals(even - verifiers.idOf("spies"), 1);
  const page = new Uint8Array(1);
  assertEquals([4, 5].map((block) => verifiers.verify(even, page, block)), ["ok", "badChecksum"]);
  assertEquals(fixture.messages(), []);
}, SHARED);

/** IO Workers are Workers, too, so the pool would not start with those. */
const OTHERS_IN_WORKERS = `
  const name = "DedicatedWorkerGlobalScope" in globalThis ? "theirs" : "ours";
  export const verifiers = { [name]: () => "ok" };`;

testEachCoreMethod("attach() with other verifiers than the opener has is refused", async (test) => {
  const url = new URL(`data:text/javascript,${encodeURIComponent(OTHERS_IN_WORKERS)}`);
  await using fixture = await test.open({ workers: WORKERS, callbackModules: [url] });
  const { aio, file } = fixture;
  const attached = startThread(aio, file, []);
  await assertRejects(() => attached, Error, "Cannot attach with other callbacks");
}, { only: ["held", "sync", "io_uring"] });
