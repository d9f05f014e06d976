/**
 * layer_hooks_test.ts: the hooks of layers when a thread dies or a file closes: when they are
 * called, and how often. One thread dies for all methods at once, as it takes longer to start than
 * all the tests do.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioApiError } from "../../../core/base/errors.ts";
import { IDLE } from "../../../core/memory/handle_state.ts";
import * as locks from "../../../core/memory/lock.ts";
import { HANDLE, HEADER } from "../../../core/memory/shared_memory.ts";
import { FAULTS } from "../../methods/fixtures/worker_faults.ts";
import type { Aio } from "../../../mod.ts";
import type { Fixture } from "../../support/core.ts";
import {
  type CoreTest,
  testCoresAtOnce,
  testEachCoreMethod,
  testSharedCores,
} from "../../support/core_methods.ts";
import { LayerThread } from "../../support/layers/layer_thread.ts";
import { hooks, spyLayer } from "../../support/layers/spy_layer.ts";
import { until } from "../../support/patience.ts";

const DEAD = 1;
const FAULTS_MODULE = new URL("../../methods/fixtures/worker_faults.ts", import.meta.url);

const LAYERS = [spyLayer];

/** Runs a test, and takes its hooks away after it. */
async function withHooks(fn: () => void | Promise<void>): Promise<void> {
  try {
    await fn();
  } finally {
    hooks.reapBackend = hooks.closingFile = undefined;
  }
}

/** Registers a test for each method; its hooks end with it. */
function testHooks(
  name: string,
  fn: (fixture: Fixture) => void | Promise<void>,
): void {
  const needs = { layers: LAYERS };
  testSharedCores(`layers: ${name}`, (fixture) => withHooks(() => fn(fixture)), needs);
}

/** The same for a test that needs an Aio of its own. */
function testOwnHooks(
  name: string,
  only: string,
  fn: (test: CoreTest) => Promise<void>,
): void {
  testEachCoreMethod(`layers: ${name}`, (test) => withHooks(() => fn(test)), { only: [only] });
}

/**
 * The same for a test that finds a thread dead, which was attached as {@linkcode DEAD}.
 *
 * @param prepare what the thread did before
 */
function testHooksOfDead(
  name: string,
  prepare: Prepare,
  fn: (fixture: Fixture) => void | Promise<void>,
): void {
  testCoresAtOnce(
    `layers: ${name}`,
    (fixtures) => LayerThread.dieIn(fixtures, LAYERS, prepare),
    (fixture) => withHooks(() => fn(fixture)),
    { layers: LAYERS },
  );
}

type Prepare = (thread: LayerThread, fixture: Fixture) => Promise<unknown>;

const doNothing: Prepare = () => Promise.resolve();

/** Has a thread open the fixture's file. @returns the slot */
function openFile(thread: LayerThread, { file }: Fixture): Promise<number> {
  return thread.ask<number>({ what: "openFile", path: file.path });
}

function statesOf({ aio }: Fixture, id: number): number[] {
  const { control } = backendOf(aio);
  const { handlesPerBackend: count } = control;
  return Array.from(
    { length: count },
    (_, i) => control.words[control.handleAt(id * count + i) + HANDLE.state]!,
  );
}

testHooksOfDead(
  "reapBackend() comes after the dead thread's handles and before its files",
  async (thread, fixture) => {
    await openFile(thread, fixture);
    await thread.ask({ what: "read", callback: "spy" });
    await thread.ask({ what: "acquire" });
  },
  (fixture) => {
    const { aio } = fixture;
    const { files } = backendOf(aio);
    const seen: unknown[] = [];
    hooks.reapBackend = (_host, deadId) => {
      const isIdle = statesOf(fixture, DEAD).every((state) => state === IDLE);
      seen.push([deadId, isIdle, files.isLastOfAny(DEAD)]);
    };
    aio.reapBackend(DEAD);
    assertEquals(seen, [[DEAD, true, true]]);
    assertEquals(files.count, 1);
  },
);

testHooksOfDead(
  "reapBackend() is called again by whoever goes on for a reaper that died",
  doNothing,
  async ({ aio, file }) => {
    await using reaper = await LayerThread.start(aio, file, LAYERS);
    await reaper.dieReaping(aio, DEAD);
    const seen: number[] = [];
    hooks.reapBackend = (_host, deadId) => seen.push(deadId);
    aio.reapBackend(DEAD);
    aio.reapBackend(DEAD + 1);
    assertEquals(seen, [DEAD, DEAD + 1]);
  },
);

testOwnHooks(
  "reapBackend() is called by a thread that takes the slot of the dead one",
  "held",
  async (test) => {
    await using fixture = await test.open({ maxBackends: 2 }, LAYERS);
    const { aio, file } = fixture;
    await LayerThread.dieIn([fixture], LAYERS, (thread) => thread.ask({ what: "acquire" }));
    await using thread = await LayerThread.start(aio, file, LAYERS);
    assertEquals(await thread.ask({ what: "reaped" }), [DEAD]);
  },
);

testHooksOfDead(
  "what one says in a thread that only reaps is in the log of the thread that started it",
  // To close a file may block, so another thread does that.
  openFile,
  async ({ aio, logs }) => {
    const reap = () => {
      backendOf(aio).reapDead("eventLoop");
      return aio.backends().length === 1;
    };
    await until(reap, "the dead thread is taken over from");
    await until(() => logs.some((line) => line.startsWith("reaped")), "the last line is there");
    assert(logs.includes(`spy: ${DEAD} has died`), logs.join("\n"));
  },
);

testHooksOfDead(
  "one that throws is a warning, and the dead thread is taken over from",
  openFile,
  ({ aio, warnings }) => {
    const cause = new Error("not today");
    hooks.reapBackend = () => {
      throw cause;
    };
    aio.reapBackend(DEAD);
    const message = 'The layer "spy" failed in reapBackend(), and may keep what it should not';
    assertEquals(warnings, [{ message, cause }]);
    assertEquals([aio.backends().length, backendOf(aio).files.count], [1, 1]);
  },
);

testHooksOfDead(
  "a reaper that was ended itself, in the middle of a lock, leaves the dead thread to another",
  doNothing,
  (fixture) => {
    const { aio } = fixture;
    const { control, threadId } = backendOf(aio).arena;
    const lockAt = HEADER.arenaLock;
    let calls = 0;
    hooks.reapBackend = () => {
      calls++;
      locks.locked(control.words, lockAt, threadId, () => true, () => {});
    };
    locks.lock(control.words, lockAt, threadId);
    backendOf(aio).reapDead("eventLoop");
    // To try again and again would keep the thread alive, and with it the lock.
    assertThrows(() => aio.reapBackend(DEAD), locks.LockedTwiceError);
    assertEquals(calls, 2);
    locks.unlock(control.words, lockAt, threadId);
    assertEquals([aio.backends().length, fixture.messages()], [2, []]);
    aio.reapBackend(DEAD);
    assertEquals([aio.backends().length, calls], [1, 3]);
  },
);

testHooksOfDead("a hook may not start IO or wait", doNothing, (fixture) => {
  const { aio } = fixture;
  const ref = aio.acquire().waitRef();
  let count = 0;
  hooks.reapBackend = () => {
    for (const call of [() => aio.tryAcquire(), () => aio.waitSync(ref)]) {
      assertThrows(call, AioApiError, "was called from within a hook of a layer");
      count++;
    }
  };
  aio.reapBackend(DEAD);
  assertEquals([count, fixture.messages()], [2, []]);
  backendOf(aio).handleOf(ref.index).release();
});

testHooks("closingFile() comes before the slot of a file goes, once", async (fixture) => {
  const { aio, file } = fixture;
  const { files } = backendOf(aio);
  const seen: unknown[] = [];
  hooks.closingFile = (_host, slot) => seen.push([slot, files.count]);
  const close = [
    (one: typeof file) => one.close(),
    (one: typeof file) => one.closeSync(),
    (one: typeof file) => one[Symbol.asyncDispose](),
  ];
  for (const end of close) {
    const one = await aio.openFile(file.path);
    const { slot } = one.token;
    await end(one);
    assertEquals(seen.splice(0), [[slot, 2]]);
    assertEquals(files.count, 1);
  }
});

testHooks("closingFile() waits for the last user of the file", async (fixture) => {
  const { aio, file } = fixture;
  const seen: number[] = [];
  hooks.closingFile = (_host, slot) => seen.push(slot);
  const one = await aio.openFile(file.path);
  const { token } = one;
  const two = aio.attachFile(token);
  await one.close();
  assertEquals(seen, []);
  await two.close();
  assertEquals(seen, [token.slot]);
});

/** The slot of the file that the dead thread had open, for each Aio. */
const slots = new Map<Aio, number>();

testHooksOfDead(
  "closingFile() is called for the files of a thread that died",
  async (thread, fixture) => slots.set(fixture.aio, await openFile(thread, fixture)),
  ({ aio }) => {
    const { files } = backendOf(aio);
    const seen: unknown[] = [];
    hooks.closingFile = (_host, slot) => seen.push([slot, files.count]);
    aio.reapBackend(DEAD);
    assertEquals(seen, [[slots.get(aio), 2]]);
  },
);

testHooks("a file whose closingFile() throws is closed", async (fixture) => {
  const { aio, file } = fixture;
  hooks.closingFile = () => {
    throw new Error("not today");
  };
  await (await aio.openFile(file.path)).close();
  assertEquals(
    fixture.messages(),
    ['The layer "spy" failed in closingFile(), and may keep what it should not'],
  );
  assertEquals(backendOf(aio).files.count, 1);
});

testOwnHooks("reapBackend() is called for an IO Worker that died", "worker", async (test) => {
  const options = { workers: { min: 1, max: 1 }, callbackModules: [FAULTS_MODULE] };
  await using fixture = await test.open(options, LAYERS);
  const { aio, file } = fixture;
  const seen: number[] = [];
  hooks.reapBackend = (_host, deadId) => seen.push(deadId);
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.registerCallbacks(aio.callbackId("fault"), FAULTS.throwsIdle);
  handle.setIovec(aio.alloc(1));
  file.startReadv(handle, 0);
  await aio.wait(ref);
  await until(() => seen.length > 0, "the IO Worker is taken over from");
  assertEquals(seen, [aio.options.maxBackends]);
});
