/**
 * shared_descriptors_test.ts: a file that several threads use keeps every descriptor until the last
 * of them is done, whichever that is. Then the thread that opened the file closes Deno's own
 * descriptor.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import type { Aio } from "../../../storage/mod.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { until } from "../../support/patience.ts";
import { PosixLock } from "../../support/disks/posix_lock.ts";
import { countDescriptorsOf, LIBRARY_URL } from "../../support/program.ts";
import { tempFile } from "../../support/temp.ts";
import { Turns } from "../../support/turns.ts";

const isLinux = Deno.build.os === "linux";
const turns = new Turns(7);

const PROGRAM = `
import { Aio } from ${JSON.stringify(LIBRARY_URL)};
let aio, file;
const acts = {
  attach: async (token) => { aio = await Aio.attach(token); },
  open: async (path) => { file = await aio.openFile(path); return file.token; },
  attachFile: (token) => { file = aio.attachFile(token); },
  read: () => file.readAt(new Uint8Array(5), 0),
  closeFile: () => file.close(),
  close: () => aio.close(),
  end: () => self.close(),
};
self.onmessage = async ({ data: [act, argument] }) => {
  try {
    self.postMessage([await acts[act](argument)]);
  } catch (error) {
    self.postMessage([String(error)]);
  }
};`;

/** A Worker that is attached, and does what the test sends. */
class Other implements Disposable {
  readonly #worker = new Worker(`data:text/javascript,${encodeURIComponent(PROGRAM)}`, {
    type: "module",
  });

  ask<T = undefined>(act: string, argument?: unknown): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<T>();
    this.#worker.onmessage = ({ data }: MessageEvent<[T]>) => resolve(data[0]);
    this.#worker.postMessage([act, argument]);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** Waits until the dead Worker is reaped, and the file closed with it. */
async function untilReaped(aio: Aio, path: string): Promise<void> {
  await until(() => {
    backendOf(aio).reapDead();
    return descriptorsOf(path) === 0;
  }, "the file is closed");
}

function testShared(
  name: string,
  use: (aio: Aio, other: Other, path: string, lock: PosixLock) => Promise<void>,
): void {
  testEachMethod(name, (method) => withOther(method, use), isLinux, turns);
}

async function withOther(
  method: IoMethodName,
  use: (aio: Aio, other: Other, path: string, lock: PosixLock) => Promise<void>,
): Promise<void> {
  await using temp = await tempFile();
  const { path } = temp;
  using lock = new PosixLock(path);
  await using aio = await openAio(method);
  using other = new Other();
  await other.ask("attach", aio.token);
  await use(aio, other, path, lock);
  assertEquals(backendOf(aio).files.count, 0);
}

/** How often the file is open, without the two descriptors of the lock. */
function descriptorsOf(path: string): number {
  return countDescriptorsOf(path) - 2;
}

testShared(
  "a file of the main thread has one descriptor, shared or not",
  async (aio, other, path) => {
    const file = await aio.openFile(path);
    assertEquals(descriptorsOf(path), 1);
    await other.ask("attachFile", file.token);
    assertEquals([await other.ask<number>("read"), descriptorsOf(path)], [5, 1]);
    await file.close();
    assertEquals([await other.ask<number>("read"), descriptorsOf(path)], [5, 1]);
    await other.ask("closeFile");
    await until(() => descriptorsOf(path) === 0, "the main thread closes its descriptor");
    await other.ask("close");
  },
);

testShared(
  "the last user in a Worker keeps the process's locks until then",
  async (aio, other, path, lock) => {
    const file = await aio.openFile(path, { read: true, write: true });
    await other.ask("attachFile", file.token);
    await file.close();
    assertEquals([await other.ask<number>("read"), lock.isHeld()], [5, true]);
    await other.ask("closeFile");
    await until(() => !lock.isHeld(), "the locks are dropped");
    await other.ask("close");
  },
);

testShared(
  "a Worker that opened a file keeps Deno's descriptor for the main thread",
  async (aio, other, path, lock) => {
    const token = await other.ask<Parameters<Aio["attachFile"]>[0]>("open", path);
    assertEquals(descriptorsOf(path), 2);
    const file = aio.attachFile(token);
    await other.ask("closeFile");
    await other.ask("close");
    assertEquals([descriptorsOf(path), lock.isHeld()], [2, true], "after the Worker's aio.close()");
    assertEquals(await file.readAt(new Uint8Array(5), 0), 5);
    await file.close();
    await until(() => descriptorsOf(path) === 0, "the Worker closes Deno's descriptor");
  },
);

testShared("a Worker that ends leaves its file to whoever uses it", async (aio, other, path) => {
  const file = aio.attachFile(await other.ask("open", path));
  void other.ask("end"); // It ends without an answer.
  await until(() => descriptorsOf(path) === 1, "Deno closes its descriptor");
  assertEquals(await file.readAt(new Uint8Array(5), 0), 5);
  await file.close();
  await untilReaped(aio, path);
});

testShared(
  "a Worker that ends as the last user leaves the descriptor to be closed",
  async (aio, other, path) => {
    const file = await aio.openFile(path);
    await other.ask("attachFile", file.token);
    await file.close();
    void other.ask("end"); // It ends without an answer.
    await untilReaped(aio, path);
  },
);

testShared(
  "aio.close() of the main thread leaves a file to the Worker that uses it",
  async (aio, other, path, lock) => {
    const file = await aio.openFile(path);
    await other.ask("attachFile", file.token);
    await file.close();
    await aio.close();
    assertEquals([descriptorsOf(path), lock.isHeld()], [1, true]);
    await other.ask("closeFile");
    await other.ask("close");
    await until(() => descriptorsOf(path) === 0, "the main thread closes its descriptor");
  },
);

testShared("a lock ends with a Worker that ends as the last user", async (aio, other) => {
  await using temp = await tempFile();
  const open = () => aio.openFile(temp.path, { read: true, write: true });
  const [file, next] = [await open(), await open()];
  await other.ask("attachFile", file.token);
  await file.lock();
  const { awaited } = insideOf(file).calls;
  const { closeDenos } = awaited;
  let isEnded = false;
  let isClosed = false;
  // Only afterwards the main thread closes its descriptor, which shares the lock.
  awaited.closeDenos = async (...args) => {
    await until(() => isEnded, "the lock is looked at");
    await closeDenos(...args);
    isClosed = true;
  };
  try {
    await file.close();
    assertEquals(await next.tryLock(), false);
    void other.ask("end"); // It ends without an answer.
    await until(() => {
      backendOf(aio).reapDead();
      return backendOf(aio).files.count === 1;
    }, "the Worker is reaped");
    assertEquals(await next.tryLock(), true);
    isEnded = true;
    await until(() => isClosed, "the main thread closes its descriptor");
  } finally {
    isEnded = true;
    Object.assign(awaited, { closeDenos });
  }
  await next.close();
});
