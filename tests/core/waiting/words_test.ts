/**
 * words_test.ts: waiting for a word of shared memory, blocking and by bell, and waking those who
 * wait. The tests share one Worker where it stays alive; where a thread dies, one dies for all
 * methods at once.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CHECK_ALIVE_MS } from "../../../core/base/pauses.ts";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { Aio } from "../../../mod.ts";
import { comes, PollWatch, replace } from "../../support/bells/bells.ts";
import { type Fixture, startRead } from "../../support/core.ts";
import {
  type SharedCoreNeeds,
  STAGING,
  testCoresAtOnce,
  testEachCoreMethod,
  testSharedCores,
} from "../../support/core_methods.ts";
import { LayerThread, shareLayerThread } from "../../support/layers/layer_thread.ts";
import { changeWord, hooks, hostOf, spyLayer, wordAt } from "../../support/layers/spy_layer.ts";
import { until } from "../../support/patience.ts";
import { type WaitWord, wakeWord, type WordWaits } from "../../../core/waiting/words.ts";
import type { LayerHost } from "../../../core/life/layer.ts";

const startThread = shareLayerThread();

const LAYERS = [spyLayer];
const READ_BYTES = 64;

/** An Aio with a word of the arena, which is 0. */
interface Scene {
  readonly fixture: Fixture;
  readonly aio: Aio;
  readonly waits: WordWaits;
  readonly word: WaitWord;
  /** Of the main thread. */
  readonly host: LayerHost;
  /** Attaches another thread. */
  start(): Promise<LayerThread>;
}

/** Runs a test with a word of its own. */
async function withScene(
  fixture: Fixture,
  fn: (scene: Scene) => void | Promise<void>,
): Promise<void> {
  const { aio, file } = fixture;
  const host = hostOf(backendOf(aio));
  const run = host.runs.tryTake(1, () => {})!;
  const word = wordAt(host, run.offset / Int32Array.BYTES_PER_ELEMENT);
  for (const at of [word.index, word.waiters]) Atomics.store(word.words, at, 0);
  const waits = backendOf(aio).wordWaits;
  await fn({ fixture, aio, waits, word, host, start: () => startThread(aio, file, LAYERS) });
  if (!aio.isClosed) host.runs.giveBack(run);
}

/** Registers a test for each method that gets a word. */
function testWords(
  name: string,
  fn: (scene: Scene) => void | Promise<void>,
  needs: SharedCoreNeeds = {},
): void {
  testSharedCores(name, (fixture) => withScene(fixture, fn), { ...needs, layers: LAYERS });
}

/** The same for a test that finds a thread dead. */
function testWordsOfDead(name: string, fn: (scene: Scene) => void | Promise<void>): void {
  testCoresAtOnce(
    name,
    (fixtures) => LayerThread.dieIn(fixtures, LAYERS),
    async (fixture) => {
      try {
        await withScene(fixture, fn);
      } finally {
        hooks.reapBackend = undefined;
      }
    },
    { layers: LAYERS },
  );
}

function bitsOf({ words, waiters }: WaitWord): number {
  return Atomics.load(words, waiters);
}

// --- blocking ---

testWords(
  "waitSync() of a word that holds another value returns at once",
  (scene) => {
    scene.waits.waitSync(scene.word, 1);
    assertEquals(bitsOf(scene.word), 0);
  },
);

testWords("waitSync() of a word sleeps until another thread changes it", async (scene) => {
  const { waits, word } = scene;
  await using thread = await scene.start();
  const changed = thread.ask({ what: "changeWhenWaited", index: word.index, value: 5 });
  waits.waitSync(word, 0);
  assertEquals(Atomics.load(word.words, word.index), 5);
  await changed;
});

testWords("a thread that blocks for a word shows so", async (scene) => {
  const { aio, word, host } = scene;
  await using thread = await scene.start();
  const waited = thread.ask({ what: "waitWord", index: word.index, value: 0 });
  await until(() => aio.backends()[1]!.waitEvent === "Extension", "its wait event is there");
  changeWord(host, word, 1);
  await waited;
  assertEquals(aio.backends()[1]!.waitEvent, null);
});

testWords(
  "waitSync() of a word completes own IO, which may be what changes it",
  (scene) => {
    const { aio, fixture, waits, word } = scene;
    const handle = aio.acquire();
    const ref = handle.waitRef();
    handle.registerCallbacks(aio.callbackId("raise"));
    handle.setHandleData([word.index]);
    handle.setIovec(aio.alloc(READ_BYTES));
    fixture.file.startReadv(handle, 0);
    waits.waitSync(word, 0);
    assertEquals(Atomics.load(word.words, word.index), 1);
    aio.waitSync(ref);
  },
);

testWords("waitSync() of a word submits what is staged first", async (scene) => {
  const { aio, fixture, waits, word } = scene;
  aio.enterBatchmode();
  const { ref } = startRead(fixture);
  assert(aio.haveStaged);
  waits.waitSync(word, 1);
  assertEquals(aio.haveStaged, false);
  aio.exitBatchmode();
  await aio.wait(ref);
}, { only: STAGING });

testWordsOfDead(
  "waitSync() of a word that a dead thread was to change ends by itself",
  ({ waits, word }) => {
    hooks.reapBackend = (host) => changeWord(host, word, 7);
    waits.waitSync(word, 0);
    assertEquals(Atomics.load(word.words, word.index), 7);
  },
);

// --- awaiting ---

testWords("whenChanged() of a word that holds another value is true", (scene) => {
  const { waits, word } = scene;
  const completed = () => assertEquals("told", "not told");
  assertEquals(waits.whenChanged(word, 1, { completed }), true);
  assertEquals([waits.count, bitsOf(word)], [0, 0]);
});

testWords(
  "an awaited word that another thread changes ends the sleep by its bell",
  async (scene) => {
    const { aio, waits, word } = scene;
    await using thread = await scene.start();
    using watch = new PollWatch(backendOf(aio).libc);
    const changed = waits.changed(word, 0);
    const poll = await watch.untilParked();
    assertEquals(poll.timeoutMs, CHECK_ALIVE_MS);
    await thread.ask({ what: "change", index: word.index, value: 1 });
    assert(await comes(changed, true));
    assert(await poll.ended > 0, "the sleep came to its end");
  },
);

testWords(
  "canary: a word that is changed without a bell does not end the sleep",
  async (scene) => {
    const { aio, waits, word, host } = scene;
    await using thread = await scene.start();
    using watch = new PollWatch(backendOf(aio).libc);
    const changed = waits.changed(word, 0);
    await watch.untilParked();
    await thread.ask({ what: "store", index: word.index, value: 1 });
    assertEquals(await comes(changed, false), false);
    wakeWord(host.bells, word);
    await changed;
  },
);

testWords(
  "an awaited word that its own thread changes ends the sleep by its bell",
  async (scene) => {
    const { aio, waits, word, host } = scene;
    using watch = new PollWatch(backendOf(aio).libc);
    const changed = waits.changed(word, 0);
    const poll = await watch.untilParked();
    changeWord(host, word, 1);
    assert(await comes(changed, true));
    assert(await poll.ended > 0, "the sleep came to its end");
  },
);

testWords("a change right before the sleep is seen", async (scene) => {
  const { aio, waits, word, host } = scene;
  const { doorbells } = backendOf(aio);
  using watch = new PollWatch(backendOf(aio).libc);
  const park = doorbells.park.bind(doorbells);
  using _changing = replace(doorbells, "park", () => {
    Atomics.store(word.words, word.index, 1);
    park();
  });
  await waits.changed(word, 0);
  assertEquals(watch.polls, []);
  wakeWord(host.bells, word);
});

testWords("all tasks of a thread that await one word are told", async (scene) => {
  const { waits, word } = scene;
  await using thread = await scene.start();
  const all = Promise.all([1, 2, 3].map(() => waits.changed(word, 0)));
  assertEquals(waits.count, 3);
  await thread.ask({ what: "change", index: word.index, value: 1 });
  await all;
  assertEquals(waits.count, 0);
});

testWords(
  "a word that has its value back is awaited on, and its next change told",
  async (scene) => {
    const { aio, waits, word, host } = scene;
    await using thread = await scene.start();
    using watch = new PollWatch(backendOf(aio).libc);
    const changed = waits.changed(word, 0);
    const poll = await watch.untilParked();
    // The bell says that there was a change; the word says that it is over.
    wakeWord(host.bells, word);
    assert(await poll.ended > 0);
    await watch.untilParked();
    assertEquals([waits.count, bitsOf(word)], [1, 1]);
    await thread.ask({ what: "change", index: word.index, value: 1 });
    assert(await comes(changed, true));
  },
);

testWords(
  "awaiting a word submits what is staged at the end of the turn",
  async (scene) => {
    const { aio, fixture, waits, word, host } = scene;
    aio.enterBatchmode();
    const { ref } = startRead(fixture);
    const changed = waits.changed(word, 0);
    assert(aio.haveStaged);
    await Promise.resolve();
    await Promise.resolve();
    assertEquals(aio.haveStaged, false);
    aio.exitBatchmode();
    changeWord(host, word, 1);
    await changed;
    await aio.wait(ref);
  },
  { only: STAGING },
);

testWordsOfDead(
  "an awaited word that a dead thread was to change ends by itself",
  async ({ waits, word }) => {
    hooks.reapBackend = (host) => changeWord(host, word, 7);
    await waits.changed(word, 0);
    assertEquals(Atomics.load(word.words, word.index), 7);
  },
);

testWords("forget() ends the sleep, and the waiter is not told", async (scene) => {
  const { aio, waits, word, host } = scene;
  using watch = new PollWatch(backendOf(aio).libc);
  const told: string[] = [];
  const [one, two] = ["one", "two"].map((name) => ({ completed: () => told.push(name) }));
  for (const waiter of [one!, two!]) waits.whenChanged(word, 0, waiter);
  const poll = await watch.untilParked();
  waits.forget(one!);
  assertEquals([waits.count, poll.result], [1, null]);
  waits.forget(two!);
  assert(await poll.ended > 0);
  changeWord(host, word, 1);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(told, []);
});

testEachCoreMethod("close() ends the waits for words, and later ones are refused", async (test) => {
  await using opened = await test.open({}, LAYERS);
  await withScene(opened, async ({ aio, fixture, waits, word }) => {
    const changed = waits.changed(word, 0);
    await fixture.file.close();
    await aio.close();
    await changed;
    assertEquals(Atomics.load(word.words, word.index), 0);
    const error = await assertRejects(() => waits.changed(word, 0), Deno.errors.BadResource);
    assertEquals(error.message, "Cannot wait: aio is closed");
    assertThrows(() => waits.waitSync(word, 0), Deno.errors.BadResource, error.message);
  });
});

// --- both ---

testWordsOfDead("a hook of a layer may wake, but not wait", (scene) => {
  const { aio, waits, word } = scene;
  let count = 0;
  hooks.reapBackend = (host) => {
    const completed = () => {};
    for (
      const call of [
        () => waits.waitSync(word, 0),
        () => waits.whenChanged(word, 0, { completed }),
      ]
    ) {
      assertThrows(call, AioApiError, "a callback may not wait");
      count++;
    }
    changeWord(host, word, 1);
  };
  aio.reapBackend(1);
  assertEquals([count, Atomics.load(word.words, word.index)], [2, 1]);
});

testWords("wakeWord() rings those who wait for the word, once", (scene) => {
  const { word, host } = scene;
  const rung: number[] = [];
  const bells = Object.create(host.bells);
  bells.ringAll = (mask: number) => rung.push(mask);
  bells.isOwnIn = () => false;
  wakeWord(bells, word);
  Atomics.store(word.words, word.waiters, 6);
  wakeWord(bells, word);
  wakeWord(bells, word);
  assertEquals([rung, bitsOf(word)], [[6], 0]);
});
