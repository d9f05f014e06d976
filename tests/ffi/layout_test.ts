/**
 * layout_test.ts: sizes and offsets of the kernel's structs, pinned, and proved by known values
 * that come back through the real calls.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import fs, { constants } from "node:fs";
import * as layout from "../../ffi/layout.ts";
import { closeLibc, type Libc, openLibc } from "../../ffi/libc.ts";
import { highWord, lowWord } from "../../ffi/memory.ts";
import { tempDir } from "../support/temp.ts";

const isLinux = Deno.build.os === "linux";
const PLATFORM = `${Deno.build.os}-${Deno.build.arch}`;

/** Opens a file's descriptor and the C library for one test. */
async function withFile(
  use: (libc: Libc, fd: number, path: string) => void | Promise<void>,
  content = new Uint8Array(10_000),
): Promise<void> {
  await using dir = await tempDir();
  const path = dir.join("file");
  await Deno.writeFile(path, content, { mode: 0o640 });
  const libc = openLibc();
  const fd = fs.openSync(path, "r+");
  try {
    await use(libc, fd, path);
  } finally {
    fs.closeSync(fd);
    closeLibc(libc);
  }
}

function statOf(libc: Libc, fd: number): DataView {
  const buffer = new Uint8Array(layout.STATX_SIZE_BYTES);
  assertEquals(libc.stat(fd, buffer), 0);
  return new DataView(buffer.buffer);
}

Deno.test("struct iovec is an address and a length of 8 bytes each", () => {
  const { baseLow, baseHigh, lengthLow, lengthHigh, size } = layout.IOVEC_WORDS;
  assertEquals([baseLow, baseHigh, lengthLow, lengthHigh], [0, 1, 2, 3]);
  assertEquals(size * Int32Array.BYTES_PER_ELEMENT, layout.IOVEC_SIZE_BYTES);
});

Deno.test("struct statx lies as <linux/stat.h> says", () => {
  const offsets = Object.entries(layout.STATX).map(([name, { type, offset }]) => [
    name,
    type,
    offset,
  ]);
  assertEquals(offsets, [
    ["mask", "u32", 0],
    ["blockSize", "u32", 4],
    ["links", "u32", 16],
    ["user", "u32", 20],
    ["group", "u32", 24],
    ["mode", "u16", 28],
    ["inode", "u64", 32],
    ["size", "u64", 40],
    ["blocks", "u64", 48],
    ["accessed", "u64", 64],
    ["born", "u64", 80],
    ["changed", "u64", 96],
    ["modified", "u64", 112],
    ["ownMajor", "u32", 128],
    ["ownMinor", "u32", 132],
    ["deviceMajor", "u32", 136],
    ["deviceMinor", "u32", 140],
    ["directMemoryAlign", "u32", 152],
    ["directOffsetAlign", "u32", 156],
  ]);
  assertEquals(layout.STATX_SIZE_BYTES, 256);
});

Deno.test({
  name: "statx() through the layout tells size, inode, mode and device as Deno.stat() does",
  ignore: !isLinux,
  fn: () =>
    withFile(async (libc, fd, path) => {
      const view = statOf(libc, fd);
      const expected = await Deno.stat(path);
      const { STATX } = layout;
      assertEquals(Number(view.getBigUint64(STATX.size.offset, true)), expected.size);
      assertEquals(Number(view.getBigUint64(STATX.inode.offset, true)), expected.ino);
      assertEquals(view.getUint16(STATX.mode.offset, true), expected.mode);
      const major = view.getUint32(STATX.deviceMajor.offset, true);
      const minor = view.getUint32(STATX.deviceMinor.offset, true);
      const device = BigInt(fs.statSync(path, { bigint: true }).dev);
      assertEquals(BigInt(major), ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n));
      assertEquals(BigInt(minor), (device & 0xffn) | ((device >> 12n) & 0xffffff00n));
      assertEquals(view.getUint32(STATX.mask.offset, true) & 0x7ff, layout.STATX_FLAGS.basicStats);
    }),
});

Deno.test({
  name: "statx() through the layout tells a size beyond 2^32",
  ignore: !isLinux,
  fn: () =>
    withFile(async (libc, fd, path) => {
      const bytes = 3 * 2 ** 32 + 5;
      await Deno.truncate(path, bytes);
      const size = statOf(libc, fd).getBigUint64(layout.STATX.size.offset, true);
      assertEquals(Number(size), bytes);
    }),
});

Deno.test({
  name: "the file types are those that statx() tells of a file, a directory and a block device",
  ignore: !isLinux,
  fn: () => {
    const { FILE_TYPE } = layout;
    assertEquals(FILE_TYPE.mask, constants.S_IFMT);
    assertEquals(FILE_TYPE.directory, constants.S_IFDIR);
    assertEquals(FILE_TYPE.regular, constants.S_IFREG);
    assertEquals(FILE_TYPE.blockDevice, constants.S_IFBLK);
  },
});

Deno.test({
  name: "the open flags of this platform are those of node:fs",
  ignore: !isLinux,
  fn: () => {
    const flags = layout.OPEN_FLAGS[PLATFORM];
    assert(flags !== undefined, PLATFORM);
    assertEquals(flags.readOnly, constants.O_RDONLY);
    assertEquals(flags.writeOnly, constants.O_WRONLY);
    assertEquals(flags.readWrite, constants.O_RDWR);
    assertEquals(flags.create, constants.O_CREAT);
    assertEquals(flags.exclusive, constants.O_EXCL);
    assertEquals(flags.truncate, constants.O_TRUNC);
    const more: Record<string, number> = { ...constants };
    if (more["O_DIRECT"] !== undefined) assertEquals(flags.direct, more["O_DIRECT"]);
    if (more["O_DSYNC"] !== undefined) assertEquals(flags.dataSync, more["O_DSYNC"]);
  },
});

Deno.test({
  name: "the flags direct and dataSync are what the kernel shows of a descriptor opened with them",
  ignore: !isLinux,
  fn: () =>
    withFile((_libc, _fd, path) => {
      const flags = layout.OPEN_FLAGS[PLATFORM]!;
      const fd = fs.openSync(path, flags.readWrite | flags.dataSync | flags.create);
      try {
        const info = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
        const shown = parseInt(/flags:\s*([0-7]+)/.exec(info)?.[1] ?? "", 8);
        assertEquals(shown & flags.dataSync, flags.dataSync);
        assertEquals(shown & 3, flags.readWrite);
        assertEquals(shown & flags.direct, 0);
      } finally {
        fs.closeSync(fd);
      }
    }),
});

Deno.test("O_DIRECT has the number of the processor's own header", () => {
  assertEquals(layout.OPEN_FLAGS["linux-x86_64"]?.direct, 0x4000);
  assertEquals(layout.OPEN_FLAGS["linux-aarch64"]?.direct, 0x10000);
  assertEquals(layout.OPEN_FLAGS["darwin-aarch64"]?.direct, 0);
});

Deno.test({
  name: "a file without a name is opened by the system's flags, and keeps its directory's part",
  ignore: !isLinux,
  async fn() {
    await using dir = await tempDir();
    const flags = layout.OPEN_FLAGS[PLATFORM]!;
    assertEquals(flags.directory, constants.O_DIRECTORY);
    assertEquals(flags.temporary & flags.directory, flags.directory);
    const fd = fs.openSync(dir.path, flags.temporary | flags.readWrite);
    assertEquals(fs.fstatSync(fd).nlink, 0);
    fs.closeSync(fd);
    assertEquals(layout.OPEN_FLAGS["linux-x86_64"]?.temporary, 0x410000);
    assertEquals(layout.OPEN_FLAGS["linux-aarch64"]?.temporary, 0x404000);
  },
});

Deno.test({
  name: "struct flock lies as <bits/fcntl.h> says: of a lock in the way the kernel fills it in",
  ignore: !isLinux,
  fn: () =>
    withFile((libc, fd, path) => {
      const { FLOCK, LOCK_TYPES } = layout;
      const flock = new Uint8Array(layout.FLOCK_SIZE_BYTES);
      const view = new DataView(flock.buffer);
      view.setInt16(FLOCK.type.offset, LOCK_TYPES.exclusive, true);
      view.setBigInt64(FLOCK.start.offset, 77n, true);
      view.setBigInt64(FLOCK.length.offset, 2n ** 40n, true);
      const other = fs.openSync(path, "r+");
      assertEquals(libc.fileControl.lock(other, layout.F_OFD_SETLK, flock), 0);
      flock.fill(0);
      view.setInt16(FLOCK.type.offset, LOCK_TYPES.shared, true);
      assertEquals(libc.fileControl.lock(fd, layout.F_OFD_GETLK, flock), 0);
      assertEquals(view.getInt16(FLOCK.type.offset, true), LOCK_TYPES.exclusive);
      assertEquals(view.getBigInt64(FLOCK.start.offset, true), 77n);
      assertEquals(view.getBigInt64(FLOCK.length.offset, true), 2n ** 40n);
      fs.closeSync(other);
      flock.fill(0);
      view.setInt16(FLOCK.type.offset, LOCK_TYPES.shared, true);
      assertEquals(libc.fileControl.lock(fd, layout.F_OFD_GETLK, flock), 0);
      assertEquals(view.getInt16(FLOCK.type.offset, true), LOCK_TYPES.none);
    }),
});

Deno.test("an iovec written by the layout has preadv() fill two buffers, one after the other", () => {
  const content = Uint8Array.from({ length: 10_000 }, (_, i) => (i * 7) & 255);
  return withFile((libc, fd) => {
    const first = new Uint8Array(10);
    const second = new Uint8Array(20);
    const { baseLow, baseHigh, lengthLow, size } = layout.IOVEC_WORDS;
    const words = new Int32Array(2 * size);
    for (const [i, view] of [first, second].entries()) {
      const address = libc.addressOf(view);
      words[i * size + baseLow] = lowWord(address);
      words[i * size + baseHigh] = highWord(address);
      words[i * size + lengthLow] = view.byteLength;
    }
    assertEquals(libc.preadv(fd, new Uint8Array(words.buffer), 2, 100n), 30);
    assertEquals(first, content.slice(100, 110));
    assertEquals(second, content.slice(110, 130));
  }, content);
});

Deno.test("one transfer is at most what Linux does in one call", () => {
  assertEquals(layout.TRANSFER_BYTES_MAX, 2 ** 31 - 4096);
  assertEquals(layout.TRANSFER_BYTES_MAX % layout.PAGE_SIZE_BYTES, 0);
});
