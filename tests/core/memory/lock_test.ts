/** lock_test.ts: the lock of one word, within a thread and between two. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { AioInvariantError } from "../../../core/base/assert.ts";
import { AWAITED, lock, LockedTwiceError, tryLock, unlock } from "../../../core/memory/lock.ts";
import { replace } from "../../support/bells/bells.ts";

function word(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(16));
}

Deno.test("lock() writes who holds it, unlock() frees it", () => {
  const words = word();
  lock(words, 2, 77);
  assertEquals([...words], [0, 0, 77, 0]);
  unlock(words, 2, 77);
  assertEquals([...words], [0, 0, 0, 0]);
});

Deno.test("lock() twice by one thread is refused, not a hang", () => {
  const words = word();
  lock(words, 0, 77);
  const message = "A lock was taken twice by one thread";
  assertThrows(() => lock(words, 0, 77), LockedTwiceError, message);
  assertThrows(() => tryLock(words, 0, 77, () => true, false), LockedTwiceError, message);
  assertEquals(words[0], 77);
  unlock(words, 0, 77);
});

Deno.test("a lock is taken over from a dead thread whose number this one has now", () => {
  const words = word();
  words[0] = words[1] = 77;
  lock(words, 0, 77);
  unlock(words, 0, 77);
  assert(tryLock(words, 1, 77, () => true, false));
  unlock(words, 1, 77);
  assertEquals([...words], [0, 0, 0, 0]);
});

for (const holder of [0, 78]) {
  Deno.test(`unlock() of a lock that ${holder || "nobody"} holds is refused and changes nothing`, () => {
    const words = word();
    words[0] = holder;
    assertThrows(
      () => unlock(words, 0, 77),
      AioInvariantError,
      "A lock was given back by a thread that does not hold it",
    );
    assertEquals(words[0], holder);
  });
}

/** A Worker that counts up a plain word under the lock, and says when it is done. */
function counter(words: Int32Array<SharedArrayBuffer>, threadId: number, rounds: number) {
  const text = `
    import { lock, unlock } from ${
    JSON.stringify(new URL("../../../core/memory/lock.ts", import.meta.url))
  };
    self.onmessage = ({ data: { words, threadId, rounds } }) => {
      for (let i = 0; i < rounds; i++) {
        lock(words, 0, threadId);
        words[1] = words[1] + 1;
        unlock(words, 0, threadId);
      }
      self.postMessage("done");
    };
    self.postMessage("ready");
  `;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(text)}`, { type: "module" });
  const messages = () =>
    new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (event) => reject(new Error(event.message));
    });
  const ready = messages();
  return {
    ready,
    async run() {
      const done = messages();
      worker.postMessage({ words, threadId, rounds });
      await done;
    },
    [Symbol.dispose]: () => worker.terminate(),
  };
}

Deno.test("lock() keeps two threads apart, and nobody waits for ever", async () => {
  const words = word();
  using one = counter(words, 1, 20_000);
  using other = counter(words, 2, 20_000);
  await Promise.all([one.ready, other.ready]);
  await Promise.all([one.run(), other.run()]);
  assertEquals([words[0], words[1]], [0, 40_000]);
});

Deno.test("lock() waits for a holder in another thread, blocking", async () => {
  const words = word();
  const text = `
    self.onmessage = ({ data: words }) => {
      Atomics.store(words, 0, 9);
      Atomics.store(words, 1, 1);
      Atomics.notify(words, 1);
      Atomics.wait(words, 2, 0, 30);
      Atomics.store(words, 3, 1);
      Atomics.store(words, 0, 0);
    };
    self.postMessage("ready");
  `;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(text)}`, { type: "module" });
  await new Promise((resolve) => worker.onmessage = resolve);
  worker.postMessage(words);
  Atomics.wait(words, 1, 0, 5000);
  assertEquals(words[0], 9);
  lock(words, 0, 77);
  assertEquals([words[0]! & ~AWAITED, words[3]], [77, 1]);
  unlock(words, 0, 77);
  worker.terminate();
  assert(words[0] === 0);
});

Deno.test("lock() is taken over from a holder that has died, and from no other", () => {
  const words = word();
  words[0] = 78;
  const asked: number[] = [];
  let sleeps = 0;
  using _wait = replace(Atomics, "wait", () => {
    sleeps++;
    return "timed-out";
  });
  lock(words, 0, 77, (threadId) => {
    if (asked.length === 0) assertEquals(sleeps, 100); // The holder is given time.
    asked.push(threadId);
    return asked.length < 3;
  });
  assertEquals(asked, [78, 78, 78]);
  unlock(words, 0, 77);
  assertEquals(words[0], 0);
});

/** How often `unlock()` wakes somebody, after what another thread did meanwhile. */
function countNotified(meanwhile: (words: Int32Array<SharedArrayBuffer>) => void): number {
  const words = word();
  let count = 0;
  using _notify = replace(Atomics, "notify", () => count++);
  lock(words, 0, 77);
  meanwhile(words);
  unlock(words, 0, 77);
  assertEquals(words[0], 0);
  return count;
}

Deno.test("unlock() calls nobody where nobody sleeps for the lock", () => {
  assertEquals(countNotified(() => {}), 0);
  const isTaken = (words: Int32Array<SharedArrayBuffer>) => tryLock(words, 0, 78, () => true, true);
  assertEquals(countNotified((words) => assertEquals(isTaken(words), false)), 0);
});

/** Another thread sleeps for the lock until its second look, which finds the first holder gone. */
function sleepOnce(words: Int32Array<SharedArrayBuffer>, threadId: number): void {
  const seen = Atomics.load(words, 0);
  using _wait = replace(Atomics, "wait", (_words, _index, value) => {
    assertEquals([value, Atomics.load(words, 0)], [seen | AWAITED, seen | AWAITED]);
    Atomics.store(words, 0, 0);
    return "ok";
  });
  lock(words, 0, threadId);
}

Deno.test("unlock() wakes one thread where one says that it sleeps", () => {
  const mark = (words: Int32Array<SharedArrayBuffer>) => Atomics.or(words, 0, AWAITED);
  assertEquals(countNotified(mark), 1);
});

Deno.test("a thread that has slept for the lock wakes the next one when it gives it back", () => {
  const words = word();
  let count = 0;
  using _notify = replace(Atomics, "notify", () => count++);
  lock(words, 0, 77);
  sleepOnce(words, 78);
  unlock(words, 0, 78);
  assertEquals([words[0], count], [0, 1]);
});

Deno.test("tryLock() of a dead holder's lock leaves those who sleep to be woken", () => {
  const words = word();
  let count = 0;
  using _notify = replace(Atomics, "notify", () => count++);
  words[0] = 78 | AWAITED;
  assertEquals(tryLock(words, 0, 77, () => true, true), false);
  assertEquals(tryLock(words, 0, 77, (threadId) => threadId !== 78, true), true);
  unlock(words, 0, 77);
  assertEquals([words[0], count], [0, 1]);
});
