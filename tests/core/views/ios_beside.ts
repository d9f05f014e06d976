/**
 * ios_beside.ts: listings of IOs beside a thread that uses the handles meanwhile.
 *
 * @module
 */

import { assertEquals, assertNotEquals } from "@std/assert";
import { type Control, HANDLE } from "../../../core/memory/shared_memory.ts";
import type { IoRow } from "../../../core/views/io_rows.ts";
import { differences, type ListIos, makeControl, USE_TARGETS } from "./ios_rows.ts";

/** A thread that uses the handles of a control, one after the other, until `stop` is set. */
async function startUser(control: Control, stop: Int32Array<SharedArrayBuffer>) {
  const bases = Array.from({ length: control.handleCount }, (_, index) => control.handleAt(index));
  const fixture = new URL("../fixtures/handle_uses.ts", import.meta.url);
  const text = `
    import { useHandle } from ${JSON.stringify(fixture)};
    self.onmessage = ({ data: { words, bases, stop } }) => {
      self.postMessage("started");
      let random = 1;
      const pause = () => {
        random = (Math.imul(random, 1664525) + 1013904223) | 0;
        for (let spins = random >>> 26; spins > 0; spins--) Atomics.load(stop, 0);
      };
      while (Atomics.load(stop, 0) === 0) for (const base of bases) useHandle(words, base, pause);
      self.postMessage("stopped");
    };
    self.postMessage("ready");
  `;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(text)}`, { type: "module" });
  const message = () =>
    new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
    });
  await message();
  worker.postMessage({ words: control.words, bases, stop });
  await message();
  return {
    async stop() {
      Atomics.store(stop, 0, 1);
      await message();
    },
    [Symbol.dispose]: () => worker.terminate(),
  };
}

/**
 * Lists beside a working thread, until a listing is wrong.
 *
 * @returns how many rows there were, and those that are wrong
 */
export async function listBeside(
  list: ListIos,
  times: number,
): Promise<{ rows: number; faults: IoRow[] }> {
  const control = makeControl(2, 2);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  using user = await startUser(control, stop);
  const faults: IoRow[] = [];
  let count = 0;
  for (let i = 0; i < times && faults.length === 0; i++) {
    const rows = list(control, USE_TARGETS, () => true);
    count += rows.length;
    for (const row of rows) if (differences(row).length > 0) faults.push(row);
  }
  await user.stop();
  assertNotEquals(control.words[control.handleAt(3) + HANDLE.generationLow], 1);
  assertEquals(list(control, USE_TARGETS), []);
  return { rows: count, faults };
}
