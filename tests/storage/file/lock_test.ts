/**
 * lock_test.ts: locks keep other openings of a file out, of this process and of others, until they
 * are unlocked, the file is closed or the process ends; and nothing else takes them away.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { EBADF, EINVAL } from "../../../ffi/errno.ts";
import type { Aio, AioFile, LockOptions } from "../../../mod.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import { LineProcess } from "../../support/line_process.ts";
import { openAio, testEachMethod, testSharedAios } from "../../support/methods.ts";
import { until } from "../../support/patience.ts";
import { LIBRARY_URL } from "../../support/program.ts";
import { tempFile } from "../../support/temp.ts";

const BOTH = { read: true, write: true } as const;
const SHARED = { exclusive: false } as const;
const isPossible = Deno.build.os === "linux";

type UseTwo = (a: AioFile, b: AioFile, aio: Aio, path: string) => void | Promise<void>;

async function withTwo(aio: Aio, use: UseTwo): Promise<void> {
  await using temp = await tempFile();
  await using a = await aio.openFile(temp.path, BOTH);
  await using b = await aio.openFile(temp.path, BOTH);
  await use(a, b, aio, temp.path);
}

/** Registers a test that gets two openings of one file. */
function testTwo(name: string, use: UseTwo): void {
  testSharedAios(name, (aio) => withTwo(aio, use), { isPossible });
}

/** Begins to lock, and resolves when that waits. */
async function waiting(file: AioFile, options?: LockOptions) {
  const state = { isLocked: false };
  const locked = file.lock(options).then(() => void (state.isLocked = true));
  locked.catch(() => {});
  // Whether it waits is seen by others after its first try: two more of this thread come behind it.
  for (let i = 0; i < 2; i++) await file.tryLock({ offset: 1e6 + i });
  assertEquals([state.isLocked, insideOf(file).lockWaits.size], [false, 1]);
  return { state, locked };
}

testTwo("tryLock() and lock() exclude another opening until unlock()", async (a, b) => {
  assertEquals(await a.tryLock(), true);
  assertEquals([await b.tryLock(), await b.tryLock(SHARED)], [false, false]);
  await a.unlock();
  await b.lock();
  assertEquals([await a.tryLock(), await a.tryLock(SHARED)], [false, false]);
});

testTwo("tryLockSync(), lockSync() and unlockSync() do the same", (a, b) => {
  assertEquals(a.tryLockSync(), true);
  assertEquals([b.tryLockSync(), b.tryLockSync(SHARED)], [false, false]);
  a.unlockSync();
  b.lockSync();
  assertEquals([a.tryLockSync(), a.tryLockSync(SHARED)], [false, false]);
});

testTwo("lock() waits for another opening", async (a, b) => {
  await a.lock();
  const { state, locked } = await waiting(b);
  a.unlockSync();
  await locked;
  assertEquals([state.isLocked, a.tryLockSync()], [true, false]);
});

testTwo("shared locks share, and exclude an exclusive one", async (a, b, aio, path) => {
  await a.lock(SHARED);
  assertEquals([await b.tryLock(), b.tryLockSync(), await b.tryLock(SHARED)], [false, false, true]);
  await using third = await aio.openFile(path, { write: true });
  assertEquals(await third.tryLock(), false);
  await a.unlock();
  assertEquals(await third.tryLock(), false);
  await b.unlock();
  assertEquals(await third.tryLock(), true);
});

testTwo("lock() of what this opening has locked changes shared and exclusive", async (a, b) => {
  await a.lock(SHARED);
  await a.lock();
  assertEquals(await b.tryLock(SHARED), false);
  await a.lock(SHARED);
  assertEquals([await b.tryLock(SHARED), await a.tryLock()], [true, false]);
});

testTwo("ranges that do not overlap do not exclude each other", async (a, b) => {
  await a.lock({ offset: 100, length: 10 });
  assertEquals(await b.tryLock({ offset: 0, length: 100 }), true);
  assertEquals(await b.tryLock({ offset: 110 }), true);
  assertEquals(await b.tryLock({ offset: 109, length: 1 }), false);
  assertEquals(await a.tryLock({ offset: Number.MAX_SAFE_INTEGER }), false);
  await b.unlock({ offset: 50, length: 10 });
  assertEquals(await a.tryLock({ offset: 50, length: 10 }), true);
  assertEquals(a.tryLockSync({ offset: 60, length: 1 }), false);
});

testTwo("a lock to the end covers what the file grows by", async (a, b) => {
  await a.lock({ offset: 3 });
  await a.append(new Uint8Array(100));
  assertEquals(await b.tryLock({ offset: 90, length: 1 }), false);
  assertEquals(await b.tryLock({ length: 3 }), true);
});

testTwo("lock() ends with the signal's reason, and locks nothing then", async (a, b, aio, path) => {
  await a.lock();
  const end = new AbortController();
  const { locked } = await waiting(b, { signal: end.signal });
  const reason = new Error("enough");
  end.abort(reason);
  assertStrictEquals(await assertRejects(() => locked), reason);
  assertEquals(insideOf(b).lockWaits.size, 0);
  await a.unlock();
  await using third = await aio.openFile(path, BOTH);
  assertEquals(await third.tryLock(), true);
  assertStrictEquals(await assertRejects(() => b.lock({ signal: end.signal })), reason);
});

testTwo("close() ends those who wait, in a sentence, and unlocks", async (a, b, aio, path) => {
  await a.lock();
  const { locked } = await waiting(b);
  await b.close();
  const text = `Cannot lock ${JSON.stringify(path)}: the file was closed while it waited`;
  await assertRejects(() => locked, Deno.errors.BadResource, text);
  await a.close();
  await using third = await aio.openFile(path, BOTH);
  assertEquals(await third.tryLock(), true);
});

Deno.test({
  name: "aio.close() ends those who wait",
  ignore: !isPossible,
  async fn() {
    await using temp = await tempFile();
    await using other = await openAio("sync");
    await using holder = await other.openFile(temp.path, BOTH);
    await holder.lock();
    const aio = await openAio("sync", { onWarning: () => {} });
    const { locked } = await waiting(await aio.openFile(temp.path, BOTH));
    await aio.close();
    await assertRejects(() => locked, Deno.errors.BadResource, "was closed while it waited");
  },
});

Deno.test({
  name: "Aios that open, lock, append and close in turns lose no append",
  ignore: !isPossible,
  async fn() {
    await using temp = await tempFile("");
    const appendAll = async (name: string) => {
      await using aio = await openAio("sync");
      for (let i = 0; i < 20; i++) {
        await using log = await aio.openFile(temp.path, BOTH);
        await log.lock();
        const lines = [`${name} ${i}\n`, `${name} ${i} again\n`];
        await Promise.all(lines.map((line) => log.append(new TextEncoder().encode(line))));
      }
    };
    await Promise.all(["first", "second", "third"].map(appendAll));
    const lines = (await Deno.readTextFile(temp.path)).trimEnd().split("\n");
    assertEquals([lines.length, new Set(lines).size], [120, 120]);
  },
});

testTwo("close() unlocks also what another descriptor shares", async (a, b, aio) => {
  const { libc } = backendOf(aio);
  await a.lock();
  const duplicate = libc.duplicate(a.fd);
  await a.close();
  assertEquals(await b.tryLock(), true);
  b.unlockSync();
  libc.close(duplicate);
});

testTwo("closeSync() does so, too", async (a, b, aio) => {
  const { libc } = backendOf(aio);
  a.lockSync();
  const duplicate = libc.duplicate(a.fd);
  a.closeSync();
  assertEquals(b.tryLockSync(), true);
  libc.close(duplicate);
  await b.unlock();
});

testTwo("the close of another descriptor takes no lock away", async (a, b, aio, path) => {
  await a.lock();
  (await Deno.open(path)).close();
  await (await aio.openFile(path, BOTH)).close();
  aio.openFileSync(path).closeSync();
  assertEquals(await b.tryLock(), false);
});

testTwo("locks of one opening, and of what is attached to it, are one", async (a, b, aio) => {
  await using attached = aio.attachFile(a.token);
  await a.lock();
  assertEquals([await a.tryLock(), await attached.tryLock()], [true, true]);
  await a.close();
  assertEquals(await b.tryLock(), false);
  await attached.unlock();
  assertEquals(await b.tryLock(), true);
});

const ATTACHED = `
import { Aio } from ${JSON.stringify(LIBRARY_URL)};
self.onmessage = async ({ data: { aio: token, file: fileToken } }) => {
  const aio = await Aio.attach(token);
  const file = aio.attachFile(fileToken);
  self.postMessage(await file.tryLock());
  self.onmessage = async () => {
    await file.close();
    await aio.close();
    self.postMessage("closed");
  };
};`;

async function checkAttached(a: AioFile, b: AioFile, aio: Aio): Promise<void> {
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(ATTACHED)}`, {
    type: "module",
  });
  const ask = (what: unknown) => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    worker.onmessage = ({ data }) => resolve(data);
    worker.postMessage(what);
    return promise;
  };
  try {
    await a.lock();
    assertEquals(await ask({ aio: aio.token, file: a.token }), true);
    await a.close();
    assertEquals(await b.tryLock(), false);
    await ask("close");
    assertEquals(await b.tryLock(), true);
  } finally {
    worker.terminate();
  }
}

testEachMethod(
  "a file attached in another thread shares the locks, and its close ends them",
  async (method) => {
    // Its own one: this thread closes Deno's descriptor later, and at the end of the Aio at last.
    await using aio = await openAio(method);
    await withTwo(aio, checkAttached);
  },
  isPossible,
);

/** Does to a file what each line says, and says what came of it. */
const OTHER = `
  import { Aio } from ${JSON.stringify(LIBRARY_URL)};
  const aio = await Aio.open({ method: "sync" });
  const file = await aio.openFile(Deno.args[0], { read: true, write: true });
  const acts = {
    lock: () => file.lock().then(() => "locked"),
    tryLock: () => file.tryLock(),
    tryShared: () => file.tryLock({ exclusive: false }),
    unlock: () => file.unlock().then(() => "unlocked"),
    begin: () => void file.lock().then(() => console.log("locked")) ?? "begun",
  };
  const decoder = new TextDecoder();
  console.log("open");
  for await (const bytes of Deno.stdin.readable) {
    for (const line of decoder.decode(bytes).trim().split("\\n")) console.log(await acts[line]());
  }`;

/** Registers a test that gets an opening, and another process that has opened the file. */
function testOther(
  name: string,
  use: (
    file: AioFile,
    ask: (what: string) => Promise<string>,
    other: LineProcess,
  ) => Promise<void>,
): void {
  testSharedAios(name, async (aio) => {
    await using temp = await tempFile();
    await using file = await aio.openFile(temp.path, BOTH);
    await using other = new LineProcess(OTHER, [temp.path]);
    assertEquals(await other.nextLine(), "open");
    const ask = async (what: string) => {
      await other.say(what);
      return await other.nextLine();
    };
    await use(file, ask, other);
  }, { isPossible });
}

testOther("two processes exclude each other, and wait for each other", async (file, ask, other) => {
  await file.lock();
  await (await Deno.open(file.path)).close();
  assertEquals([await ask("tryLock"), await ask("tryShared")], ["false", "false"]);
  assertEquals(await ask("begin"), "begun");
  await file.unlock();
  assertEquals(await other.nextLine(), "locked");
  assertEquals([await file.tryLock(), await file.tryLock(SHARED)], [false, false]);
  const { locked } = await waiting(file, { length: 1 });
  assertEquals(await ask("unlock"), "unlocked");
  await locked;
  assertEquals(await ask("tryLock"), "false");
});

testOther("a process that is killed has no locks any more", async (file, ask, other) => {
  assertEquals(await ask("lock"), "locked");
  const { locked } = await waiting(file, { length: 1 });
  await other.kill();
  await locked;
  assertEquals(await file.tryLock(), true);
});

testTwo("lock() without write, or shared without read, is refused", async (_a, _b, aio, path) => {
  await using reader = await aio.openFile(path);
  await using writer = await aio.openFile(path, { write: true });
  for (const call of ["lock", "tryLock"] as const) {
    const text = 'it was opened without "write"; open it with that, or pass { exclusive: false }';
    await assertRejects(() => reader[call](), Deno.errors.BadResource, text);
    const shared = () => writer[call](SHARED);
    await assertRejects(shared, Deno.errors.BadResource, 'it was opened without "read"');
  }
  assertThrows(() => reader.lockSync(), Deno.errors.BadResource, 'without "write"');
  assertThrows(() => writer.tryLockSync(SHARED), Deno.errors.BadResource, 'without "read"');
  assertEquals([reader.tryLockSync(SHARED), insideOf(reader).lockWaits.size], [true, 0]);
});

testTwo("wrong options are refused before anything starts", async (a, b) => {
  const cases: [string, typeof TypeError | typeof RangeError, string][] = [
    ["5", TypeError, "pass its options as an object: got 5"],
    ["null", TypeError, "pass its options as an object: got null"],
    ['{"offset":-1}', RangeError, '"offset" must be an integer from 0 to 2^53 - 1: got -1'],
    ['{"length":1.5}', RangeError, '"length" must be an integer from 0 to 2^53 - 1: got 1.5'],
    ['{"length":"1"}', RangeError, 'got "1"'],
    ['{"offset":9007199254740991,"length":1}', RangeError, "end behind 2^53 - 1; pass the length"],
  ];
  const lockCases: typeof cases = [['{"exclusive":1}', TypeError, "must be a boolean: got 1"]];
  for (const [json, Class, text] of [...cases, ...lockCases]) {
    const options = JSON.parse(json);
    for (const call of ["lock", "tryLock"] as const) {
      await assertRejects(() => a[call](options), Class, text);
    }
    for (const call of ["lockSync", "tryLockSync"] as const) {
      assertThrows(() => a[call](options), Class, text);
    }
  }
  for (const [json, Class, text] of cases) {
    await assertRejects(() => a.unlock(JSON.parse(json)), Class, text);
    assertThrows(() => a.unlockSync(JSON.parse(json)), Class, text);
  }
  const signal = JSON.parse('{"signal":3}');
  await assertRejects(() => a.lock(signal), TypeError, "must be an AbortSignal: got 3");
  assertEquals(await b.tryLock(), true);
});

testTwo("a closed file is neither locked nor unlocked", async (a) => {
  await a.close();
  await assertRejects(() => a.lock(), Deno.errors.BadResource, "the file is closed");
  await assertRejects(() => a.tryLock(), Deno.errors.BadResource, "the file is closed");
  await assertRejects(() => a.unlock(), Deno.errors.BadResource, "the file is closed");
  assertThrows(() => a.lockSync(), Deno.errors.BadResource, "the file is closed");
  assertThrows(() => a.tryLockSync(), Deno.errors.BadResource, "the file is closed");
  assertThrows(() => a.unlockSync(), Deno.errors.BadResource, "the file is closed");
});

testTwo("a file system without locks, or a system, is told with a remedy", async (a, _b, aio) => {
  const { fileControl } = backendOf(aio).libc;
  const lack = (name: "lock" | "hasLocks", value: unknown) =>
    Object.defineProperty(fileControl, name, { value, configurable: true });
  try {
    lack("lock", () => -EINVAL);
    const error = assertThrows(() => a.tryLockSync({ length: 7 }), Error, "lock bytes 0..6 of");
    assert(error.message.includes("lock a file on a local file system"), error.message);
    assertEquals(Reflect.get(error, "syscall"), "fcntl");
    lack("hasLocks", false);
    await assertRejects(() => a.lock(), Deno.errors.NotSupported, "on a local file system");
  } finally {
    Reflect.deleteProperty(fileControl, "lock");
    Reflect.deleteProperty(fileControl, "hasLocks");
  }
});

testTwo("any other error of the call is known, off the thread, too", async (a) => {
  const lock = { type: "exclusive", offset: 0, length: 0 } as const;
  const { awaited, blocking } = insideOf(a).calls;
  assertEquals([await awaited.lock(-1, lock), blocking.lock(-1, lock)], [-EBADF, -EBADF]);
});

testTwo("closeSync() is refused while lock() waits", async (a, b) => {
  await a.lock();
  const { locked } = await waiting(b);
  assertThrows(() => b.closeSync(), Deno.errors.Busy, "Cannot close");
  await a.unlock();
  await locked;
  await until(() => insideOf(b).lockWaits.size === 0, "it waits no more");
});
