/**
 * layers_test.ts: the layers above the core, in every thread: their ids, what they say, and which
 * are refused.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AioInvariantError } from "../../../core/base/assert.ts";
import { importLayers, layersWith, modulesOf } from "../../../core/life/layers.ts";
import { fileLayer } from "../../../core/life/file_layer.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import { AioReturn, reportResult } from "../../../core/io/result.ts";
import { backendOf } from "../../../core/inside.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { LAYERS } from "../../../storage/layers.ts";
import { type Fixture, openHeld } from "../../support/core.ts";
import { testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";
import { shareLayerThread } from "../../support/layers/layer_thread.ts";
import { hostOf, hosts, otherLayer, spyLayer } from "../../support/layers/spy_layer.ts";
import { until } from "../../support/patience.ts";
import { hasPool } from "../../support/workers/worker_pool.ts";
import { Turns } from "../../support/turns.ts";

const MODULE = new URL("../fixtures/more_layers.ts", import.meta.url);
const READ_BYTES = 64;
const LAYERS_UNDER_TEST = [spyLayer];

const startThread = shareLayerThread();

/** Registers a test for each method that shares its Aio with the spy. */
function testSpied(
  name: string,
  fn: (fixture: Fixture, method: string) => void | Promise<void>,
): void {
  testSharedCores(`layers: ${name}`, fn, { layers: LAYERS_UNDER_TEST });
}

/** Lines that the spy wrote about IO. */
function spiedIos({ logs }: Fixture): string[] {
  return logs.filter((line) => line.startsWith("spy: IO"));
}

async function readSpied({ aio, file }: Fixture): Promise<WaitRef> {
  const handle = aio.acquire(null, new AioReturn());
  const ref = handle.waitRef();
  handle.registerCallbacks(aio.callbackId("spy"));
  handle.setIovec(aio.alloc(READ_BYTES));
  file.startReadv(handle, 0);
  await aio.wait(ref);
  return ref;
}

const turns = new Turns(5);

testEachCoreMethod("layers: ids run in the order of files, layers, modules, keys", async (test) => {
  await using fixture = await test.open({ callbackModules: [MODULE] }, [spyLayer, otherLayer]);
  const { aio } = fixture;
  const files = ["fileReadv", "fileWritev", "fileSync"];
  assertEquals(files.map((name) => aio.callbackId(name)), [1, 2, 3]);
  const names = ["spy", "raise", "other", "zebra", "ape"];
  const first = aio.callbackId("spy");
  assertEquals(names.map((name) => aio.callbackId(name) - first), [0, 1, 2, 3, 4]);
  const targets = ["spied", "shelf"].map((name) => aio.targetId(name));
  assertEquals([aio.targetId("file"), targets[1]! - targets[0]!], [1, 1]);
}, { turns });

/** Prepares a read under the target `spiedFile`, which names a place of the table of files. */
function prepareSpied({ aio, file }: Fixture): { handle: AioHandle; ret: AioReturn } {
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const { slot, generation } = file.token;
  handle.setTarget(aio.targetId("spiedFile"), [slot, generation, 0, 0, READ_BYTES]);
  handle.registerCallbacks(aio.callbackId("fileReadv"));
  handle.setIovec(aio.alloc(READ_BYTES));
  return { handle, ret };
}

testSpied("a target that stands for a file comes before all others", ({ aio }) => {
  const ids = ["file", "spiedFile", "spied"].map((name) => aio.targetId(name));
  assertEquals(ids, ids.toSorted((a, b) => a - b));
  assertEquals(ids[0], 1);
});

testSpied("IO under a target that stands for a file has its range in the error", (fixture) => {
  const { aio, file } = fixture;
  const { handle, ret } = prepareSpied(fixture);
  assert(handle.isOnFile);
  const ref = handle.waitRef();
  aio.attachInjectionPoint("aio-process-completion-before-shared", () => -5);
  handle.startReadv(file.fd, 0);
  aio.waitSync(ref);
  aio.detachInjectionPoint("aio-process-completion-before-shared");
  const error = assertThrows(() => reportResult(ret.result, ret.targetData, "error"), Error);
  assert(error.message.startsWith("could not read a spied file: "), error.message);
  assertEquals([Reflect.get(error, "offset"), Reflect.get(error, "length")], [0, READ_BYTES]);
});

testEachCoreMethod(
  "layers: no IO starts under such a target once its file closes",
  async (test) => {
    await using fixture = await test.open({}, [spyLayer]);
    const { aio, file } = fixture;
    const { handle } = prepareSpied(fixture);
    const { fd } = file;
    await file.close();
    assertThrows(() => handle.startReadv(fd, 0), Deno.errors.BadResource, "it is closed");
    handle.release();
    assertEquals(aio.ios(), []);
  },
  { turns },
);

testSpied("a callback runs in whichever thread completes the IO", async (fixture, method) => {
  const { index } = await readSpied(fixture);
  // An IO Worker posts what it says.
  const { aio } = fixture;
  // With linux_aio that depends on what is in the page cache.
  const isPools = method === "worker" || (method === "linux_aio" && aio.workers()[0]!.ios > 0);
  const completer = isPools ? aio.options.maxBackends : aio.backendId;
  await until(() => spiedIos(fixture).length > 0, "the opener's log has the line");
  assertEquals(spiedIos(fixture), [`spy: IO ${index} in ${completer}`]);
});

testEachCoreMethod("layers: make() runs once for each Aio in each thread", async (test) => {
  const before = hosts.length;
  await using one = await test.open({ workers: { min: 1, max: 1 } }, [spyLayer]);
  await using two = await test.open({ workers: { min: 1, max: 1 } }, [spyLayer]);
  assertEquals(hosts.length - before, 2);
  const expected = hasPool(test.method) ? [0, one.aio.options.maxBackends] : [0];
  for (const { logs } of [one, two]) {
    await until(() => logs.length >= expected.length, "the opener's log has the lines");
    assertEquals(logs, expected.map((id) => `spy: made for ${id}`));
  }
}, { turns });

testSpied("an attached thread uses those that it hands in", async ({ aio, file }) => {
  await using thread = await startThread(aio, file, [spyLayer]);
  const ref = await thread.ask<WaitRef>({ what: "read", callback: "spy" });
  await thread.ask({ what: "await", ref });
  assert(aio.checkDone(ref));
});

for (
  const [name, layers] of [
    ["another layer", [otherLayer]],
    ["a layer more", [spyLayer, otherLayer]],
    ["a layer less", []],
  ] as const
) {
  testSpied(`attach() with ${name} is refused`, async ({ aio, file }) => {
    await assertRejects(
      () => startThread(aio, file, layers),
      Error,
      "TypeError: Cannot attach with other callbacks than the opener has: let both load the same " +
        "callbackModules and import the same version of this module",
    );
    assertEquals(aio.backends().length, 1);
  });
}

Deno.test("layers: attach() with the same layers in another order is refused", async () => {
  await using fixture = await openHeld({}, undefined, [spyLayer, otherLayer]);
  const { aio, file } = fixture;
  const attached = startThread(aio, file, [otherLayer, spyLayer]);
  await assertRejects(() => attached, Error, "Cannot attach with other callbacks");
});

testSpied("what one says as a warning goes to onWarning", (fixture) => {
  hostOf(backendOf(fixture.aio)).say("warning", "beware");
  assertEquals(fixture.messages(), ["beware"]);
});

testSpied("what one says goes nowhere where the level is not wanted", ({ aio, logs }) => {
  const lines = logs.length;
  hostOf(backendOf(aio)).say("debug2", "details");
  assertEquals(logs.length, lines);
});

testEachCoreMethod(
  "layers: every target describes itself at any time, whatever its data",
  async (test) => {
    const fixture = await test.open({ callbackModules: [MODULE] }, [spyLayer]);
    const { aio } = fixture;
    const { targets } = backendOf(aio);
    const samples = [0, 1, -1, 2 ** 31 - 1].map((word) => new Int32Array(6).fill(word));
    const describeAll = () =>
      targets.names.slice(1).flatMap((name) =>
        samples.map((data) => targets.describe(targets.idOf(name), data))
      );
    const before = describeAll();
    assertEquals(before.filter((words) => words === "" || words.includes("failed")), []);
    await fixture[Symbol.asyncDispose]();
    assertEquals(describeAll().length, before.length);
    assertEquals(describeAll().filter((words) => words === "" || words.includes("failed")), []);
  },
  { turns },
);

testEachCoreMethod(
  "layers: an outcome is reported by its target after the Aio has closed",
  async (test) => {
    await using fixture = await test.open({}, [spyLayer]);
    const { aio, file } = fixture;
    await Deno.truncate(file.path, 100);
    const ret = new AioReturn();
    const handle = aio.acquire(null, ret);
    const ref = handle.waitRef();
    handle.setTarget(aio.targetId("spied"), [5]);
    handle.registerCallbacks(aio.callbackId("fileReadv"));
    handle.setIovec(aio.alloc(READ_BYTES));
    handle.startReadv(file.fd, 100 - READ_BYTES / 2);
    await aio.wait(ref);
    await file.close();
    await aio.close();
    const message = `could not read spied thing 5: read only ${READ_BYTES / 2} bytes`;
    assertThrows(() => reportResult(ret.result, ret.targetData, "error"), Error, message);
  },
  { turns },
);

Deno.test("layersWith() has that of files first, which no other thread needs to be told", () => {
  const layers = layersWith([spyLayer]);
  assertEquals(layers.map(({ name }) => name), ["file", "spy"]);
  assertEquals(modulesOf(layers), [{ name: "spy", module: spyLayer.module.href }]);
});

Deno.test("layersWith() refuses two layers of one name, and more than the page words can number", () => {
  assertThrows(
    () => layersWith([spyLayer, { ...otherLayer, name: "spy" }]),
    AioInvariantError,
    "have one name",
  );
  assertThrows(() => layersWith([fileLayer]), AioInvariantError, "have one name");
  const many = Array.from({ length: 32 }, (_, i) => ({ ...otherLayer, name: `other ${i}` }));
  assertEquals(layersWith(many.slice(1)).length, 32);
  assertThrows(() => layersWith(many), AioInvariantError, "too many layers");
});

Deno.test("importLayers() finds each layer of this version in its module", async () => {
  const layers = [...LAYERS, spyLayer, otherLayer];
  const imported = await importLayers(modulesOf(layers));
  assertEquals(imported.map((layer, i) => layer === layers[i]), layers.map(() => true));
});

Deno.test("importLayers() refuses a module that exports no layer of that name", async () => {
  const module = spyLayer.module.href;
  await assertRejects(
    () => importLayers([{ name: "nobody", module }]),
    AioInvariantError,
    `"nobody" is not exported by ${module}`,
  );
});
