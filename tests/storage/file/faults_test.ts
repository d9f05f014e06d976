/**
 * faults_test.ts: what the system refuses: full disks, limits, devices that fail, files that change
 * while they are read. Each error says which call failed, and how far it got.
 *
 * @module
 */

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioSystemError } from "../../../core/mod.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { testMethodProgram } from "../../support/method_program.ts";
import { testSharedAios } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import {
  mountTmpfs,
  type TempDir,
  tempDir,
  tmpfsAvailable,
  writeRandomFile,
} from "../../support/temp.ts";
import { errorOf } from "../../support/system_errors.ts";

const isLinux = Deno.build.os === "linux";
const DISK_BYTES = 65_536;

const OPTIONS = { arenaBytes: 65_536, maxConcurrency: 4 };

/** Registers a test for each method; it must keep nothing. */
function testNothingKept(
  name: string,
  use: (aio: Aio) => Promise<void>,
  isPossible: boolean,
): void {
  testSharedAios(name, async (aio) => {
    await use(aio);
    assertEquals([backendOf(aio).idleCount, backendOf(aio).arena.freeBytes], [4, 65_536]);
  }, { options: OPTIONS, isPossible });
}

/** The same for a test that gets a folder. */
function testDir(
  name: string,
  use: (aio: Aio, dir: TempDir) => Promise<void>,
  isPossible = true,
): void {
  testNothingKept(name, async (aio) => {
    await using dir = await tempDir();
    await use(aio, dir);
  }, isPossible);
}

/** Runs a test on a file system that is full after 64 KiB. */
function testFullDisk(name: string, use: (file: AioFile, path: string) => Promise<void>): void {
  testNothingKept(name, async (aio) => {
    await using disk = await mountTmpfs(DISK_BYTES);
    const path = disk.join("file");
    await using file = await aio.openFile(path, { read: true, write: true, create: true });
    await use(file, path);
    await file.close();
  }, tmpfsAvailable());
}

testFullDisk(
  "writeAt() to a full disk tells ENOSPC and how much was written",
  async (file, path) => {
    const data = contentAt(1, 0, 100_000);
    const error = await errorOf(file.writeAt(data, 0));
    const why = `Cannot write 100000 bytes at offset 0 of ${JSON.stringify(path)}: ` +
      "No space left on device (ENOSPC)";
    assertEquals(error.message, why);
    assertEquals([error.code, error.errno, error.syscall], ["ENOSPC", 28, "pwritev"]);
    assertEquals([error.path, error.offset, error.length], [path, 0, 100_000]);
    assertEquals(error.bytesWritten, DISK_BYTES);
    assertEquals(await Deno.readFile(path), data.slice(0, DISK_BYTES));
    const thrown = assertThrows(() => file.writeAtSync(data, 10), AioSystemError);
    assertEquals(
      Object.entries(thrown).find(([name]) => name === "bytesWritten")?.[1],
      DISK_BYTES - 10,
    );
  },
);

testFullDisk(
  "writeAt() of one byte to a full disk has written none, and reads go on",
  async (file) => {
    await file.writeAt(new Uint8Array(DISK_BYTES), 0);
    const error = await errorOf(file.writeAt(new Uint8Array(1), DISK_BYTES));
    assertEquals([error.code, error.bytesWritten, error.length], ["ENOSPC", 0, 1]);
    assertEquals(await file.readAt(new Uint8Array(100), 0), 100);
    await file.truncate(0);
    assertEquals(await file.writeAt(new Uint8Array(1), DISK_BYTES), 1, "there is room again");
  },
);

testFullDisk(
  "writeAt() 100 times at once to a full disk settles each by itself",
  async (file, path) => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 100 }, (_, i) => file.writeAt(contentAt(1, i * 4096, 4096), i * 4096)),
    );
    const written = outcomes.flatMap(({ status }, i) => status === "fulfilled" ? [i] : []);
    assertEquals(written.length, DISK_BYTES / 4096);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") assertEquals(outcome.reason.code, "ENOSPC");
    }
    const content = await Deno.readFile(path);
    for (const i of written) {
      assertEquals(content.slice(i * 4096, (i + 1) * 4096), contentAt(1, i * 4096, 4096));
    }
  },
);

testMethodProgram(
  "writeAt() beyond the process's limit tells EFBIG and how much was written",
  (dir) => {
    const body = `
      await using aio = await Aio.open({ method });
      const path = Deno.args[0] + "/" + method;
      await using file = await aio.openFile(path, { write: true, create: true });
      const tell = ({ name, code, errno, syscall, offset, length, bytesWritten }) =>
        print(name, code, errno, syscall, offset, length, bytesWritten);
      await file.writeAt(new Uint8Array(10000), 0).catch(tell);
      await file.writeAt([new Uint8Array(10), new Uint8Array(10)], 4090).catch(tell);
      await file.writeAt(new Uint8Array(10), 9000).catch(tell);
      try { file.writeAtSync(new Uint8Array(10), 9000); } catch (error) { tell(error); }
      await file.truncate(10000).catch(tell);
      print(await file.size());`;
    // The trap ignores the limit's signal, which would end the process; `ulimit` counts in 512
    // bytes.
    return { body, options: { args: [dir.path], shell: "trap '' XFSZ; ulimit -f 8" } };
  },
  (lines) =>
    assertEquals(lines, [
      "AioSystemError EFBIG 27 pwritev 0 10000 4096",
      "AioSystemError EFBIG 27 pwritev 4090 20 6",
      "AioSystemError EFBIG 27 pwritev 9000 10 0",
      "AioSystemError EFBIG 27 pwritev 9000 10 0",
      "AioSystemError EFBIG 27 ftruncate   ",
      "4096",
    ]),
  isLinux,
);

testSharedAios("readAt() of what cannot be read tells EIO", async (aio) => {
  const path = "/proc/self/mem"; // Nothing is mapped at address 0.
  await using file = await aio.openFile(path);
  for (
    const buffers of [new Uint8Array(10), aio.alloc(10), [new Uint8Array(4), new Uint8Array(6)]]
  ) {
    const error = await errorOf(file.readAt(buffers, 0));
    assertEquals(
      error.message,
      `Cannot read 10 bytes at offset 0 of "${path}": Input/output error (EIO)`,
    );
    assertEquals([error.code, error.errno, error.syscall], ["EIO", 5, "preadv"]);
    assertEquals([error.path, error.offset, error.length], [path, 0, 10]);
    assert(!("bytesWritten" in error));
    assertThrows(() => file.readAtSync(buffers, 0), AioSystemError, error.message);
  }
  assertEquals(backendOf(aio).idleCount, 4);
}, { options: OPTIONS, isPossible: isLinux });

testDir("readAt() that fails 200 times among good ones keeps nothing", async (aio, dir) => {
  await writeRandomFile(dir.join("file"), 10_000, 1);
  await using good = await aio.openFile(dir.join("file"));
  await using bad = await aio.openFile("/proc/self/mem");
  const outcomes = await Promise.allSettled(
    Array.from(
      { length: 400 },
      (_, i) => (i % 2 === 0 ? good : bad).readAt(new Uint8Array(9), 0),
    ),
  );
  for (const [i, { status }] of outcomes.entries()) {
    assertEquals(status, i % 2 === 0 ? "fulfilled" : "rejected");
  }
}, isLinux);

testDir("errors of the system are instances of what their class says", async (aio, dir) => {
  const error = await assertRejects(() => aio.openFile(dir.join("none")), Deno.errors.NotFound);
  assertInstanceOf(error, Error);
  assertEquals(error.name, "NotFound");
  await using bad = await aio.openFile("/proc/self/mem");
  assertEquals((await errorOf(bad.readAt(new Uint8Array(1), 0))).name, "AioSystemError");
}, isLinux);

testDir("a file that is removed while open reads and writes on", async (aio, dir) => {
  const path = dir.join("file");
  await writeRandomFile(path, 10_000, 1);
  await using file = await aio.openFile(path, { read: true, write: true });
  await Deno.remove(path);
  const buffer = new Uint8Array(100);
  assertEquals(await file.readAt(buffer, 5), 100);
  assertEquals(buffer, contentAt(1, 5, 100));
  await file.writeAt(buffer, 20_000);
  assertEquals([await file.size(), file.path], [20_100, path]);
  await file.sync();
});

testDir(
  "readAt() of a file that shrinks or grows meanwhile gives some prefix of it",
  async (aio, dir) => {
    const path = dir.join("file");
    await writeRandomFile(path, 100_000, 1);
    await using file = await aio.openFile(path, { read: true, write: true });
    for (let round = 0; round < 20; round++) {
      const buffer = new Uint8Array(100_000);
      const pending = file.readAt(buffer, 0); // In several pieces, as the arena is small.
      const bytes = round % 2 === 0 ? 30_000 : 90_000;
      await file.truncate(bytes);
      const read = await pending;
      assert(read >= 30_000 && read <= 100_000, `${read}`);
      assertEquals(buffer.slice(0, 30_000), contentAt(1, 0, 30_000));
      assertEquals(buffer.slice(read), new Uint8Array(100_000 - read), "behind what was read");
    }
  },
);

testDir(
  "readAt() of a file that grows while it is read by pieces ends where it then ends",
  async (aio, dir) => {
    const path = dir.join("file");
    await writeRandomFile(path, 10, 1);
    await using file = await aio.openFile(path, { read: true, write: true });
    const reads = Array.from({ length: 50 }, () => file.readAt(new Uint8Array(50_000), 0));
    await file.writeAt(new Uint8Array(90), 10);
    for (const bytes of await Promise.all(reads)) {
      assert(bytes === 10 || bytes === 100, `${bytes}`);
    }
    assertEquals(await file.readAt(new Uint8Array(500), 0), 100);
  },
);
