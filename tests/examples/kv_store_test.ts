/** kv_store_test.ts: the store keeps what was put, in all threads, and over everything. */

import { assert, assertEquals } from "@std/assert";
import { KvStore } from "../../examples/kv_store.ts";
import type { Aio } from "../../mod.ts";
import { testSharedAios } from "../support/methods.ts";
import { tempDir } from "../support/temp.ts";
import { runFreely } from "./example_run.ts";
import type { KvAsk } from "./fixtures/kv_store_worker.ts";

const THREADS = 2;
const COUNT = 50;

/** Registers a test for each method that gets the folder of a store. */
function testStore(name: string, use: (aio: Aio, dir: string) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    await use(aio, dir.join("store"));
    assertEquals(aio.ios(), []);
  }, { options: { arenaBytes: 4 * 1024 * 1024 } });
}

const bytesOf = (text: string) => new TextEncoder().encode(text);

function textsOf(store: KvStore, prefix = ""): Record<string, string> {
  const entries = [...store.scan(prefix)];
  return Object.fromEntries(entries.map(([key, value]) => [key, new TextDecoder().decode(value)]));
}

testStore("KvStore keeps what was put and deleted over a reopening", async (aio, dir) => {
  {
    await using store = await KvStore.open(aio, dir);
    await Promise.all(["b", "a", "ab"].map((key) => store.put(key, bytesOf(key))));
    await store.put("a", bytesOf("newer"));
    await store.delete("b");
    assertEquals(store.get("b"), null);
    assertEquals(textsOf(store), { a: "newer", ab: "ab" });
  }
  await using again = await KvStore.open(aio, dir);
  assertEquals(textsOf(again), { a: "newer", ab: "ab" });
  assertEquals(textsOf(again, "ab"), { ab: "ab" });
});

testStore("KvStore forgets nothing by compacting, and brings nothing back", async (aio, dir) => {
  await using store = await KvStore.open(aio, dir);
  for (let i = 0; i < 200; i++) await store.put(`key ${i % 10}`, bytesOf(`${i}`));
  await store.delete("key 3");
  const before = textsOf(store);
  // What is put and deleted meanwhile is newer than what is copied.
  const [bytes] = await Promise.all([
    store.compact(),
    store.put("key 4", bytesOf("meanwhile")),
    store.delete("key 5"),
  ]);
  assert(bytes < 2000, `${bytes} bytes`);
  const kept = { ...before, "key 4": "meanwhile" };
  Reflect.deleteProperty(kept, "key 5");
  assertEquals(textsOf(store), kept);
  await store[Symbol.asyncDispose]();
  await using again = await KvStore.open(aio, dir);
  assertEquals(textsOf(again), kept);
});

testStore("KvStore is one for all threads: each follows what the others put", async (aio, dir) => {
  await using store = await KvStore.open(aio, dir);
  const answers = Array.from({ length: THREADS }, (_, thread) => {
    const url = new URL("./fixtures/kv_store_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    worker.onmessage = ({ data }) => {
      worker.terminate();
      resolve(data);
    };
    worker.onerror = (event) => reject(new Error(event.message));
    const ask: KvAsk = { aio: aio.token, log: store.token, thread, count: COUNT };
    worker.postMessage(ask);
    return promise;
  });
  assertEquals(await Promise.all(answers), [true, true]);
  await store.catchUp();
  const followed = textsOf(store);
  assertEquals(Object.keys(followed).length, (THREADS + 1) * COUNT);
  await store[Symbol.asyncDispose]();
  // Another thread may have been the last to put a key: the log says who was.
  await using again = await KvStore.open(aio, dir);
  assertEquals(textsOf(again), followed);
});

Deno.test("KvStore: the program does what it is asked for", async () => {
  await using dir = await tempDir();
  const run = (...args: string[]) => runFreely("kv_store.ts", [dir.join("store"), ...args]);
  assertEquals((await run("put", "a", "one")).code, 0);
  assertEquals((await run("get", "a")).stdout, "one\n");
  assertEquals((await run("get", "b")).code, 1);
  assertEquals((await run("list")).stdout, "a\tone\n");
  assertEquals((await run("nothing")).code, 2);
});
