/**
 * times_and_mode_test.ts: `utimes()` and `chmod()` change a file by its descriptor, as Deno's own
 * functions do by a path.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { EBADF, EPERM } from "../../../ffi/errno.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import { testSharedAios } from "../../support/methods.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";

/** Registers a test that gets a file open for writing. */
function testFile(
  name: string,
  use: (file: AioFile, aio: Aio, dir: TempDir) => void | Promise<void>,
): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const options = { write: true, create: true, mode: 0o640 };
    await using file = await aio.openFile(dir.join("file"), options);
    await use(file, aio, dir);
  });
}

/** Both forms of a call. */
function bothOf(file: AioFile) {
  return {
    utimes: [
      (...times: Parameters<AioFile["utimes"]>) => file.utimes(...times),
      (...times: Parameters<AioFile["utimes"]>) => file.utimesSync(...times),
    ],
    chmod: [(mode: number) => file.chmod(mode), (mode: number) => file.chmodSync(mode)],
  } as const;
}

async function timesOf(path: string): Promise<(number | undefined)[]> {
  const { atime, mtime } = await Deno.stat(path);
  return [atime?.getTime(), mtime?.getTime()];
}

testFile("utimes() and utimesSync() set times as Deno.utime() does", async (file, _aio, dir) => {
  const other = dir.join("other");
  await Deno.writeTextFile(other, "");
  const times: [Date | number, Date | number][] = [
    [new Date("2033-01-02T03:04:05.678Z"), new Date("1969-03-01T02:03:04.567Z")],
    [0, 1_700_000_000],
    [1_500_000_000.25, new Date(0)],
    [-1, -0.75],
  ];
  for (const [atime, mtime] of times) {
    await Deno.utime(other, atime, mtime);
    for (const utimes of bothOf(file).utimes) {
      await utimes(12345, 12345);
      await utimes(atime, mtime);
      // Deno drops what is before the second of a negative fraction.
      if (mtime !== -0.75) assertEquals(await timesOf(file.path), await timesOf(other));
      else assertEquals(await timesOf(file.path), [-1000, -750]);
    }
  }
});

testFile("utimes() goes by the descriptor, whatever became of the name", async (file) => {
  await Deno.remove(file.path);
  await Deno.writeTextFile(file.path, "another");
  const before = await timesOf(file.path);
  await file.utimes(1, 2);
  const { atime, mtime } = await file.stat();
  assertEquals([atime?.getTime(), mtime?.getTime()], [1000, 2000]);
  assertEquals(await timesOf(file.path), before);
});

testFile("chmod() and chmodSync() set all permissions", async (file) => {
  for (const mode of [0o600, 0o7777, 0o4750, 0, 0o644]) {
    for (const chmod of bothOf(file).chmod) {
      await file.chmod(0o601);
      await chmod(mode);
      assertEquals((await file.stat()).mode! & 0o7777, mode);
    }
  }
});

testFile("utimes() and chmod() refuse wrong arguments, and change nothing", async (file) => {
  const before = await file.stat();
  const times: [string, typeof TypeError | typeof RangeError, string][] = [
    ['"1"', TypeError, '"atime" must be a Date or a number of seconds: got "1"'],
    ["null", TypeError, "got null"],
    ["1e300", RangeError, '"atime" is no time: got 1e+300; pass a valid Date, or seconds'],
  ];
  for (const [json, Class, text] of times) {
    await assertRejects(() => file.utimes(JSON.parse(json), 0), Class, text);
    assertThrows(() => file.utimesSync(JSON.parse(json), 0), Class, text);
  }
  await assertRejects(() => file.utimes(0, new Date(NaN)), RangeError, "got an invalid Date");
  await assertRejects(() => file.utimes(0, NaN), RangeError, '"mtime" is no time: got NaN');
  for (const json of ["-1", "4096", "1.5", '"644"']) {
    const text = "pass an integer from 0 to 0o7777";
    await assertRejects(() => file.chmod(JSON.parse(json)), RangeError, text);
    assertThrows(() => file.chmodSync(JSON.parse(json)), RangeError, text);
  }
  const { atime, mtime, mode } = await file.stat();
  assertEquals([atime, mtime, mode], [before.atime, before.mtime, before.mode]);
});

testFile("utimes() and chmod() of a file that is read only are refused", async (file, aio) => {
  await using reader = await aio.openFile(file.path);
  const text = 'opened without "write"';
  await assertRejects(() => reader.utimes(0, 0), Deno.errors.BadResource, text);
  await assertRejects(() => reader.chmod(0o600), Deno.errors.BadResource, text);
  assertThrows(() => reader.utimesSync(0, 0), Deno.errors.BadResource, text);
  assertThrows(() => reader.chmodSync(0o600), Deno.errors.BadResource, text);
});

testFile("utimes() and chmod() of a closed file are refused", async (file) => {
  await file.close();
  const text = "the file is closed";
  await assertRejects(() => file.utimes(0, 0), Deno.errors.BadResource, text);
  await assertRejects(() => file.chmod(0o600), Deno.errors.BadResource, text);
  assertThrows(() => file.utimesSync(0, 0), Deno.errors.BadResource, text);
  assertThrows(() => file.chmodSync(0o600), Deno.errors.BadResource, text);
});

testFile("what the system refuses is told with call and path", (file, aio) => {
  const { fileControl } = backendOf(aio).libc;
  const refused = { value: () => -EPERM, configurable: true };
  Object.defineProperties(fileControl, { setTimes: refused, changeMode: refused });
  try {
    const { PermissionDenied } = Deno.errors;
    const name = JSON.stringify(file.path);
    const mode = assertThrows(() => file.chmodSync(0), PermissionDenied, `mode of ${name}`);
    const times = assertThrows(() => file.utimesSync(0, 0), PermissionDenied, `times of ${name}`);
    const calls = [mode, times].map((error) => Reflect.get(error, "syscall"));
    assertEquals(calls, ["fchmod", "futimens"]);
  } finally {
    Reflect.deleteProperty(fileControl, "setTimes");
    Reflect.deleteProperty(fileControl, "changeMode");
  }
});

testFile("the calls know their errors, off the thread, too", async (file) => {
  const time = { seconds: 0, nanoseconds: 0 };
  const { awaited, blocking } = insideOf(file).calls;
  assertEquals(await awaited.setTimes(-1, time, time), -EBADF);
  assertEquals(await awaited.changeMode(-1, 0o600), -EBADF);
  assertEquals(blocking.setTimes(-1, time, time), -EBADF);
  assertEquals(blocking.changeMode(-1, 0o600), -EBADF);
});
