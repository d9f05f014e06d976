/**
 * copy_range_test.ts: `copyRangeTo()` and its blocking twin: what is copied, on and between file
 * systems of all kinds, where the next append goes, and what is refused.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Aio, AioFile, OpenFileOptions } from "../../../mod.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import { wrong } from "../../support/core.ts";
import { FILE_SYSTEMS, shareFileSystem } from "../../support/disks/file_systems.ts";
import { testSharedAios } from "../../support/methods.ts";
import { fillContent } from "../../support/prng.ts";
import { errorOf } from "../../support/system_errors.ts";
import { mountTmpfs, runChild, tempDir, tmpfsAvailable } from "../../support/temp.ts";

const WRITE: OpenFileOptions = { read: true, write: true, create: true };
const EIO = 5;
const BYTES = 3_000_000;
const PIECE_BYTES = 64 * 1024 * 1024;
const CONTENT = new Uint8Array(BYTES);
fillContent(CONTENT, 5, 0);

interface Opened {
  readonly aio: Aio;
  readonly source: AioFile;
  readonly target: AioFile;
}

/** Registers a test for each method that gets a file of {@linkcode CONTENT} and one of 10 ones. */
function testFiles(name: string, use: (opened: Opened) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    await Deno.writeFile(dir.join("source"), CONTENT);
    await Deno.writeFile(dir.join("target"), new Uint8Array(10).fill(1));
    await using source = await aio.openFile(dir.join("source"), WRITE);
    await using target = await aio.openFile(dir.join("target"), WRITE);
    await use({ aio, source, target });
    await source.close();
    await target.close();
    assertEquals(aio.ios(), []);
  });
}

testFiles("copyRangeTo() copies from any offset to any other", async ({ source, target }) => {
  assertEquals(await source.copyRangeTo(target, 12_345, 7, 2_000_001), 2_000_001);
  const copy = await target.readAll();
  assertEquals(copy.subarray(7), CONTENT.subarray(12_345, 2_012_346));
  assertEquals(copy.subarray(0, 7), new Uint8Array(7).fill(1));
});

testFiles("copyRangeToSync() does the same", async ({ source, target }) => {
  assertEquals(source.copyRangeToSync(target, 5, 10, 1_000_000), 1_000_000);
  assertEquals((await target.readAll()).subarray(10), CONTENT.subarray(5, 1_000_005));
});

testFiles("copyRangeTo() copies fewer bytes only at the end", async ({ source, target }) => {
  assertEquals(await source.copyRangeTo(target, BYTES - 100, 0, 2 ** 40), 100);
  assertEquals(await target.readAll(), CONTENT.subarray(BYTES - 100));
  assertEquals(await source.copyRangeTo(target, BYTES, 0, 10), 0);
  assertEquals(source.copyRangeToSync(target, 2 * BYTES, 0, 10), 0);
  assertEquals(await target.size(), 100);
});

testFiles("copyRangeTo() copies within a file, not over itself", async ({ aio, source }) => {
  assertEquals(await source.copyRangeTo(source, 100, BYTES, 1000), 1000);
  assertEquals((await source.readAll()).subarray(BYTES), CONTENT.subarray(100, 1100));
  await using other = await aio.openFile(source.path, WRITE);
  for (const target of [source, other]) {
    const copied = source.copyRangeTo(target, 100, 1099, 1000);
    await assertRejects(() => copied, RangeError, "the two ranges of this file overlap; read");
  }
  assertThrows(() => source.copyRangeToSync(other, 1099, 100, 1000), RangeError, "overlap");
  assertEquals((await source.readAll()).subarray(0, BYTES), CONTENT);
});

testFiles("many ranges are copied at once", async ({ source, target }) => {
  const part = BYTES / 30;
  const copied = Array.from({ length: 30 }, (_, i) => {
    return source.copyRangeTo(target, i * part, i * part, part);
  });
  assertEquals(await Promise.all(copied), copied.map(() => part));
  assertEquals(await target.readAll(), CONTENT);
});

testSharedAios("copyRangeTo() copies files that say they have no bytes", async (aio) => {
  await using dir = await tempDir();
  await using source = await aio.openFile("/proc/version");
  await using target = await aio.openFile(dir.join("copy"), WRITE);
  const content = await Deno.readFile("/proc/version");
  assertEquals(await source.copyRangeTo(target, 0, 0, 65_536), content.length);
  assertEquals(await target.readAll(), content);
}, { isPossible: Deno.build.os === "linux" });

// --- files of other kinds ---

testFiles("copyRangeTo() into a file of durable writes", async ({ aio, source, target }) => {
  await using durable = await aio.openFile(target.path, { ...WRITE, dsync: true });
  assertEquals(await source.copyRangeTo(durable, 1, 2, 1_500_000), 1_500_000);
  assertEquals(source.copyRangeToSync(durable, 1, 1_500_002, 1_000_000), 1_000_000);
  const copy = await target.readAll();
  assertEquals(copy.subarray(2, 1_500_002), CONTENT.subarray(1, 1_500_001));
  assertEquals(copy.subarray(1_500_002), CONTENT.subarray(1, 1_000_001));
});

testFiles("copyRangeTo() between direct files wants whole blocks", async ({ aio, ...opened }) => {
  const { source, target } = opened;
  await source.truncate(2_000_000);
  await using from = await aio.openFile(source.path, { ...WRITE, direct: "optional" });
  await using to = await aio.openFile(target.path, { ...WRITE, direct: "optional" });
  assertEquals(await from.copyRangeTo(to, 4096, 8192, 1_048_576), 1_048_576);
  assertEquals(
    (await target.readAll()).subarray(8192),
    CONTENT.subarray(4096, 4096 + 1_048_576),
  );
  assertEquals(await from.copyRangeTo(target, 0, 1, 4_194_304), 2_000_000);
  assertEquals((await target.readAll()).subarray(1), CONTENT.subarray(0, 2_000_000));
  if (!from.direct) return;
  const message = 'is open with "direct", so its offset and the length must be multiples of';
  await assertRejects(() => from.copyRangeTo(target, 1, 0, 4096), RangeError, message);
  await assertRejects(() => from.copyRangeTo(target, 0, 0, 4095), RangeError, message);
  await assertRejects(() => source.copyRangeTo(to, 0, 1, 4096), RangeError, message);
});

for (const { name, isPossible, sharesBlocks } of FILE_SYSTEMS) {
  const mounted = shareFileSystem(name);

  testSharedAios(`a file is copied to ${name}, within it, and back`, async (aio, by) => {
    await using dir = await tempDir();
    await Deno.writeFile(dir.join("source"), CONTENT);
    await using source = await aio.openFile(dir.join("source"));
    await using back = await aio.openFile(dir.join("back"), WRITE);
    await using there = await aio.openFile(mounted().join(`there ${by}`), WRITE);
    await using again = await aio.openFile(mounted().join(`again ${by}`), WRITE);
    assertEquals(await source.copyRangeTo(there, 0, 0, BYTES), BYTES);
    assertEquals(await there.copyRangeTo(again, 0, 0, BYTES), BYTES);
    assertEquals(again.copyRangeToSync(back, 0, 0, BYTES), BYTES);
    assertEquals(await back.readAll(), CONTENT);
    await again.sync();
    assertEquals(await hasSharedBlocks(again.path), sharesBlocks);
    for (const { path } of [there, again]) await Deno.remove(path);
  }, { isPossible });
}

/** Whether all blocks of a file are another one's, too. */
async function hasSharedBlocks(path: string): Promise<boolean> {
  const { code, stdout } = await runChild(["-v", path], { command: "filefrag" });
  const extents = stdout.split("\n").filter((line) => /^ +\d+:/.test(line));
  // Where there are no blocks, the program fails.
  return code === 0 && extents.length > 0 && extents.every((line) => line.includes("shared"));
}

// --- the end of appends ---

testFiles("append() goes behind what was copied", async ({ source, target }) => {
  assertEquals(await target.append(new Uint8Array(1)), 10);
  await source.copyRangeTo(target, 0, 11, 1000);
  assertEquals(await target.append(new Uint8Array(1)), 1011);
  source.copyRangeToSync(target, 0, 1012, 1000);
  assertEquals(await target.append(new Uint8Array(1)), 2012);
});

testFiles("append() goes behind what is being copied", async ({ aio, source, target }) => {
  await using other = await aio.openFile(target.path, WRITE);
  const copied = source.copyRangeTo(target, 0, 10, BYTES);
  const offsets = [target, other, target].map((file) => file.append(Uint8Array.of(9)));
  assertEquals(await copied, BYTES);
  const sorted = (await Promise.all(offsets)).sort();
  assertEquals(sorted, [BYTES + 10, BYTES + 11, BYTES + 12]);
  const content = await target.readAll();
  assertEquals(content.subarray(10, BYTES + 10), CONTENT);
  assertEquals(content.subarray(BYTES + 10), Uint8Array.of(9, 9, 9));
});

testFiles("append() goes where the file ends after a short copy", async ({ source, target }) => {
  assertEquals(await target.append(new Uint8Array(1)), 10);
  await source.copyRangeTo(target, BYTES - 5, 11, 2 ** 40);
  assertEquals(await target.append(new Uint8Array(1)), 16);
  await source.copyRangeTo(target, BYTES, 2 ** 33, 2 ** 40);
  assertEquals(await target.append(new Uint8Array(1)), 17);
});

testFiles("append() behind the end of a source stays though the source grows", async (opened) => {
  const { source, target } = opened;
  const { awaited } = insideOf(target).calls;
  const { copyRange } = awaited;
  await target.append(new Uint8Array(1));
  let appended = -1;
  awaited.copyRange = async (...args) => {
    if (appended < 0) {
      appended = await target.append(Uint8Array.of(9));
      await source.append(CONTENT);
    }
    return await copyRange(...args);
  };
  assertEquals(await source.copyRangeTo(target, 0, 11, 2 * BYTES), BYTES);
  awaited.copyRange = copyRange;
  assertEquals(appended, BYTES + 11);
  const content = await target.readAll();
  assertEquals(content.subarray(11, BYTES + 11), CONTENT);
  assertEquals(content.subarray(BYTES + 11), Uint8Array.of(9));
});

testFiles(
  "a copy that fails has its own error, though the file has no size either",
  async (opened) => {
    const { source, target } = opened;
    const { awaited } = insideOf(target).calls;
    const { copyRange, stat } = awaited;
    await target.append(new Uint8Array(1));
    awaited.copyRange = () => {
      awaited.stat = () => Promise.reject(new Error("no size"));
      return -EIO;
    };
    const error = await errorOf(source.copyRangeTo(target, 0, 11, 100));
    Object.assign(awaited, { copyRange, stat });
    assertEquals([error.code, error.syscall], ["EIO", "copy_file_range"]);
  },
);

testSharedAios("a copy that finds no room says how much it has copied", async (aio) => {
  await using disk = await mountTmpfs(65_536);
  await using dir = await tempDir();
  await Deno.writeFile(dir.join("source"), CONTENT);
  await using source = await aio.openFile(dir.join("source"));
  await using target = await aio.openFile(disk.join("target"), WRITE);
  await target.append(Uint8Array.of(1));
  const error = await errorOf(source.copyRangeTo(target, 0, 1, 1_000_000));
  assertEquals(error.code, "ENOSPC");
  const size = await target.size();
  assertEquals([error.bytesWritten, await target.append([])], [size - 1, size]);
  assertEquals((await target.readAll()).subarray(1), CONTENT.subarray(0, size - 1));
}, { isPossible: tmpfsAvailable() });

testSharedAios("a copy within a full disk has the error of its call", async (aio) => {
  await using disk = await mountTmpfs(65_536);
  await using source = await aio.openFile(disk.join("source"), WRITE);
  await source.writeAt(new Uint8Array(65_536), 0);
  await using target = await aio.openFile(disk.join("target"), WRITE);
  const { code, syscall, message, bytesWritten } = await errorOf(
    source.copyRangeTo(target, 0, 0, 100),
  );
  assertEquals([code, syscall, bytesWritten], ["ENOSPC", "copy_file_range", 0]);
  assertEquals(
    message,
    `Cannot copy 100 bytes at offset 0 of ${JSON.stringify(source.path)} to offset 0 of ` +
      `${JSON.stringify(target.path)}: No space left on device (ENOSPC)`,
  );
}, { isPossible: tmpfsAvailable() });

// --- signals ---

testFiles("a signal that has aborted has nothing copied", async ({ source, target }) => {
  const reason = new Error("no more");
  const copied = source.copyRangeTo(target, 0, 0, 100, { signal: AbortSignal.abort(reason) });
  assertEquals(await copied.catch((error) => error), reason);
  assertEquals(await target.readAll(), new Uint8Array(10).fill(1));
});

testFiles("a signal ends a copy between two pieces", async ({ source, target }) => {
  await source.truncate(4 * PIECE_BYTES);
  const reason = new Error("no more");
  const aborter = new AbortController();
  const copied = source.copyRangeTo(target, 0, 0, 4 * PIECE_BYTES, aborter);
  aborter.abort(reason);
  assertEquals(await copied.catch((error) => error), reason);
  // It waits for the piece.
  await target.close();
  const { size } = await Deno.stat(target.path);
  assert([10, PIECE_BYTES].includes(size), `${size}`);
});

testFiles("close() waits for a copy, however it is done", async ({ aio, source, target }) => {
  await using durable = await aio.openFile(target.path, { ...WRITE, dsync: true });
  const copied = [
    source.copyRangeTo(target, 0, 0, BYTES),
    source.copyRangeTo(durable, 0, BYTES, BYTES),
  ];
  await Promise.all([source.close(), target.close(), durable.close()]);
  assertEquals(await Promise.all(copied), [BYTES, BYTES]);
  const content = await Deno.readFile(target.path);
  assertEquals([content.subarray(0, BYTES), content.subarray(BYTES)], [CONTENT, CONTENT]);
});

// --- what is refused ---

/** Arguments behind the target, the error's type, and its message. */
const REFUSED: readonly (readonly [
  args: readonly unknown[],
  type: typeof TypeError | typeof RangeError,
  message: string,
])[] = [
  [[-1, 0, 1], RangeError, "Cannot copy at offset -1: offsets are integers from 0 to"],
  [[NaN, 0, 1], RangeError, "Cannot copy at offset NaN"],
  [["0", 0, 1], TypeError, 'Cannot copy at offset "0"'],
  [[0, -1, 1], RangeError, "Cannot put a copy at offset -1"],
  [[0, 2 ** 53, 1], RangeError, "Cannot put a copy at offset 9007199254740992"],
  [[0, undefined, 1], TypeError, "Cannot put a copy at offset undefined"],
  [[0, 0, 0], RangeError, "Cannot copy 0 bytes: lengths are integers from 1 to"],
  [[0, 0, -1], RangeError, "Cannot copy -1 bytes"],
  [[0, 0, 0.5], RangeError, "Cannot copy 0.5 bytes"],
  [[0, 0], TypeError, "Cannot copy undefined bytes"],
  [[2, 0, 2 ** 53 - 2], RangeError, "the end is beyond"],
  [[0, 2, 2 ** 53 - 2], RangeError, "the end is beyond"],
  [[0, 0, 1, null], TypeError, "its options must be an object: got null"],
  [[0, 0, 1, { piece: 1 }], TypeError, 'unknown option "piece": known are signal'],
];

testFiles("copyRangeTo() refuses what is no range", async ({ source, target }) => {
  const call: (...args: never[]) => Promise<number> = source.copyRangeTo.bind(source);
  for (const [args, type, message] of REFUSED) {
    const error = await assertRejects(() => call(...wrong<never[]>([target, ...args])), type);
    assert(error.message.includes(message), error.message);
  }
  for (const none of [null, undefined, "path", 3, {}]) {
    const copied = call(...wrong<never[]>([none, 0, 0, 1]));
    await assertRejects(() => copied, TypeError, "pass a file of aio.openFile()");
  }
  assertEquals(await target.readAll(), new Uint8Array(10).fill(1));
});

testFiles("copyRangeTo() needs a source to read and a target to write", async (opened) => {
  const { aio, source, target } = opened;
  const { BadResource } = Deno.errors;
  await using readable = await aio.openFile(target.path);
  await using writable = await aio.openFile(source.path, { read: false, write: true });
  const toReadable = source.copyRangeTo(readable, 0, 0, 1);
  await assertRejects(() => toReadable, BadResource, 'was opened without "write"');
  const fromWritable = writable.copyRangeTo(target, 0, 0, 1);
  await assertRejects(() => fromWritable, BadResource, 'was opened without "read"');
  await target.close();
  assertThrows(() => source.copyRangeToSync(target, 0, 0, 1), BadResource, "Cannot copy to ");
  await source.close();
  const fromClosed = source.copyRangeTo(readable, 0, 0, 1);
  await assertRejects(() => fromClosed, BadResource, "the file is closed");
});
