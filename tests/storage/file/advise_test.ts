/**
 * advise_test.ts: `advise()` and its blocking twin: what the system hears, what comes of it, and
 * what is refused.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { FADVISE_ADVICE } from "../../../ffi/layout.ts";
import { highWord, lowWord } from "../../../ffi/memory.ts";
import type { Advice, Aio, AioFile } from "../../../mod.ts";
import { wrong } from "../../support/core.ts";
import { FILE_SYSTEMS, shareFileSystem } from "../../support/disks/file_systems.ts";
import { POINT } from "../../support/flush_failures.ts";
import { testSharedAios } from "../../support/methods.ts";
import { until } from "../../support/patience.ts";
import { errorOf } from "../../support/system_errors.ts";
import { tempDir } from "../../support/temp.ts";

const BYTES = 262_144;
const STAGED = "aio-after-staging";
const ALL = Object.keys(FADVISE_ADVICE) as Advice[];
const isLinux = Deno.build.os === "linux";

/** Registers a test for each method that gets a file. */
function testFile(
  name: string,
  use: (opened: { aio: Aio; file: AioFile; path: string }) => Promise<void>,
): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await Deno.writeFile(path, new Uint8Array(BYTES));
    await using file = await aio.openFile(path);
    await use({ aio, file, path });
  });
}

testFile("advise() tells the system advice and range, and so does its twin", async (opened) => {
  const { aio, file } = opened;
  const seen: unknown[] = [];
  aio.attachInjectionPoint(STAGED, ({ operation, operationData }) => {
    const { fd, offset, length, flags } = operationData;
    seen.push([operation, fd, offset, length, flags]);
  });
  for (const advice of ALL) await file.advise(advice, 4096, 2 ** 33);
  await file.advise("willNeed");
  file.adviseSync("random", 1, 2);
  file.adviseSync("random");
  aio.detachInjectionPoint(STAGED);
  const told = [
    ...ALL.map((advice) => [4096, 2 ** 33, FADVISE_ADVICE[advice]]),
    [0, 0, FADVISE_ADVICE.willNeed],
    [1, 2, FADVISE_ADVICE.random],
    [0, 0, FADVISE_ADVICE.random],
  ];
  assertEquals(seen, told.map((rest) => ["fadvise", file.fd, ...rest]));
});

const { isPossible } = FILE_SYSTEMS.find(({ name }) => name === "ext4")!;
const mounted = shareFileSystem("ext4");

testSharedAios("advise() empties and fills the page cache", async (aio, by) => {
  const path = mounted().join(`cached ${by}`);
  await using file = await aio.openFile(path, { read: true, write: true, create: true });
  await file.writeAt(new Uint8Array(BYTES), 0);
  await file.sync();
  const { libc } = backendOf(aio);
  const into = new Uint8Array(BYTES);
  const address = libc.addressOf(into);
  const iovec = new Uint8Array(Int32Array.of(lowWord(address), highWord(address), BYTES, 0).buffer);
  const cached = () => libc.preadvCached(file.fd, iovec, 1, 0n);
  assertEquals(cached(), BYTES);
  await file.advise("dontNeed");
  assertEquals(cached(), -1);
  await file.advise("willNeed");
  await until(() => cached() === BYTES, "the file is in the page cache");
  file.adviseSync("dontNeed");
  assertEquals(cached(), -1);
}, { isPossible });

testSharedAios(
  "advise() goes for files past the page cache, and to be written only",
  async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await Deno.writeFile(path, new Uint8Array(BYTES));
    for (const options of [{ direct: "optional" }, { write: true, read: false }] as const) {
      await using file = await aio.openFile(path, options);
      for (const advice of ALL) await file.advise(advice, 0, 4096);
    }
  },
);

testSharedAios("advise() tells what the system says against it", async (aio) => {
  await using dir = await tempDir();
  await Deno.writeFile(dir.join("file"), new Uint8Array(10));
  await using file = await aio.openFile(dir.join("file"));
  aio.attachInjectionPoint(POINT, () => -5);
  const { message, syscall } = await errorOf(file.advise("willNeed"));
  aio.detachInjectionPoint(POINT);
  const path = JSON.stringify(file.path);
  assertEquals(message, `Cannot advise "willNeed" on ${path}: Input/output error (EIO)`);
  assertEquals(syscall, "posix_fadvise");
}, { isPossible: isLinux });

/** Arguments, the error's type, and its message. */
const REFUSED: readonly (readonly [
  args: readonly unknown[],
  type: typeof TypeError | typeof RangeError,
  message: string,
])[] = [
  [["maybe"], TypeError, "there is no such advice, known are normal, random, sequential"],
  [["toString"], TypeError, 'Cannot advise "toString" on "'],
  [[3], TypeError, "Cannot advise 3 on "],
  [[], TypeError, "Cannot advise undefined on "],
  [["random", -1], RangeError, "Cannot advise at offset -1: offsets are"],
  [["random", "1"], TypeError, 'Cannot advise at offset "1"'],
  [["random", 0, -1], RangeError, "Cannot advise on -1 bytes: lengths are integers from 0"],
  [["random", 0, NaN], RangeError, "Cannot advise on NaN bytes"],
  [["random", 0, 1n], TypeError, "Cannot advise on 1n bytes"],
  [["random", 2, 2 ** 53 - 2], RangeError, "the end is beyond"],
];

testFile("advise() refuses what is no advice or no range, and starts nothing", async (opened) => {
  const { aio, file } = opened;
  const before = aio.backends()[0]!.counters.started;
  for (const [args, type, message] of REFUSED) {
    const call: (...args: never[]) => Promise<void> = file.advise.bind(file);
    const error = await assertRejects(() => call(...wrong<never[]>(args)), type);
    assert(error.message.includes(message), error.message);
    const twin: (...args: never[]) => void = file.adviseSync.bind(file);
    assertThrows(() => twin(...wrong<never[]>(args)), type, message);
  }
  assertEquals(aio.backends()[0]!.counters.started, before);
});

testFile("advise() of a closed file is refused", async ({ file }) => {
  await file.close();
  const { BadResource } = Deno.errors;
  await assertRejects(() => file.advise("random"), BadResource, "Cannot advise on");
  assertThrows(() => file.adviseSync("random"), BadResource, "the file is closed");
});
