/**
 * direct_test.ts: direct I/O: which files have it, the alignment that it needs, the error of what
 * is misaligned, and the end of the file.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { SystemError } from "../../../core/mod.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { directUnitHere, isTmpfsDirect } from "../../support/disks/direct_io.ts";
import { testSharedAios } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import { countDescriptorsOf } from "../../support/program.ts";
import {
  mountRamfs,
  mountTmpfs,
  tempDir,
  tmpfsAvailable,
  writeRandomFile,
} from "../../support/temp.ts";

const SEED = 5;
const isLinux = Deno.build.os === "linux";

/** A file on a file system without direct I/O, which every Linux has. */
const PROC_FILE = "/proc/self/status";

const UNIT_HERE = await directUnitHere();
/** Whether the folder for temporary files has direct I/O, and wants some alignment. */
const isDirectHere = UNIT_HERE !== null && UNIT_HERE > 1;
/** The alignment of the tests' disk. Where direct I/O has none there, no test uses this. */
const UNIT = isDirectHere ? UNIT_HERE : 512;

function testDirect(
  name: string,
  bytes: number,
  use: (aio: Aio, file: AioFile, path: string) => Promise<void>,
): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await writeRandomFile(path, bytes, SEED);
    await using file = await aio.openFile(path, { read: true, write: true, direct: "required" });
    assert(file.direct);
    await use(aio, file, path);
  }, { isPossible: isDirectHere });
}

testDirect(
  "openFile() with direct tells the alignment, and sets O_DIRECT",
  10_000,
  async (_, file) => {
    assertEquals(file.alignment.offset, UNIT);
    assertEquals(Math.log2(file.alignment.memory) % 1, 0);
    const info = await Deno.readTextFile(`/proc/self/fdinfo/${file.fd}`);
    const flags = parseInt(/flags:\s*([0-7]+)/.exec(info)?.[1] ?? "", 8);
    const direct = Deno.build.arch === "aarch64" ? 0o200000 : 0o40000;
    assertEquals(flags & direct, direct);
  },
);

testDirect(
  "a direct file reads and writes aligned arena memory",
  65_536,
  async (aio, file, path) => {
    const view = aio.alloc(8192);
    assertEquals(await file.readAt(view, 4096), 8192);
    assertEquals(view.slice(), contentAt(SEED, 4096, 8192));
    assertEquals(await file.writeAt(view, 0), 8192);
    assertEquals(file.readAtSync(view.subarray(0, 2 * UNIT), 8192), 2 * UNIT);
    assertEquals(file.writeAtSync(view.subarray(0, UNIT), 16_384), UNIT);
    const written = await Deno.readFile(path);
    assertEquals(written.slice(0, 8192), contentAt(SEED, 4096, 8192));
    assertEquals(written.slice(16_384, 16_384 + UNIT), contentAt(SEED, 4096 + 4096, UNIT));
    aio.free(view);
  },
);

testDirect("a direct file takes several buffers, of every kind", 65_536, async (aio, file) => {
  const view = aio.alloc(16 * UNIT);
  const straight = [view.subarray(0, UNIT), view.subarray(4 * UNIT, 8 * UNIT)];
  assertEquals(await file.readAt(straight, UNIT), 5 * UNIT);
  assertEquals(view.slice(0, UNIT), contentAt(SEED, UNIT, UNIT));
  assertEquals(view.slice(4 * UNIT, 8 * UNIT), contentAt(SEED, 2 * UNIT, 4 * UNIT));
  const mixed = [new Uint8Array(100), view.subarray(7, 7 + UNIT), new Uint8Array(UNIT - 100)];
  assertEquals(await file.readAt(mixed, 2 * UNIT), 2 * UNIT);
  assertEquals(mixed[0], contentAt(SEED, 2 * UNIT, 100));
  assertEquals(mixed[1]?.slice(), contentAt(SEED, 2 * UNIT + 100, UNIT));
  assertEquals(file.readAtSync(mixed, 0), 2 * UNIT);
  assertEquals(mixed[0], contentAt(SEED, 0, 100));
  aio.free(view);
});

testDirect(
  "a direct file bounces plain buffers, whatever their address",
  65_536,
  async (aio, file) => {
    const before = backendOf(aio).arena.freeBytes;
    const buffer = new Uint8Array(3 * UNIT + 13).subarray(13);
    assertEquals(await file.readAt(buffer, UNIT), 3 * UNIT);
    assertEquals(buffer, contentAt(SEED, UNIT, 3 * UNIT));
    buffer.fill(9);
    assertEquals(await file.writeAt(buffer, 0), 3 * UNIT);
    assertEquals(file.writeAtSync(buffer, 8 * UNIT), 3 * UNIT);
    const back = new Uint8Array(12 * UNIT);
    assertEquals(file.readAtSync(back, 0), 12 * UNIT);
    assertEquals(back.subarray(0, 3 * UNIT), buffer);
    assertEquals(back.subarray(8 * UNIT, 11 * UNIT), buffer);
    assertEquals(backendOf(aio).arena.freeBytes, before);
  },
);

testDirect(
  "a direct transfer of more than the arena is bounced in aligned pieces",
  0,
  async (aio, file) => {
    const bytes = Math.ceil((aio.options.arenaBytes + 1) / UNIT) * UNIT;
    const data = contentAt(SEED, 0, bytes);
    assertEquals(await file.writeAt(data, UNIT), bytes);
    const back = new Uint8Array(bytes);
    assertEquals(await file.readAt(back, UNIT), bytes);
    assertEquals(back, data);
  },
);

/** The message of a refusal. */
function misaligned(
  verb: string,
  total: number,
  offset: number,
  file: AioFile,
  what: string,
): string {
  const { memory, offset: unit } = file.alignment;
  return `Cannot ${verb} ${total} bytes at offset ${offset} of the direct file ` +
    `${JSON.stringify(file.path)}: ${what} is misaligned; offset and length must be multiples of ` +
    `${unit}, addresses of ${memory} (aio.alloc() gives aligned memory)`;
}

testDirect(
  "a misaligned offset of a direct transfer is refused by its name",
  65_536,
  async (aio, file) => {
    const view = aio.alloc(UNIT);
    for (const buffer of [view, new Uint8Array(UNIT)]) {
      for (const offset of [1, UNIT - 1, UNIT + 100]) {
        const what = `offset ${offset}`;
        const read = await assertRejects(() => file.readAt(buffer, offset), RangeError);
        assertEquals(read.message, misaligned("read", UNIT, offset, file, what));
        const write = await assertRejects(() => file.writeAt(buffer, offset), RangeError);
        assertEquals(write.message, misaligned("write", UNIT, offset, file, what));
        const sync = assertThrows(() => file.readAtSync(buffer, offset), RangeError);
        assertEquals(sync.message, misaligned("read", UNIT, offset, file, what));
        assertThrows(() => file.writeAtSync(buffer, offset), RangeError, what);
      }
    }
    aio.free(view);
  },
);

testDirect(
  "a misaligned length of a direct transfer is refused by its name",
  65_536,
  async (aio, file) => {
    const view = aio.alloc(8192);
    for (const length of [1, UNIT - 1, UNIT + 1]) {
      for (const buffer of [view.subarray(0, length), new Uint8Array(length)]) {
        const what = `length ${length}`;
        const read = await assertRejects(() => file.readAt(buffer, 0), RangeError);
        assertEquals(read.message, misaligned("read", length, 0, file, what));
        const write = await assertRejects(() => file.writeAt(buffer, 0), RangeError);
        assertEquals(write.message, misaligned("write", length, 0, file, what));
        assertThrows(() => file.readAtSync(buffer, 0), RangeError, what);
        assertThrows(() => file.writeAtSync(buffer, 0), RangeError, what);
      }
    }
    const second = [view.subarray(0, UNIT), view.subarray(UNIT, UNIT + 3)];
    const error = await assertRejects(() => file.readAt(second, 0), RangeError);
    assertEquals(error.message, misaligned("read", UNIT + 3, 0, file, "length 3"));
    aio.free(view);
  },
);

testDirect(
  "a misaligned address of a direct transfer is refused by its name",
  65_536,
  async (aio, file) => {
    const view = aio.alloc(8192);
    const { memory } = file.alignment;
    if (memory > 1) {
      const buffer = view.subarray(1, 1 + UNIT);
      const address = backendOf(aio).memory.addressOf(buffer);
      const what = `address 0x${address.toString(16)}`;
      const read = await assertRejects(() => file.readAt(buffer, 0), RangeError);
      assertEquals(read.message, misaligned("read", UNIT, 0, file, what));
      const write = await assertRejects(() => file.writeAt([view, buffer], 0), RangeError);
      assertEquals(write.message, misaligned("write", 8192 + UNIT, 0, file, what));
      assertThrows(() => file.readAtSync(buffer, 0), RangeError, what);
      assertThrows(() => file.writeAtSync(buffer, 0), RangeError, what);
    }
    aio.free(view);
  },
);

testDirect(
  "a refused direct write changes nothing in the file",
  10_000,
  async (aio, file, path) => {
    const view = aio.alloc(8192).fill(0);
    await assertRejects(() => file.writeAt([view, view.subarray(0, 100)], 0), RangeError);
    await assertRejects(() => file.writeAt(new Uint8Array(100), 0), RangeError);
    assertEquals(await Deno.readFile(path), contentAt(SEED, 0, 10_000));
  },
);

const SIZE = 20 * UNIT + 123;

testDirect(
  "a direct read over the end of the file may have any length",
  SIZE,
  async (aio, file) => {
    const view = aio.alloc(8 * UNIT);
    const at = 18 * UNIT;
    for (const length of [2 * UNIT + 123, 2 * UNIT + 124, 3 * UNIT, 3 * UNIT + 1, 7 * UNIT + 5]) {
      for (const buffer of [view.subarray(0, length), new Uint8Array(length)]) {
        buffer.fill(0xee);
        assertEquals(await file.readAt(buffer, at), 2 * UNIT + 123);
        assertEquals(buffer.slice(0, 2 * UNIT + 123), contentAt(SEED, at, 2 * UNIT + 123));
        // The kernel itself writes whole blocks, so only a bounced buffer keeps the rest.
        const rest = buffer.subarray(2 * UNIT + 123);
        if (buffer.buffer instanceof ArrayBuffer) assert(rest.every((byte) => byte === 0xee));
        assertEquals(file.readAtSync(buffer, at), 2 * UNIT + 123);
      }
    }
    aio.free(view);
  },
);

testDirect(
  "a direct read at the end of the file or behind it gives 0 bytes",
  SIZE,
  async (aio, file) => {
    const view = aio.alloc(UNIT);
    for (const offset of [21 * UNIT, 100 * UNIT, 2 ** 33]) {
      for (const buffer of [view, view.subarray(0, 5), new Uint8Array(UNIT), new Uint8Array(5)]) {
        assertEquals(await file.readAt(buffer, offset), 0);
        assertEquals(file.readAtSync(buffer, offset), 0);
      }
    }
    aio.free(view);
  },
);

testDirect(
  "a direct read that ends before the end of the file is aligned or refused",
  SIZE,
  async (_, file) => {
    await assertRejects(() => file.readAt(new Uint8Array(2 * UNIT + 122), 18 * UNIT), RangeError);
    assertEquals(await file.readAt(new Uint8Array(2 * UNIT), 18 * UNIT), 2 * UNIT);
  },
);

testSharedAios(
  "openFile() with direct required on a file system without is NotSupported",
  async (aio) => {
    const message = `Cannot open "${PROC_FILE}" for direct I/O as its file system has none; ` +
      'pass direct: "optional" to go through the page cache then: Operation not supported (EOPNOTSUPP)';
    const options = { direct: "required" } as const;
    const error = await assertRejects(
      () => aio.openFile(PROC_FILE, options),
      Deno.errors.NotSupported,
    ) as SystemError;
    assertEquals(error.message, message);
    assertEquals([error.code, error.errno], ["EOPNOTSUPP", 95]);
    assert(["open", "fcntl"].includes(error.syscall), error.syscall);
    assertEquals(error.path, PROC_FILE);
    const sync = assertThrows(() => aio.openFileSync(PROC_FILE, options), Deno.errors.NotSupported);
    assertEquals(sync.message, message);
  },
  { isPossible: isLinux },
);

testSharedAios(
  "openFile() with direct optional on a file system without is buffered",
  async (aio) => {
    const options = { direct: "optional" } as const;
    for (
      const file of [await aio.openFile(PROC_FILE, options), aio.openFileSync(PROC_FILE, options)]
    ) {
      assertEquals([file.direct, file.alignment.memory, file.alignment.offset], [false, 1, 1]);
      const buffer = new Uint8Array(5);
      assertEquals(await file.readAt(buffer, 0), 5);
      assertEquals(new TextDecoder().decode(buffer), "Name:");
      await file.close();
    }
  },
  { isPossible: isLinux },
);

testSharedAios("openFile() with direct is not hidden by another error", async (aio) => {
  await using dir = await tempDir();
  for (const direct of ["required", "optional"] as const) {
    const path = dir.join("none");
    const error = await assertRejects(
      () => aio.openFile(path, { direct }),
      Deno.errors.NotFound,
    ) as SystemError;
    assertEquals([error.code, error.path], ["ENOENT", path]);
    assertEquals(countDescriptorsOf(path), 0);
  }
}, { isPossible: isLinux });

/** A file system that holds files but knows no O_DIRECT: only root can mount one. */
for (const direct of ["optional", "required"] as const) {
  testSharedAios(
    `openFile() with direct ${direct} and createNew, where there is none`,
    async (aio) => {
      await using disk = await mountRamfs();
      const path = disk.join("file");
      const options = { read: true, write: true, createNew: true, direct };
      if (direct === "required") {
        await assertRejects(() => aio.openFile(path, options), Deno.errors.NotSupported);
        assertThrows(() => aio.openFileSync(path, options), Deno.errors.NotSupported);
        await assertRejects(() => Deno.stat(path), Deno.errors.NotFound, undefined, "left behind");
        return;
      }
      await using file = await aio.openFile(path, options);
      assertEquals(file.direct, false);
      assertEquals(await file.writeAt(new Uint8Array(5), 3), 5);
      const other = aio.openFileSync(disk.join("other"), options);
      assertEquals(other.direct, false);
      other.closeSync();
    },
    { isPossible: isLinux && tmpfsAvailable() },
  );
}

testSharedAios(
  "a direct file on tmpfs wants whole blocks, though the system would take anything",
  async (aio) => {
    await using disk = await mountTmpfs(1024 * 1024);
    const path = disk.join("file");
    await writeRandomFile(path, 10_000, SEED);
    await using file = await aio.openFile(path, { read: true, write: true, direct: "optional" });
    assert(file.direct);
    assertEquals(file.alignment, { memory: 4096, offset: 4096 });
    const buffer = new Uint8Array(4096);
    assertEquals(await file.readAt(buffer, 4096), 4096);
    assertEquals(buffer, contentAt(SEED, 4096, 4096));
    await assertRejects(() => file.readAt(buffer, 512), RangeError, "multiples of 4096");
  },
  { isPossible: await isTmpfsDirect() },
);
