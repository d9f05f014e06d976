/**
 * append_test.ts: `append()` and its blocking twin: where records go, what moves the end, what an
 * append that fails leaves behind.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Aio, AioFile, OpenFileOptions } from "../../../mod.ts";
import { AioReturn, type SystemError } from "../../../core/mod.ts";
import { POINT } from "../../support/flush_failures.ts";
import { openAio, testEachMethod, testSharedAios } from "../../support/methods.ts";
import { type Prng, withPrng } from "../../support/prng.ts";
import { errorOf } from "../../support/system_errors.ts";
import { mountTmpfs, tempDir, tmpfsAvailable } from "../../support/temp.ts";

const ENOSPC = 28;
const WRITE: OpenFileOptions = { read: true, write: true, create: true };

interface Opened {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
}

/** Registers a test for each method that gets a file of so many bytes 0x2e. */
function testFile(name: string, bytes: number, use: (opened: Opened) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("log");
    await Deno.writeFile(path, new Uint8Array(bytes).fill(0x2e));
    await using file = await aio.openFile(path, WRITE);
    await use({ aio, file, path });
    await file.close();
    assertEquals(aio.ios(), []);
  });
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Has the next write fail, or be shorter. */
function answerNext(aio: Aio, result: number): void {
  aio.attachInjectionPoint(POINT, (handle) => {
    if (handle.operation !== "writev") return;
    aio.detachInjectionPoint(POINT);
    return result;
  });
}

testFile("append() resolves with the offset, in the order of the calls", 10, async (opened) => {
  const { file, path } = opened;
  const words = ["one", "two", "three", "four"];
  const offsets = await Promise.all(words.map((word) => file.append(bytesOf(word))));
  assertEquals(offsets, [10, 13, 16, 21]);
  assertEquals(await Deno.readTextFile(path), "..........onetwothreefour");
});

testFile("append() takes memory of every kind, and lists", 0, async ({ aio, file, path }) => {
  const own = aio.alloc(100).fill(0x61);
  const list = [bytesOf("b"), new Uint8Array(0), own.subarray(0, 2), bytesOf("c")];
  assertEquals(await Promise.all([file.append(own), file.append(list)]), [0, 100]);
  assertEquals(await file.append(own.subarray(7, 10)), 104);
  assertEquals(await Deno.readTextFile(path), "a".repeat(100) + "baac" + "aaa");
  aio.free(own);
});

testFile("append() of nothing resolves with the end", 7, async ({ file }) => {
  assertEquals(await file.append(new Uint8Array(0)), 7);
  assertEquals(await Promise.all([file.append([]), file.append(bytesOf("ab"))]), [7, 7]);
  assertEquals(await file.append([], { durable: true }), 9);
  assertEquals(file.appendSync([]), 9);
});

testFile("append() of more than the arena holds is one piece", 5, async ({ file, path }) => {
  const large = new Uint8Array(3_000_000).fill(0x4c);
  const appended = [bytesOf("a"), large, bytesOf("b")].map((data) => file.append(data));
  assertEquals(await Promise.all(appended), [5, 6, 3_000_006]);
  const content = await Deno.readFile(path);
  assertEquals(content.length, 3_000_007);
  assertEquals(content.subarray(6, 3_000_006).findIndex((byte) => byte !== 0x4c), -1);
});

testFile("appendSync() goes where append() goes", 3, async ({ file, path }) => {
  assertEquals(file.appendSync(bytesOf("ab")), 3);
  assertEquals(await file.append(bytesOf("c")), 5);
  assertEquals(file.appendSync([bytesOf("d"), bytesOf("ef")], { durable: true }), 6);
  assertEquals(await file.append(bytesOf("g"), { durable: true }), 9);
  assertEquals(await Deno.readTextFile(path), "...abcdefg");
});

testFile("append() and appendSync() by two openings of a file share its end", 4, async (opened) => {
  const { aio, file, path } = opened;
  await Deno.link(path, `${path}.link`);
  assertEquals(await file.append(bytesOf("a")), 4);
  await using other = await aio.openFile(`${path}.link`, WRITE);
  assertEquals(await Promise.all([other.append(bytesOf("b")), file.append(bytesOf("c"))]), [5, 6]);
  assertEquals([other.appendSync(bytesOf("d")), file.appendSync(bytesOf("e"))], [7, 8]);
  assertEquals(await Deno.readTextFile(path), "....abcde");
});

testFile("append() keeps a file's end for as long as any opening of it", 4, async (opened) => {
  const { aio, file, path } = opened;
  const first = await aio.openFile(path, WRITE);
  assertEquals(await first.append(bytesOf("a")), 4);
  await first.close();
  // Its record is in the slot of the opening that is closed, which others take meanwhile.
  const others = await Promise.all(
    Array.from({ length: 5 }, (_, i) => aio.openFile(`${path}.${i}`, WRITE)),
  );
  for (const other of others) assertEquals(await other.append(bytesOf("other")), 0);
  assertEquals(await file.append(bytesOf("b")), 5);
  for (const other of others) await other.close();
  assertEquals(await Deno.readTextFile(path), "....ab");
});

testFile("writeAt() behind the end moves it, one before it does not", 4, async ({ aio, file }) => {
  await file.append(bytesOf("a"));
  await file.writeAt(bytesOf("xx"), 0);
  assertEquals(await file.append(bytesOf("b")), 5);
  await file.writeAt(bytesOf("yy"), 20);
  assertEquals(await file.append(bytesOf("c")), 22);
  file.writeAtSync(bytesOf("zz"), 30);
  assertEquals(await file.append(bytesOf("d")), 32);
  await file.writeAtMany([{ buffer: bytesOf("m"), offset: 50 }, {
    buffer: bytesOf("n"),
    offset: 1,
  }]);
  assertEquals(await file.append(bytesOf("e")), 51);
  await file.writeAt(bytesOf("kk"), 60, { durable: true });
  assertEquals(file.appendSync(bytesOf("f")), 62);
  await file.writeAt(new Uint8Array(2_000_000), 100);
  assertEquals(file.appendSync(bytesOf("g")), 2_000_100);
  const handle = aio.acquire(null, new AioReturn());
  const ref = handle.waitRef();
  const view = aio.alloc(10);
  handle.setIovec(view);
  file.startWritev(handle, 3_000_000);
  await aio.wait(ref);
  aio.free(view);
  assertEquals(await file.append(bytesOf("h")), 3_000_010);
});

testFile("truncate() moves the end, down and up", 10, async ({ file, path }) => {
  assertEquals(await file.append(bytesOf("a")), 10);
  await file.truncate(3);
  assertEquals(await file.append(bytesOf("b")), 3);
  file.truncateSync(1);
  assertEquals(file.appendSync(bytesOf("c")), 1);
  await file.truncate(6);
  assertEquals(await file.append(bytesOf("d")), 6);
  assertEquals(await Deno.readTextFile(path), ".c\0\0\0\0d");
});

testFile("append() begins anew when another opening cuts the file", 10, async (opened) => {
  const { aio, file, path } = opened;
  assertEquals(await file.append(bytesOf("a")), 10);
  await using other = await aio.openFile(path, { write: true, truncate: true });
  assertEquals([await file.append(bytesOf("b")), await other.append(bytesOf("c"))], [0, 1]);
  using third = aio.openFileSync(path, { write: true, truncate: true });
  assertEquals([third.appendSync(bytesOf("d")), file.appendSync(bytesOf("e"))], [0, 1]);
  assertEquals(await Deno.readTextFile(path), "de");
});

testFile("append() goes on behind a page pool's extend()", 4096, async ({ aio, file }) => {
  assertEquals(await file.append(new Uint8Array(4096)), 4096);
  await using pool = await aio.openPool({ pages: 16, pageSize: 4096 });
  for (const page of await pool.extend(file, 3)) page.release();
  assertEquals(await file.append(bytesOf("a")), 5 * 4096);
});

testFile("append() that the system does in parts is whole", 2, async ({ aio, file, path }) => {
  await file.append(bytesOf("a"));
  // The system has written all of it, and says 3.
  answerNext(aio, 3);
  const [first, second] = await Promise.all([
    file.append(bytesOf("bcdefgh")),
    file.append(bytesOf("ij")),
  ]);
  assertEquals([first, second, await file.append(bytesOf("k"))], [3, 10, 12]);
  assertEquals(await Deno.readTextFile(path), "..abcdefghijk");
});

testFile("append() that fails as the last one gives its place back", 2, async ({ aio, file }) => {
  await file.append(bytesOf("a"));
  answerNext(aio, -ENOSPC);
  const error = await errorOf(file.append(bytesOf("bcd")));
  const what = `Cannot append 3 bytes to ${JSON.stringify(file.path)}: `;
  assert(error.message.startsWith(what) && error.message.endsWith("(ENOSPC)"), error.message);
  const { code, errno, syscall, path, offset, length, bytesWritten } = error;
  assertEquals(
    { code, errno, syscall, path, offset, length, bytesWritten },
    {
      code: "ENOSPC",
      errno: ENOSPC,
      syscall: "pwritev",
      path: file.path,
      offset: 3,
      length: 3,
      bytesWritten: 0,
    },
  );
  assertEquals(await file.append(bytesOf("e")), 3);
  answerNext(aio, -ENOSPC);
  assertThrows(() => file.appendSync(bytesOf("fgh")), Error, "(ENOSPC)");
  assertEquals(file.appendSync(bytesOf("i")), 4);
});

testFile("append() that fails in a batch leaves those that were written", 0, async (opened) => {
  const { aio, file } = opened;
  await file.append(bytesOf("a"));
  // Then the rest is tried, and fails.
  let writes = 0;
  aio.attachInjectionPoint(POINT, ({ operation }) => {
    if (operation !== "writev") return;
    return writes++ === 0 ? 5 : -ENOSPC;
  });
  const settled = await Promise.allSettled(
    ["bb", "cc", "dd", "ee"].map((text) => file.append(bytesOf(text))),
  );
  aio.detachInjectionPoint(POINT);
  assertEquals(
    settled.map((one) => one.status === "fulfilled" ? one.value : one.reason.bytesWritten),
    [1, 3, 1, 0],
  );
  assertEquals(await file.append(bytesOf("f")), 5);
});

testSharedAios("append() is refused where it cannot be, and changes nothing", async (aio) => {
  await using dir = await tempDir();
  const path = dir.join("log");
  await Deno.writeTextFile(path, "....");
  await using file = await aio.openFile(path, WRITE);
  const wrong: unknown[] = ["text", 5, null, [bytesOf("a"), 7], new Uint16Array(2)];
  for (const data of wrong) {
    await assertRejects(() => file.append(data as Uint8Array), TypeError, "Cannot append as ");
    assertThrows(() => file.appendSync(data as Uint8Array), TypeError, "Cannot append as ");
  }
  const gone = new Uint8Array(8);
  structuredClone(gone, { transfer: [gone.buffer] });
  await assertRejects(() => file.append(gone), TypeError, "was transferred");
  const wrongly = JSON.parse('{ "durable": 1 }');
  await assertRejects(
    () => file.append(bytesOf("a"), wrongly),
    TypeError,
    '"durable" must be a boolean',
  );
  const signal = AbortSignal.abort(new Error("no more"));
  await assertRejects(() => file.append(bytesOf("a"), { signal }), Error, "no more");
  await using readOnly = await aio.openFile(path, { read: true });
  await assertRejects(() => readOnly.append(bytesOf("a")), Deno.errors.BadResource, '"write"');
  assertThrows(() => readOnly.appendSync(bytesOf("a")), Deno.errors.BadResource, '"write"');
  const closed = await aio.openFile(path, WRITE);
  await closed.close();
  await assertRejects(() => closed.append(bytesOf("a")), Deno.errors.BadResource, "closed");
  assertThrows(() => closed.appendSync(bytesOf("a")), Deno.errors.BadResource, "closed");
  assertEquals(await Deno.readTextFile(path), "....");
});

testSharedAios("append() on a direct file is refused, with the remedy", async (aio) => {
  await using dir = await tempDir();
  await using file = await aio.openFile(dir.join("log"), { ...WRITE, direct: "optional" });
  if (!file.direct) return;
  await assertRejects(() => file.append(bytesOf("a")), Deno.errors.NotSupported, "writeAt()");
  assertThrows(() => file.appendSync(bytesOf("a")), Deno.errors.NotSupported, "writeAt()");
});

testFile("append() to a file with dsync is durable by itself", 1, async ({ aio, path }) => {
  await using file = await aio.openFile(path, { ...WRITE, dsync: true });
  const appended = ["a", "b"].map((text) => file.append(bytesOf(text), { durable: true }));
  assertEquals(await Promise.all(appended), [1, 2]);
  assertEquals(file.appendSync(bytesOf("c"), { durable: true }), 3);
});

testFile("append() that a signal ends before it is issued is not written", 2, async (opened) => {
  const { file, path } = opened;
  await file.append(bytesOf("a"));
  const end = new AbortController();
  const appended = [
    file.append(bytesOf("b")),
    file.append(bytesOf("X"), { signal: end.signal }),
    file.append(bytesOf("c")),
  ];
  end.abort(new Error("no more"));
  const settled = await Promise.allSettled(appended);
  assertEquals(settled.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
  assertEquals(await Deno.readTextFile(path), "..abc");
});

testEachMethod("append() keeps the order where handles and space are short", async (method) => {
  await using dir = await tempDir();
  await using aio = await openAio(method, { maxConcurrency: 1, arenaBytes: 64 * 1024 });
  await using file = await aio.openFile(dir.join("log"), WRITE);
  const reads = Array.from({ length: 20 }, () => file.readAt(new Uint8Array(9_000), 0));
  const sizes = Array.from({ length: 300 }, (_, i) => i % 7 === 0 ? 20_000 : i + 1);
  const appended = sizes.map((size, i) => file.append(new Uint8Array(size).fill(i)));
  let end = 0;
  for (const [i, offset] of (await Promise.all(appended)).entries()) {
    assertEquals(offset, end, `append ${i}`);
    end += sizes[i]!;
  }
  await Promise.all(reads);
  const content = await Deno.readFile(file.path);
  assertEquals(content.length, end);
  let at = 0;
  for (const [i, size] of sizes.entries()) {
    assertEquals(content.subarray(at, at + size).findIndex((byte) => byte !== i % 256), -1, `${i}`);
    at += size;
  }
});

testEachMethod("append() by tasks at random keeps all records, whole and once", async (method) => {
  await withPrng(async (prng: Prng) => {
    await using dir = await tempDir();
    await using aio = await openAio(method, { maxConcurrency: 8 });
    const path = dir.join("log");
    const files = await Promise.all([1, 2, 3].map(() => aio.openFile(path, WRITE)));
    const places = new Map<number, { size: number; fill: number }>();
    await Promise.all(Array.from({ length: 20 }, async (_, task) => {
      for (let i = 0; i < 50; i++) {
        const size = prng.between(1, prng.chance(1, 20) ? 100_000 : 300);
        const data = new Uint8Array(size).fill(task + 1);
        const file = prng.pick(files);
        const durable = prng.chance(1, 4);
        const offset = prng.chance(1, 10)
          ? file.appendSync(data, { durable })
          : await file.append(data, { durable });
        places.set(offset, { size, fill: task + 1 });
      }
    }));
    for (const file of files) await file.close();
    const content = await Deno.readFile(path);
    let at = 0;
    for (const [offset, { size, fill }] of [...places].sort(([a], [b]) => a - b)) {
      assertEquals(offset, at);
      const wrong = content.subarray(at, at + size).findIndex((byte) => byte !== fill);
      assertEquals(wrong, -1, `record at ${at}`);
      at += size;
    }
    assertEquals([places.size, content.length], [1000, at]);
  });
});

testEachMethod("append() on a disk that fills up goes on once there is room", async (method) => {
  await using disk = await mountTmpfs(512 * 1024);
  await using aio = await openAio(method);
  await using file = await aio.openFile(disk.join("log"), WRITE);
  const ballast = disk.join("ballast");
  await Deno.writeFile(ballast, new Uint8Array(256 * 1024));
  const record = new Uint8Array(4096).fill(1);
  const results = await Promise.allSettled(
    Array.from({ length: 100 }, () => file.append(record, { durable: true })),
  );
  const whole = results.filter(({ status }) => status === "fulfilled").length;
  assert(whole > 0 && whole < 100, `${whole} of 100 found room`);
  for (const result of results) {
    if (result.status === "rejected") assertEquals((result.reason as SystemError).code, "ENOSPC");
  }
  await Deno.remove(ballast);
  assertEquals(await file.append(record, { durable: true }), whole * 4096);
  const content = await Deno.readFile(file.path);
  assertEquals([content.length, content.indexOf(0)], [(whole + 1) * 4096, -1]);
}, tmpfsAvailable());

testEachMethod(
  "append() that is written in part leaves zeros of it, and no bytes",
  async (method) => {
    await using disk = await mountTmpfs(64 * 1024);
    await using aio = await openAio(method);
    await using file = await aio.openFile(disk.join("log"), WRITE);
    const large = new Uint8Array(100_000).fill(1);
    for (
      const append of [() => file.append(large), () => Promise.try(() => file.appendSync(large))]
    ) {
      await file.truncate(0);
      const { offset, bytesWritten } = await errorOf(append());
      assertEquals([offset, bytesWritten], [0, 64 * 1024]);
      assertEquals(await file.append(bytesOf("small")), 0);
      const content = await Deno.readFile(file.path);
      assertEquals(content.subarray(0, 5), bytesOf("small"));
      assertEquals(content.subarray(5).findIndex((byte) => byte !== 0), -1);
    }
  },
  tmpfsAvailable(),
);
