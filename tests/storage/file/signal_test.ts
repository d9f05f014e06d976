/**
 * signal_test.ts: an AbortSignal ends the wait for an operation, at any time, and nothing else: the
 * file closes, nothing is kept, and the buffer belongs to its owner again.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { AioFile } from "../../../storage/mod.ts";
import { testSharedAios } from "../../support/methods.ts";
import { contentAt, testSeed, withPrng } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const LARGE_BYTES = 200_000;

/** Registers a test for each method; it gets a file, and must keep nothing. */
function testFile(name: string, use: (file: AioFile, path: string) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await writeRandomFile(path, LARGE_BYTES, 1);
    await using file = await aio.openFile(path, { read: true, write: true });
    await use(file, path);
    await file.close();
    assertEquals([backendOf(aio).idleCount, backendOf(aio).arena.freeBytes], [4, 65_536], "kept");
  }, { options: { arenaBytes: 65_536, maxConcurrency: 4 } });
}

/** What a promise rejects with. */
async function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then((value) => ({ value }), (reason) => ({ reason }));
  assert("reason" in outcome, `it did not reject: ${JSON.stringify(outcome)}`);
  return outcome.reason;
}

testFile(
  "a signal that is aborted already rejects with its reason, and does nothing",
  async (file, path) => {
    const reason = { why: "no more" };
    const signal = AbortSignal.abort(reason);
    const buffer = new Uint8Array(10).fill(0xee);
    assertStrictEquals(await reasonOf(file.readAt(buffer, 0, { signal })), reason);
    assertStrictEquals(await reasonOf(file.readAt([buffer], 0, { signal })), reason);
    assertStrictEquals(await reasonOf(file.writeAt(buffer, 0, { signal })), reason);
    assertStrictEquals(await reasonOf(file.sync({ signal })), reason);
    assertStrictEquals(await reasonOf(file.syncData({ signal })), reason);
    assertEquals(buffer, new Uint8Array(10).fill(0xee));
    assertEquals((await Deno.readFile(path)).slice(0, 10), contentAt(1, 0, 10));
  },
);

testFile("the default reason of a signal is an AbortError", async (file) => {
  const error = await assertRejects(
    () => file.readAt(new Uint8Array(1), 0, { signal: AbortSignal.abort() }),
    DOMException,
  );
  assertEquals(error.name, "AbortError");
});

testFile("a signal that never aborts changes nothing", async (file) => {
  const { signal } = new AbortController();
  const buffer = new Uint8Array(LARGE_BYTES);
  assertEquals(await file.readAt(buffer, 0, { signal }), LARGE_BYTES);
  assertEquals(buffer, contentAt(1, 0, LARGE_BYTES));
  assertEquals(await file.readAt(buffer.subarray(0, 10), 5, { signal }), 10);
  assertEquals(await file.writeAt(buffer, 0, { signal }), LARGE_BYTES);
  await file.sync({ signal });
});

testFile(
  "a signal that aborts right after the call rejects, and the file still closes",
  async (file) => {
    const controller = new AbortController();
    const { signal } = controller;
    const pending = [
      file.readAt(new Uint8Array(LARGE_BYTES), 0, { signal }),
      file.writeAt(new Uint8Array(LARGE_BYTES), 0, { signal }),
    ].map(reasonOf);
    controller.abort("enough");
    assertEquals(await Promise.all(pending), ["enough", "enough"]);
    await file.close();
  },
);

testFile("a signal that aborts while transfers wait for room frees their places", async (file) => {
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = Array.from(
    { length: 50 },
    () => reasonOf(file.readAt(new Uint8Array(LARGE_BYTES), 0, { signal })),
  );
  const others = Array.from({ length: 50 }, () => new Uint8Array(20_000));
  const reads = others.map((buffer, i) => file.readAt(buffer, i));
  controller.abort("enough");
  assertEquals(await Promise.all(aborted), new Array(50).fill("enough"));
  assertEquals(await Promise.all(reads), new Array(50).fill(20_000));
  for (const [i, buffer] of others.entries()) assertEquals(buffer, contentAt(1, i, 20_000));
});

testFile("a buffer is not written to after its read was aborted", async (file) => {
  const controller = new AbortController();
  const buffer = new Uint8Array(LARGE_BYTES);
  const pending = reasonOf(file.readAt(buffer, 0, { signal: controller.signal }));
  controller.abort("enough");
  await pending;
  const before = buffer.slice();
  await file.close();
  assertEquals(buffer, before);
});

testFile("a write that was aborted has written a prefix, or nothing", async (file, path) => {
  const controller = new AbortController();
  const data = new Uint8Array(LARGE_BYTES).fill(0xee);
  const pending = reasonOf(file.writeAt(data, 0, { signal: controller.signal }));
  controller.abort("enough");
  await pending;
  await file.close();
  const content = await Deno.readFile(path);
  const original = contentAt(1, 0, LARGE_BYTES);
  let prefix = content.findIndex((byte, i) => byte !== 0xee || original[i] === 0xee);
  if (prefix < 0) prefix = LARGE_BYTES;
  while (content[prefix] === 0xee && original[prefix] !== 0xee) prefix++;
  assert(prefix <= LARGE_BYTES);
  const rest = Math.min(LARGE_BYTES, Math.ceil((prefix + 1) / 16_384) * 16_384);
  assertEquals(content.slice(rest), original.slice(rest));
});

testFile("a signal that aborts when all is done changes nothing", async (file) => {
  const controller = new AbortController();
  const { signal } = controller;
  assertEquals(await file.readAt(new Uint8Array(10), 0, { signal }), 10);
  controller.abort();
  assertEquals(await file.readAt(new Uint8Array(10), 0), 10);
});

testFile("one signal ends 100 operations, and its listeners go", async (file) => {
  const controller = new AbortController();
  const { signal } = controller;
  let listeners = 0;
  const counted = new Proxy(signal, {
    get(target, name) {
      if (name === "addEventListener") listeners++;
      if (name === "removeEventListener") listeners--;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const reads = Array.from(
    { length: 100 },
    () => file.readAt(new Uint8Array(10_000), 0, { signal: counted }),
  );
  await Promise.all(reads);
  assertEquals(listeners, 0);
});

testFile(
  "signals that abort at random times leave nothing behind",
  (file) =>
    withPrng(async (prng) => {
      for (let round = 0; round < 20; round++) {
        const controllers: AbortController[] = [];
        const pending = Array.from({ length: 20 }, () => {
          const controller = new AbortController();
          controllers.push(controller);
          const { signal } = controller;
          const buffer = new Uint8Array(prng.pick([10, 5_000, 100_000]));
          if (prng.chance(1, 5)) return file.sync({ signal });
          return prng.chance(1, 3)
            ? file.writeAt(buffer, prng.below(1_000), { signal })
            : file.readAt(buffer, prng.below(LARGE_BYTES), { signal });
        });
        const settled = Promise.allSettled(pending);
        for (const controller of prng.shuffled(controllers)) {
          if (prng.chance(1, 2)) controller.abort("enough");
          for (let i = prng.below(4); i > 0; i--) await null;
          if (prng.chance(1, 20)) await new Promise((resolve) => setTimeout(resolve));
        }
        for (const outcome of await settled) {
          if (outcome.status === "rejected") assertEquals(outcome.reason, "enough");
        }
      }
    }, testSeed()),
);

testFile("options that are no signal are refused or ignored, never hung on", async (file) => {
  assertEquals(await file.readAt(new Uint8Array(1), 0, {}), 1);
  assertEquals(await file.readAt(new Uint8Array(1), 0, { signal: undefined }), 1);
  const wrong = { signal: "soon" as unknown } as { signal: AbortSignal };
  await assertRejects(() => file.readAt(new Uint8Array(1), 0, wrong), TypeError);
});
