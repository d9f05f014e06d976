/**
 * allocate_test.ts: `allocate()`, `punchHole()`, `zeroRange()` and their blocking twins: what they
 * do to a file, to its size and to the end of its appends, and what they refuse.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertRejects, assertThrows } from "@std/assert";
import type { Aio, AioFile, OpenFileOptions } from "../../../mod.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import { FILE_BYTES as END, openHeld, wrong } from "../../support/core.ts";
import { FILE_SYSTEMS, shareFileSystem } from "../../support/disks/file_systems.ts";
import { POINT } from "../../support/flush_failures.ts";
import { complete, heldNow, perform } from "../../support/held_transfers.ts";
import { testSharedAios } from "../../support/methods.ts";
import { errorOf } from "../../support/system_errors.ts";
import { mountRamfs, mountTmpfs, tempDir, tmpfsAvailable } from "../../support/temp.ts";

const WRITE: OpenFileOptions = { read: true, write: true, create: true };
/** As `stat()` counts. */
const BLOCK_BYTES = 512;
const isLinux = Deno.build.os === "linux";

interface Opened {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
}

/** Registers a test for each method that gets a file of so many bytes 1. */
function testFile(name: string, bytes: number, use: (opened: Opened) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await Deno.writeFile(path, new Uint8Array(bytes).fill(1));
    await using file = await aio.openFile(path, WRITE);
    await use({ aio, file, path });
    await file.close();
    assertEquals(aio.ios(), []);
  }, { isPossible: isLinux });
}

/** What a file should hold: bytes 1, with zeros from here to there and behind them. */
function ones(bytes: number, size = bytes, [from, to] = [0, 0]): Uint8Array {
  const content = new Uint8Array(size);
  content.fill(1, 0, bytes);
  return content.fill(0, from, to);
}

async function spaceOf(file: AioFile): Promise<number> {
  // Not all file systems have given a written block its place before that.
  await file.sync();
  return (await file.stat()).blocks! * BLOCK_BYTES;
}

testFile("allocate() takes space, and extends the file by zeros", 10, async (opened) => {
  const { file, path } = opened;
  await file.allocate(4096, 100_000);
  assertEquals(await Deno.readFile(path), ones(10, 104_096));
  assert(await spaceOf(file) >= 100_000);
});

testFile("allocate() leaves what is there", 10_000, async (opened) => {
  await opened.file.allocate(100, 5000);
  assertEquals(await Deno.readFile(opened.path), ones(10_000));
});

testFile("allocate() with keepSize leaves the size", 10, async ({ file, path }) => {
  await file.allocate(0, 1_000_000, { keepSize: true });
  assertEquals(await Deno.readFile(path), ones(10));
  assert(await spaceOf(file) >= 1_000_000);
});

testFile("allocate() and punchHole() take ranges beyond 2^32", 10, async ({ file }) => {
  await file.allocate(2 ** 33, 4096);
  assertEquals(await file.size(), 2 ** 33 + 4096);
  await file.punchHole(0, 2 ** 33 + 2 ** 32);
  assertEquals(await file.size(), 2 ** 33 + 4096);
  assertEquals(await spaceOf(file), 0);
});

testFile("punchHole() frees space, and keeps the size", 100_000, async (opened) => {
  const { file, path } = opened;
  const before = await spaceOf(file);
  await file.punchHole(1000, 80_000);
  assertEquals(await Deno.readFile(path), ones(100_000, 100_000, [1000, 81_000]));
  assertGreater(before, await spaceOf(file));
  await file.punchHole(90_000, 1_000_000);
  assertEquals(await file.size(), 100_000);
});

testFile("the blocking twins do the same", 10_000, async ({ file, path }) => {
  file.allocateSync(0, 20_000);
  assertEquals(await file.size(), 20_000);
  file.allocateSync(0, 30_000, { keepSize: true });
  file.punchHoleSync(5000, 1000);
  assertEquals(await Deno.readFile(path), ones(10_000, 20_000, [5000, 6000]));
  assertThrows(() => file.punchHoleSync(0, 0), RangeError, "Cannot punch out 0 bytes");
});

// --- file systems ---

const MOUNTED = new Map(FILE_SYSTEMS.map(({ name }) => [name, shareFileSystem(name)]));

for (const { name, isPossible } of FILE_SYSTEMS) {
  const mounted = MOUNTED.get(name)!;

  testSharedAios(
    `on ${name} a file is allocated, and holes are punched into it`,
    async (aio, by) => {
      await using file = await aio.openFile(mounted().join(`holes ${by}`), WRITE);
      await file.allocate(0, 262_144);
      await file.writeAt(new Uint8Array(262_144).fill(1), 0);
      const space = await spaceOf(file);
      await file.punchHole(65_536, 131_072);
      assertEquals(await file.readAll(), ones(262_144, 262_144, [65_536, 196_608]));
      assertEquals(await spaceOf(file), space - 131_072);
    },
    { isPossible },
  );
}

for (const { name, isPossible } of FILE_SYSTEMS.filter(({ zeroes }) => zeroes)) {
  const mounted = MOUNTED.get(name)!;

  testSharedAios(`on ${name} a range becomes zeros that have their place`, async (aio, by) => {
    await using file = await aio.openFile(mounted().join(`zeros ${by}`), WRITE);
    await file.writeAt(new Uint8Array(262_144).fill(1), 0);
    const space = await spaceOf(file);
    await file.zeroRange(65_536, 131_072);
    assertEquals(await file.readAll(), ones(262_144, 262_144, [65_536, 196_608]));
    assertEquals(await spaceOf(file), space);
    await file.zeroRange(200_000, 100_000, { keepSize: true });
    assertEquals(await file.size(), 262_144);
    await file.zeroRange(200_000, 100_000);
    assertEquals(await file.size(), 300_000);
    file.zeroRangeSync(0, 300_001);
    assertEquals(await file.readAll(), new Uint8Array(300_001));
  }, { isPossible });
}

for (const { name, isPossible } of FILE_SYSTEMS.filter(({ zeroes }) => !zeroes)) {
  const mounted = MOUNTED.get(name)!;

  testSharedAios(`on ${name} zeroRange() is refused by that name`, async (aio, by) => {
    const path = mounted().join(`none ${by}`);
    await using file = await aio.openFile(path, WRITE);
    const error = await assertRejects(() => file.zeroRange(0, 10), Deno.errors.NotSupported);
    assertEquals(
      error.message,
      `Cannot zero 10 bytes at offset 0 of ${JSON.stringify(path)}: Operation not supported ` +
        `(EOPNOTSUPP); the file system ${name} cannot do that: write zeros there by writeAt()`,
    );
    assertThrows(() => file.zeroRangeSync(0, 10), Deno.errors.NotSupported, `system ${name} `);
    assertEquals(await file.size(), 0);
  }, { isPossible });
}

testSharedAios("allocate() and punchHole() name a file system that cannot do that", async (aio) => {
  await using disk = await mountRamfs();
  await using file = await aio.openFile(disk.join("file"), WRITE);
  const message = "the file system ramfs cannot do that";
  await assertRejects(() => file.allocate(0, 10), Deno.errors.NotSupported, message);
  await assertRejects(() => file.punchHole(0, 10), Deno.errors.NotSupported, message);
}, { isPossible: tmpfsAvailable() });

testSharedAios("allocate() of more than the device has fails, and says so", async (aio) => {
  await using disk = await mountTmpfs(65_536);
  await using file = await aio.openFile(disk.join("file"), WRITE);
  const { code, message, syscall } = await errorOf(file.allocate(0, 1_000_000));
  assertEquals([code, syscall], ["ENOSPC", "fallocate"]);
  const words = "No space left on device (ENOSPC); free some, or allocate less";
  assert(message.startsWith("Cannot allocate 1000000 bytes at offset 0 of "), message);
  assert(message.includes(words), message);
  assertEquals(await file.append(new Uint8Array(10)), 0);
}, { isPossible: tmpfsAvailable() });

// --- the end of appends ---

testFile("append() goes behind what was allocated", 10, async (opened) => {
  const { aio, file, path } = opened;
  await using other = await aio.openFile(path, WRITE);
  assertEquals(await file.append(new Uint8Array(1)), 10);
  await other.allocate(0, 5000);
  assertEquals(await file.append(new Uint8Array(1)), 5000);
  other.allocateSync(5000, 1000);
  assertEquals(await file.append(new Uint8Array(1)), 6000);
});

testFile("append() goes to the end after an allocate() with keepSize", 10, async (opened) => {
  const { file } = opened;
  assertEquals(await file.append(new Uint8Array(1)), 10);
  await file.allocate(0, 5000, { keepSize: true });
  await file.punchHole(100, 5000);
  assertEquals(await file.append(new Uint8Array(1)), 11);
});

Deno.test("held: append() goes behind a zeroRange() that is under way", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const zeroed = file.zeroRange(END, 1000);
  // The first append asks for the end, the second one knows it.
  const first = file.append(new Uint8Array(1));
  assertEquals(await heldNow(fixture, 2), [`fallocate ${END} 1000`, `writev ${END + 1000} 1`]);
  await complete(fixture, 0);
  await perform(fixture);
  await zeroed;
  assertEquals(await first, END + 1000);
  const later = file.zeroRange(END + 1001, 1000);
  const second = file.append(new Uint8Array(1));
  assertEquals((await heldNow(fixture, 2))[1], `writev ${END + 2001} 1`);
  await complete(fixture, 0);
  await perform(fixture);
  await later;
  assertEquals(await second, END + 2001);
});

Deno.test("held: append() goes where the file ends after a zeroRange() that failed", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const first = file.append(new Uint8Array(1));
  await heldNow(fixture);
  await perform(fixture);
  assertEquals(await first, END);
  const zeroed = errorOf(file.zeroRange(END, 1000));
  await heldNow(fixture);
  await complete(fixture, -28);
  assertEquals((await zeroed).code, "ENOSPC");
  const second = file.append(new Uint8Array(1));
  assertEquals(await heldNow(fixture, 1), [`writev ${END + 1} 1`]);
  await perform(fixture);
  assertEquals(await second, END + 1);
});

Deno.test("held: append() has its place while an allocate() is under way, which may fail", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const allocated = errorOf(file.allocate(END, 1000));
  const appended = file.append(new Uint8Array(1));
  assertEquals((await heldNow(fixture, 2))[1], `writev ${END} 1`);
  await complete(fixture, -28);
  await perform(fixture);
  assertEquals([(await allocated).code, await appended], ["ENOSPC", END]);
});

testFile(
  "allocate() that fails has its own error, though the file has no size either",
  10,
  async (opened) => {
    const { aio, file } = opened;
    await file.append(new Uint8Array(1));
    const { awaited } = insideOf(file).calls;
    const { stat } = awaited;
    awaited.stat = () => Promise.reject(new Error("no size"));
    aio.attachInjectionPoint(POINT, ({ operation }) => operation === "fallocate" ? -28 : undefined);
    const error = await errorOf(file.allocate(0, 100));
    aio.detachInjectionPoint(POINT);
    awaited.stat = stat;
    assertEquals(error.code, "ENOSPC");
  },
);

// --- what is refused ---

type Name = "allocate" | "punchHole" | "zeroRange";
const VERBS: Readonly<Record<Name, string>> = {
  allocate: "allocate",
  punchHole: "punch out",
  zeroRange: "zero",
};
const NAMES = Object.keys(VERBS) as Name[];

/** Arguments, the error's type, and its message after `Cannot` and the verb. */
const REFUSED: readonly (readonly [
  args: readonly unknown[],
  type: typeof TypeError | typeof RangeError,
  message: string,
])[] = [
  [[-1, 1], RangeError, "at offset -1: offsets are integers from 0 to"],
  [[0.5, 1], RangeError, "at offset 0.5"],
  [[2 ** 53, 1], RangeError, "at offset 9007199254740992"],
  [["0", 1], TypeError, 'at offset "0"'],
  [[0n, 1], TypeError, "at offset 0n"],
  [[0, 0], RangeError, "0 bytes: lengths are integers from 1 to"],
  [[0, -1], RangeError, "-1 bytes"],
  [[0, NaN], RangeError, "NaN bytes"],
  [[0, 1.5], RangeError, "1.5 bytes"],
  [[0], TypeError, "undefined bytes"],
  [[0, 1n], TypeError, "1n bytes"],
  [[2, 2 ** 53 - 2], RangeError, "9007199254740990 bytes at offset 2: the end is beyond"],
  [[0, 1, null], TypeError, "its options must be an object: got null"],
  [[0, 1, { keep: true }], TypeError, 'unknown option "keep": known are '],
];

for (const name of NAMES) {
  testFile(`${name}() refuses what is no range, and starts nothing`, 10, async (opened) => {
    const { aio, file, path } = opened;
    const call: (...args: never[]) => Promise<void> = file[name].bind(file);
    const before = aio.backends()[0]!.counters.started;
    for (const [args, type, message] of REFUSED) {
      const { message: text } = await assertRejects(() => call(...wrong<never[]>(args)), type);
      assert(text.startsWith(`Cannot ${VERBS[name]} `) && text.includes(message), text);
    }
    assertEquals(aio.backends()[0]!.counters.started, before);
    assertEquals(await Deno.readFile(path), ones(10));
  });

  testSharedAios(`${name}() of a closed file, or one to be read only, is refused`, async (aio) => {
    await using dir = await tempDir();
    await Deno.writeFile(dir.join("file"), ones(10));
    const file = await aio.openFile(dir.join("file"));
    const { BadResource } = Deno.errors;
    await assertRejects(() => file[name](0, 1), BadResource, 'was opened without "write"');
    assertThrows(() => file[`${name}Sync`](0, 1), BadResource, `Cannot ${VERBS[name]} `);
    await file.close();
    await assertRejects(() => file[name](0, 1), BadResource, "the file is closed");
  });

  testFile(`${name}() does nothing when its signal has aborted`, 10, async ({ file, path }) => {
    const reason = new Error("no more");
    const signal = AbortSignal.abort(reason);
    assertEquals(await file[name](0, 100, { signal }).catch((error) => error), reason);
    assertEquals(await Deno.readFile(path), ones(10));
  });
}

testFile("keepSize must be a boolean, and punchHole() does not take it", 10, async ({ file }) => {
  for (const call of [file.allocate.bind(file), file.zeroRange.bind(file)]) {
    const message = 'the option "keepSize" must be a boolean: got 1';
    await assertRejects(() => call(0, 1, { keepSize: wrong(1) }), TypeError, message);
  }
  const options = wrong<{ signal?: AbortSignal }>({ keepSize: true });
  await assertRejects(() => file.punchHole(0, 1, options), TypeError, 'unknown option "keepSize"');
});
