/**
 * read_write_test.ts: readAt() and writeAt() and their blocking twins: what they move, where to,
 * and what they leave behind.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { backendOf } from "../../../core/inside.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { AioOptions } from "../../../core/mod.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { openAio, testEachMethod, testSharedAios } from "../../support/methods.ts";
import { contentAt, Prng } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const SEED = 7;

interface Fixture {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
}

/** Opens a file of known content for one test, and checks that nothing is kept afterwards. */
async function withFile(
  aio: Aio,
  bytes: number,
  use: (fixture: Fixture) => void | Promise<void>,
): Promise<void> {
  await using dir = await tempDir();
  const path = dir.join("file");
  await writeRandomFile(path, bytes, SEED);
  const before = [backendOf(aio).arena.freeBytes, backendOf(aio).idleCount];
  await using file = await aio.openFile(path, { read: true, write: true });
  await use({ aio, file, path });
  await file.close();
  assertEquals(
    [backendOf(aio).arena.freeBytes, backendOf(aio).idleCount],
    before,
    "something is kept",
  );
}

/** Registers a test for each method that gets such a file. */
function testFile(
  name: string,
  bytes: number,
  use: (fixture: Fixture, method: IoMethodName) => void | Promise<void>,
  options: AioOptions = {},
): void {
  const fn = (aio: Aio, method: IoMethodName) =>
    withFile(aio, bytes, (fixture) => use(fixture, method));
  testSharedAios(name, fn, { options });
}

/** The transfers under test, awaited or blocking. */
const FORMS = [
  {
    read: "readAt()",
    write: "writeAt()",
    readAt: (file: AioFile, to: Uint8Array | Uint8Array[], at: number) => file.readAt(to, at),
    writeAt: (file: AioFile, from: Uint8Array | Uint8Array[], at: number) => file.writeAt(from, at),
  },
  {
    read: "readAtSync()",
    write: "writeAtSync()",
    readAt: (file: AioFile, to: Uint8Array | Uint8Array[], at: number) => file.readAtSync(to, at),
    writeAt: (file: AioFile, from: Uint8Array | Uint8Array[], at: number) =>
      file.writeAtSync(from, at),
  },
] as const;

for (const { read, write, readAt, writeAt } of FORMS) {
  testFile(`${read} reads at an offset`, 10_000, async ({ file }) => {
    const buffer = new Uint8Array(100);
    assertEquals(await readAt(file, buffer, 1234), 100);
    assertEquals(buffer, contentAt(SEED, 1234, 100));
  });

  testFile(`${read} reads across the end of the file`, 10_000, async ({ file }) => {
    const buffer = new Uint8Array(100).fill(0xee);
    assertEquals(await readAt(file, buffer, 9_950), 50);
    assertEquals(buffer.subarray(0, 50), contentAt(SEED, 9_950, 50));
    assertEquals(buffer.subarray(50), new Uint8Array(50).fill(0xee));
  });

  testFile(
    `${read} reads 0 bytes at the end of the file and behind it`,
    10_000,
    async ({ file }) => {
      const buffer = new Uint8Array(100).fill(0xee);
      for (const offset of [10_000, 10_001, 2 ** 40]) {
        assertEquals(await readAt(file, buffer, offset), 0);
      }
      assertEquals(buffer, new Uint8Array(100).fill(0xee));
    },
  );

  testFile(`${read} fills several buffers one after another`, 10_000, async ({ file }) => {
    const buffers = [1, 10, 100, 1].map((bytes) => new Uint8Array(bytes));
    assertEquals(await readAt(file, buffers, 5), 112);
    assertEquals(Uint8Array.from(buffers.flatMap((it) => [...it])), contentAt(SEED, 5, 112));
  });

  testFile(
    `${read} ends in the middle of a list of buffers at the end of the file`,
    100,
    async ({ file }) => {
      const buffers = [60, 60, 60].map((bytes) => new Uint8Array(bytes).fill(0xee));
      assertEquals(await readAt(file, buffers, 0), 100);
      assertEquals(buffers[1]?.subarray(0, 40), contentAt(SEED, 60, 40));
      assertEquals(buffers[1]?.subarray(40), new Uint8Array(20).fill(0xee));
      assertEquals(buffers[2], new Uint8Array(60).fill(0xee));
    },
  );

  testFile(`${read} fills more buffers than ioCombineLimit`, 10_000, async ({ aio, file }) => {
    const memory = aio.alloc(4096);
    const buffers = Array.from({ length: 50 }, (_, i) => memory.subarray(i * 7, i * 7 + 7));
    assertEquals(await readAt(file, buffers, 3), 350);
    assertEquals(memory.slice(0, 350), contentAt(SEED, 3, 350));
    const plain = Array.from({ length: 50 }, () => new Uint8Array(7));
    assertEquals(await readAt(file, plain, 3), 350);
    assertEquals(Uint8Array.from(plain.flatMap((it) => [...it])), contentAt(SEED, 3, 350));
    aio.free(memory);
  }, { ioCombineLimit: 3, ioMaxCombineLimit: 5 });

  testFile(`${write} writes more buffers than ioCombineLimit`, 0, async ({ aio, file, path }) => {
    const memory = aio.alloc(4096);
    memory.set(contentAt(SEED, 0, 350));
    const straight = Array.from({ length: 50 }, (_, i) => memory.subarray(i * 7, i * 7 + 7));
    assertEquals(await writeAt(file, straight, 0), 350);
    const plain = straight.map((view) => new Uint8Array(view));
    assertEquals(await writeAt(file, plain, 350), 350);
    const content = contentAt(SEED, 0, 350);
    assertEquals(await Deno.readFile(path), Uint8Array.from([...content, ...content]));
    aio.free(memory);
  }, { ioCombineLimit: 3, ioMaxCombineLimit: 5 });

  testFile(`${read} and ${write} move more than the arena holds`, 300_001, async ({ file }) => {
    const buffer = new Uint8Array(300_001);
    assertEquals(await readAt(file, buffer, 0), 300_001);
    assertEquals(buffer, contentAt(SEED, 0, 300_001));
    assertEquals(await writeAt(file, buffer, 1), 300_001);
    assertEquals(await readAt(file, buffer, 1), 300_001);
    assertEquals(buffer, contentAt(SEED, 0, 300_001));
  }, { arenaBytes: 65_536 });

  testFile(
    `${write} beyond 4 GiB leaves a hole that ${read} reads as zeros`,
    10,
    async ({ file }) => {
      const offset = 2 ** 32 + 4321;
      const data = contentAt(SEED, 99, 5_000);
      assertEquals(await writeAt(file, data, offset), 5_000);
      const buffer = new Uint8Array(5_100);
      assertEquals(await readAt(file, buffer, offset - 100), 5_100);
      assertEquals(buffer.subarray(0, 100), new Uint8Array(100));
      assertEquals(buffer.subarray(100), data);
      assertEquals(await file.size(), offset + 5_000);
      assertEquals(await readAt(file, buffer, 2 ** 31), 5_100);
      assertEquals(buffer, new Uint8Array(5_100));
    },
  );

  testFile(`${write} overwrites in the middle and nothing else`, 10_000, async ({ file, path }) => {
    const data = new Uint8Array(50).fill(0xaa);
    assertEquals(await writeAt(file, [data.subarray(0, 20), data.subarray(20)], 5_000), 50);
    const expected = contentAt(SEED, 0, 10_000);
    expected.set(data, 5_000);
    assertEquals(await Deno.readFile(path), expected);
  });

  // With an Aio for this test alone, as adopted memory stays with it.
  testEachMethod(`${read} and ${write} take memory of every kind, mixed`, async (method) => {
    await using aio = await openAio(method);
    await withFile(aio, 10_000, async ({ file, path }) => {
      const arena = aio.alloc(1_000);
      const adopted = new SharedArrayBuffer(1_000);
      aio.adoptMemory(adopted);
      const kinds = [
        arena.subarray(100, 200),
        new Uint8Array(100),
        new Uint8Array(adopted, 300, 100),
        new Uint8Array(new SharedArrayBuffer(100)),
        new Uint8Array(new ArrayBuffer(200), 50, 100),
        Buffer.alloc(100),
        new Uint8Array(new ArrayBuffer(100, { maxByteLength: 500 })),
      ];
      assertEquals(await readAt(file, kinds, 11), 700);
      for (const [i, view] of kinds.entries()) {
        assertEquals(Uint8Array.from(view), contentAt(SEED, 11 + i * 100, 100), `buffer ${i}`);
        view.fill(0);
        assertEquals(await readAt(file, view, 11), 100);
        assertEquals(Uint8Array.from(view), contentAt(SEED, 11, 100), `buffer ${i} alone`);
      }
      assertEquals(await writeAt(file, kinds, 2_000), 700);
      const written = await Deno.readFile(path);
      for (let i = 0; i < kinds.length; i++) {
        const at = 2_000 + i * 100;
        assertEquals(written.slice(at, at + 100), contentAt(SEED, 11, 100), `buffer ${i}`);
      }
      assertEquals(arena[99], 0, "beside the view");
      aio.free(arena);
    });
  });
}

testFile("writeAt() has written when its promise resolves", 0, async ({ file, path }) => {
  for (let i = 0; i < 20; i++) {
    const data = contentAt(SEED, i, 100);
    await file.writeAt(data, i * 100);
    assertEquals((await Deno.readFile(path)).subarray(i * 100), data);
  }
});

testFile("writeAt() has taken a plain buffer's bytes at the call", 0, async ({ file, path }) => {
  const buffer = contentAt(SEED, 0, 1_000);
  const promise = file.writeAt(buffer, 0);
  const other = file.writeAt(contentAt(SEED, 1, 1_000), 1_000);
  await Promise.all([promise, other]);
  assertEquals((await Deno.readFile(path)).subarray(0, 1_000), contentAt(SEED, 0, 1_000));
});

testFile(
  "readAt() and writeAt() by 32 at once, awaited together",
  32 * 4096,
  async ({ aio, file }) => {
    const views = Array.from({ length: 32 }, () => aio.alloc(4096));
    const counts = await Promise.all(views.map((view, i) => file.readAt(view, i * 4096)));
    assertEquals(counts, new Array(32).fill(4096));
    for (const [i, view] of views.entries()) {
      assertEquals(view.slice(), contentAt(SEED, i * 4096, 4096));
    }
    await Promise.all(views.map((view, i) => file.writeAt(view, (31 - i) * 4096)));
    await Promise.all(views.map((view, i) => file.readAt(view, i * 4096)));
    for (const [i, view] of views.entries()) {
      assertEquals(view.slice(), contentAt(SEED, (31 - i) * 4096, 4096));
      aio.free(view);
    }
  },
);

testFile(
  "readAt() 3,000 times at once with 4 handles and 1 MiB of arena",
  1_000_000,
  async ({ file }) => {
    const prng = new Prng(SEED);
    const reads = Array.from({ length: 3_000 }, () => ({
      offset: prng.below(999_000),
      buffer: new Uint8Array(prng.between(1, prng.chance(1, 100) ? 20_000 : 500)),
    }));
    const counts = await Promise.all(
      reads.map(({ buffer, offset }) => file.readAt(buffer, offset)),
    );
    for (const [i, { buffer, offset }] of reads.entries()) {
      const expected = Math.min(buffer.length, 1_000_000 - offset);
      assertEquals(counts[i], expected);
      if (i % 10 > 0) continue; // A tenth, as comparing takes longer than reading.
      assertEquals(buffer.subarray(0, expected), contentAt(SEED, offset, expected), `read ${i}`);
    }
  },
  { maxConcurrency: 4 },
);

testFile(
  "writeAt() 3,000 times at once with 4 handles and 1 MiB of arena",
  0,
  async ({ file, path }) => {
    const order = new Prng(SEED).shuffled(Array.from({ length: 3_000 }, (_, i) => i));
    const counts = await Promise.all(
      order.map((i) => file.writeAt(contentAt(SEED, i * 100, 100), i * 100)),
    );
    assert(counts.every((count) => count === 100));
    assertEquals(await Deno.readFile(path), contentAt(SEED, 0, 300_000));
  },
  { maxConcurrency: 4 },
);

testFile(
  "readAt() of buffers larger than a bounce piece, 50 at once",
  100_000,
  async ({ file }) => {
    const buffers = Array.from({ length: 50 }, () => new Uint8Array(40_000));
    await Promise.all(buffers.map((buffer, i) => file.readAt(buffer, i * 1_000)));
    for (const [i, buffer] of buffers.entries()) {
      assertEquals(buffer, contentAt(SEED, i * 1_000, 40_000), `read ${i}`);
    }
  },
  { arenaBytes: 65_536, maxConcurrency: 2 },
);

testFile("readAt() sees what writeAt() of another Aio wrote", 0, async ({ file, path }, method) => {
  await using other = await openAio(method);
  await using otherFile = await other.openFile(path, { read: true, write: true });
  const buffer = new Uint8Array(1_000);
  for (let i = 0; i < 50; i++) {
    await file.writeAt(contentAt(i, 0, 1_000), 0);
    assertEquals(await otherFile.readAt(buffer, 0), 1_000);
    assertEquals(buffer, contentAt(i, 0, 1_000));
    otherFile.writeAtSync(contentAt(i, 1, 1_000), 0);
    assertEquals(file.readAtSync(buffer, 0), 1_000);
    assertEquals(buffer, contentAt(i, 1, 1_000));
  }
});

testFile(
  "readAtSync() in the middle of awaited reads disturbs none of them",
  100_000,
  async ({ file }) => {
    const buffers = Array.from({ length: 100 }, () => new Uint8Array(500));
    const promises: Promise<number>[] = [];
    const between = new Uint8Array(700);
    for (const [i, buffer] of buffers.entries()) {
      promises.push(file.readAt(buffer, i * 600));
      assertEquals(file.readAtSync(between, i * 900), 700);
      assertEquals(between, contentAt(SEED, i * 900, 700));
    }
    await Promise.all(promises);
    for (const [i, buffer] of buffers.entries()) {
      assertEquals(buffer, contentAt(SEED, i * 600, 500));
    }
  },
  { maxConcurrency: 4 },
);

testFile("readAt() resolves in another turn than the one of its call", 1_000, async ({ file }) => {
  let isLater = false;
  const promise = file.readAt(new Uint8Array(10), 0).then(() => assert(isLater));
  isLater = true;
  await promise;
});

testSharedAios("readAt() of many files at once reads each from its own", async (aio) => {
  await using dir = await tempDir();
  const names = Array.from({ length: 50 }, (_, i) => dir.join(`${i}`));
  await Promise.all(names.map((name, i) => writeRandomFile(name, 1_000, i)));
  const files = await Promise.all(names.map((name) => aio.openFile(name)));
  const buffers = files.map(() => new Uint8Array(1_000));
  await Promise.all(files.map((file, i) => file.readAt(buffers[i]!, 0)));
  for (const [i, buffer] of buffers.entries()) assertEquals(buffer, contentAt(i, 0, 1_000));
  assertGreater(new Set(files.map((file) => file.fd)).size, 49);
  await Promise.all(files.map((file) => file.close()));
});

testFile(
  "readAt() fails by itself where another one of the same turn is good",
  1_000,
  async ({ file }) => {
    const good = file.readAt(new Uint8Array(10), 0);
    const bad = assertRejects(() => file.readAt(new Uint8Array(10), -1), RangeError);
    const goodToo = file.readAt(new Uint8Array(10), 5);
    await bad;
    assertEquals(await Promise.all([good, goodToo]), [10, 10]);
  },
);
