/**
 * libc_test.ts: the calls of the C library: a number from 0 on, or -errno, and the right one.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertNotStrictEquals,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import fs from "node:fs";
import { errnoName } from "../../ffi/errno.ts";
import { FADVISE_ADVICE, FALLOCATE_MODES, STATX_SIZE_BYTES } from "../../ffi/layout.ts";
import { closeLibc, type Libc, openLibc } from "../../ffi/libc.ts";
import { LIBC_CANDIDATES, libcCandidates } from "../../ffi/libc_paths.ts";
import { highWord, lowWord } from "../../ffi/memory.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

const PLATFORM = `${Deno.build.os}-${Deno.build.arch}`;
const isLinux = Deno.build.os === "linux";
const ERRNO_ROUNDS = 20_000;

/** A descriptor that no process has. */
const CLOSED_FD = 1_000_000;

async function withLibc(use: (libc: Libc, dir: TempDir) => void | Promise<void>): Promise<void> {
  await using dir = await tempDir();
  const libc = openLibc();
  try {
    await use(libc, dir);
  } finally {
    closeLibc(libc);
  }
}

async function withFd(use: (libc: Libc, fd: number) => void | Promise<void>): Promise<void> {
  await withLibc(async (libc, dir) => {
    const fd = fs.openSync(dir.join("file"), "w+");
    try {
      await use(libc, fd);
    } finally {
      fs.closeSync(fd);
    }
  });
}

/** An iovec of one view, which the caller holds. */
function iovecOf(libc: Libc, view: Uint8Array): Uint8Array {
  const address = libc.addressOf(view);
  const words = Int32Array.of(lowWord(address), highWord(address), view.byteLength, 0);
  return new Uint8Array(words.buffer);
}

/** The name of the error that a call returned. */
function errorOf(result: number): string {
  return result < 0 ? errnoName(-result) : `success ${result}`;
}

Deno.test("preadv() and pwritev() return the bytes they moved", () =>
  withFd((libc, fd) => {
    const data = Uint8Array.of(1, 2, 3, 4, 5);
    assertEquals(libc.pwritev(fd, iovecOf(libc, data), 1, 3n), 5);
    const back = new Uint8Array(10);
    assertEquals(libc.preadv(fd, iovecOf(libc, back), 1, 0n), 8);
    assertEquals(back, Uint8Array.of(0, 0, 0, 1, 2, 3, 4, 5, 0, 0));
    assertEquals(libc.preadv(fd, iovecOf(libc, back), 1, 8n), 0);
  }));

Deno.test("every call on a closed descriptor returns -EBADF", () =>
  withLibc((libc) => {
    const view = new Uint8Array(16);
    assertEquals(errorOf(libc.preadv(CLOSED_FD, iovecOf(libc, view), 1, 0n)), "EBADF");
    assertEquals(errorOf(libc.pwritev(CLOSED_FD, iovecOf(libc, view), 1, 0n)), "EBADF");
    assertEquals(errorOf(libc.fsync(CLOSED_FD)), "EBADF");
    assertEquals(errorOf(libc.fdatasync(CLOSED_FD)), "EBADF");
    assertEquals(errorOf(libc.ftruncate(CLOSED_FD, 0)), "EBADF");
    assertEquals(errorOf(libc.close(CLOSED_FD)), "EBADF");
    assertEquals(errorOf(libc.duplicate(CLOSED_FD)), "EBADF");
    assertEquals(errorOf(libc.stat(CLOSED_FD, new Uint8Array(STATX_SIZE_BYTES))), "EBADF");
  }));

Deno.test("calls off this thread on a closed descriptor return -1 and nothing more", () =>
  withLibc(async (libc) => {
    assertEquals(await libc.ftruncateNonblocking(CLOSED_FD, 0), -1);
    assertEquals(await libc.closeNonblocking(CLOSED_FD), -1);
    assertEquals(
      await libc.statNonblocking(
        CLOSED_FD,
        new Uint8Array(STATX_SIZE_BYTES),
      ),
      -1,
    );
  }));

Deno.test("preadv() and pwritev() at a negative offset return -EINVAL", () =>
  withFd((libc, fd) => {
    const view = new Uint8Array(16);
    assertEquals(errorOf(libc.preadv(fd, iovecOf(libc, view), 1, -1n)), "EINVAL");
    assertEquals(errorOf(libc.pwritev(fd, iovecOf(libc, view), 1, -1n)), "EINVAL");
    assertEquals(errorOf(libc.ftruncate(fd, -1)), "EINVAL");
  }));

Deno.test("preadv() with more buffers than the system takes returns -EINVAL", () =>
  withFd((libc, fd) => {
    const iovec = new Uint8Array(16 * 2000);
    assertEquals(errorOf(libc.preadv(fd, iovec, 2000, 0n)), "EINVAL");
  }));

Deno.test("preadv() of a directory returns -EISDIR", () =>
  withLibc((libc, dir) => {
    const fd = fs.openSync(dir.path, "r");
    try {
      const view = new Uint8Array(16);
      assertEquals(errorOf(libc.preadv(fd, iovecOf(libc, view), 1, 0n)), "EISDIR");
    } finally {
      fs.closeSync(fd);
    }
  }));

Deno.test("preadv() into an address that is none returns -EFAULT", () =>
  withFd((libc, fd) => {
    fs.writeSync(fd, new Uint8Array(100));
    const iovec = new Uint8Array(Int32Array.of(8, 0, 16, 0).buffer);
    assertEquals(errorOf(libc.preadv(fd, iovec, 1, 0n)), "EFAULT");
  }));

Deno.test("pwritev() to a descriptor open for reading returns -EBADF", () =>
  withLibc((libc, dir) => {
    fs.writeFileSync(dir.join("file"), "text");
    const fd = fs.openSync(dir.join("file"), "r");
    try {
      const view = new Uint8Array(16);
      assertEquals(errorOf(libc.pwritev(fd, iovecOf(libc, view), 1, 0n)), "EBADF");
      assertEquals(errorOf(libc.ftruncate(fd, 0)), "EINVAL");
    } finally {
      fs.closeSync(fd);
    }
  }));

Deno.test({
  name: "pwritev() to a device that is full returns -ENOSPC",
  ignore: !isLinux,
  fn: () =>
    withLibc((libc) => {
      const fd = fs.openSync("/dev/full", "r+");
      try {
        assertEquals(
          errorOf(libc.pwritev(fd, iovecOf(libc, new Uint8Array(16)), 1, 0n)),
          "ENOSPC",
        );
      } finally {
        fs.closeSync(fd);
      }
    }),
});

Deno.test("the error is that of the failed call, whatever the garbage collector does meanwhile", () =>
  withFd((libc, fd) => {
    const view = new Uint8Array(16);
    const iovec = iovecOf(libc, view);
    const wrong: string[] = [];
    let garbage: unknown[] = [];
    for (let round = 0; round < ERRNO_ROUNDS; round++) {
      const isOdd = round % 2 === 1;
      const result = isOdd ? libc.preadv(CLOSED_FD, iovec, 1, 0n) : libc.pwritev(fd, iovec, 1, -1n);
      if (errorOf(result) !== (isOdd ? "EBADF" : "EINVAL")) wrong.push(`${round}: ${result}`);
      garbage.push(new Array(100).fill(round), new Uint8Array(1000));
      if (garbage.length > 1000) garbage = [];
    }
    assertEquals(wrong, []);
  }));

Deno.test("a failure is not remembered by the calls that follow", () =>
  withFd((libc, fd) => {
    const view = new Uint8Array(16);
    assertEquals(errorOf(libc.fsync(CLOSED_FD)), "EBADF");
    assertEquals(libc.pwritev(fd, iovecOf(libc, view), 1, 0n), 16);
    assertEquals(libc.fsync(fd), 0);
    assertEquals(libc.fdatasync(fd), 0);
  }));

for (const [name, offset] of [["2^31", 2 ** 31], ["2^32", 2 ** 32], ["2^40", 2 ** 40]] as const) {
  Deno.test(`pwritev() and preadv() reach beyond ${name} in a sparse file`, () =>
    withFd((libc, fd) => {
      const data = Uint8Array.of(1, 2, 3);
      const at = BigInt(offset + 5);
      assertEquals(libc.pwritev(fd, iovecOf(libc, data), 1, at), 3);
      const back = new Uint8Array(3);
      assertEquals(libc.preadv(fd, iovecOf(libc, back), 1, at), 3);
      assertEquals(back, data);
      assertEquals(fs.fstatSync(fd).size, offset + 8);
    }));
}

Deno.test("ftruncate() extends beyond 2^32, in this thread and off it", () =>
  withFd(async (libc, fd) => {
    assertEquals(libc.ftruncate(fd, 2 ** 33 + 1), 0);
    assertEquals(fs.fstatSync(fd).size, 2 ** 33 + 1);
    assertEquals(await libc.ftruncateNonblocking(fd, 2 ** 34 + 1), 0);
    assertEquals(fs.fstatSync(fd).size, 2 ** 34 + 1);
  }));

Deno.test({
  name: "allocate() extends, keeps the size, makes holes, or says why not",
  ignore: !isLinux,
  fn: () =>
    withFd((libc, fd) => {
      const { keepSize, punchHole } = FALLOCATE_MODES;
      assertEquals(libc.allocate(fd, 0, 2n ** 33n, 4096n), 0);
      assertEquals(fs.fstatSync(fd).size, 2 ** 33 + 4096);
      assertEquals(libc.allocate(fd, keepSize, 2n ** 34n, 4096n), 0);
      assertEquals(fs.fstatSync(fd).size, 2 ** 33 + 4096);
      fs.writeSync(fd, new Uint8Array(8192).fill(7), 0, 8192, 0);
      assertEquals(libc.allocate(fd, keepSize | punchHole, 4000n, 4096n), 0);
      const bytes = new Uint8Array(8192);
      fs.readSync(fd, bytes, 0, 8192, 0);
      assertEquals(bytes, Uint8Array.from(bytes, (_, i) => i < 4000 || i >= 8096 ? 7 : 0));
      assertEquals(errorOf(libc.allocate(fd, 0, 0n, 0n)), "EINVAL");
      assertEquals(errorOf(libc.allocate(CLOSED_FD, 0, 0n, 1n)), "EBADF");
    }),
});

Deno.test({
  name: "copyRange() copies and moves the offsets, in this thread and off it",
  ignore: !isLinux,
  fn: () =>
    withFd(async (libc, fd) => {
      fs.writeSync(fd, "0123456789");
      const places = () => [3n, 20n].map((at) => new Uint8Array(BigInt64Array.of(at).buffer));
      const [from, to] = places();
      assertEquals(libc.copyRange(fd, from!, fd, to!, 4), 4);
      assertEquals([from![0], to![0]], [7, 24]);
      assertEquals(await libc.copyRangeNonblocking(fd, from!, fd, to!, 2), 2);
      assertEquals([from![0], to![0]], [9, 26]);
      const bytes = new Uint8Array(6);
      fs.readSync(fd, bytes, 0, 6, 20);
      assertEquals(new TextDecoder().decode(bytes), "345678");
      assertEquals(errorOf(libc.copyRange(CLOSED_FD, from!, fd, to!, 1)), "EBADF");
    }),
});

Deno.test({
  name: "advise() takes every advice, and returns the error number itself",
  ignore: !isLinux,
  fn: () =>
    withFd((libc, fd) => {
      for (const advice of Object.values(FADVISE_ADVICE)) {
        assertStrictEquals(libc.advise(fd, 2n ** 33n, 0n, advice), 0);
      }
      assertEquals(errorOf(libc.advise(fd, 0n, 0n, 99)), "EINVAL");
      assertEquals(errorOf(libc.advise(CLOSED_FD, 0n, 0n, 0)), "EBADF");
    }),
});

Deno.test("duplicate() gives another number for the same file, closed on exec", () =>
  withFd(async (libc, fd) => {
    const other = libc.duplicate(fd);
    assert(other > 2 && other !== fd);
    fs.writeSync(fd, "text");
    assertEquals(fs.fstatSync(fd).ino, fs.fstatSync(fd).ino);
    if (isLinux) {
      assertEquals(
        Deno.readLinkSync(`/proc/self/fd/${other}`),
        Deno.readLinkSync(`/proc/self/fd/${fd}`),
      );
      const flags = /flags:\s*([0-7]+)/.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${other}`));
      assertEquals(parseInt(flags?.[1] ?? "", 8) & 0o2000000, 0o2000000);
    }
    assertEquals(await libc.closeNonblocking(other), 0);
    assertEquals(errorOf(libc.close(other)), "EBADF");
  }));

Deno.test("addressOf() of a view counts from its buffer's start", () =>
  withLibc((libc) => {
    const buffer = new Uint8Array(100);
    const address = libc.addressOf(buffer);
    assert(Number.isSafeInteger(address) && address > 4096);
    assertEquals(libc.addressOf(buffer.subarray(7)), address + 7);
    assertEquals(libc.addressOf(buffer), address);
    const shared = new Uint8Array(new SharedArrayBuffer(64), 8);
    assertEquals(libc.addressOf(shared), libc.addressOf(new Uint8Array(shared.buffer)) + 8);
  }));

Deno.test("addressOf() changes nothing in the view", () =>
  withLibc((libc) => {
    const view = Uint8Array.of(1, 2, 3);
    libc.addressOf(view);
    assertEquals(view, Uint8Array.of(1, 2, 3));
  }));

Deno.test({
  name: "threadId() is the kernel's number of this thread",
  ignore: !isLinux,
  fn: () =>
    withLibc((libc) => {
      const tid = libc.threadId();
      const tasks = [...Deno.readDirSync("/proc/self/task")].map(({ name }) => Number(name));
      assert(tasks.includes(tid), `${tid} of ${tasks}`);
    }),
});

Deno.test("openLibc() opens one library for two users, and the last one closes it", () => {
  const first = openLibc();
  const second = openLibc();
  assertStrictEquals(first, second);
  closeLibc(first);
  assert(second.threadId() > 0, "still open for the second user");
  closeLibc(second);
  const third = openLibc();
  assertNotStrictEquals(third, first);
  closeLibc(third);
});

Deno.test("closeLibc() once too often takes nothing from another user", () => {
  const first = openLibc();
  closeLibc(first);
  const second = openLibc();
  closeLibc(first);
  assert(second.threadId() > 0);
  closeLibc(second);
});

Deno.test("openLibc() by the path of the default opens the same one", () => {
  const byDefault = openLibc();
  assertStrictEquals(openLibc(byDefault.path), byDefault);
  closeLibc(byDefault);
  closeLibc(byDefault);
});

/** Another path by which the C library can be opened. */
function findOtherLibc(): string | undefined {
  const byDefault = openLibc();
  closeLibc(byDefault);
  const candidates = LIBC_CANDIDATES[PLATFORM] ?? [];
  return candidates.find((path) => path !== byDefault.path && fs.existsSync(path));
}

const OTHER_LIBC = findOtherLibc();

Deno.test({
  name: "openLibc() by another path opens that one, beside the default",
  ignore: OTHER_LIBC === undefined,
  fn() {
    const byDefault = openLibc();
    const libc = openLibc(OTHER_LIBC);
    assertEquals(libc.path, OTHER_LIBC);
    assertNotStrictEquals(libc, byDefault);
    assert(libc.threadId() > 0);
    closeLibc(libc);
    closeLibc(byDefault);
  },
});

Deno.test("openLibc() of a path that is no library names the path, the remedy and the reason", async () => {
  await using dir = await tempDir();
  const path = dir.join("libc.so");
  const remedy = 'correct the option "libraries.libc", or leave it out';
  const missing = assertThrows(() => openLibc(path), Deno.errors.NotFound);
  assertEquals(missing.message, `Cannot find the C library at ${path}: ${remedy}`);
  assertStringIncludes(String(missing.cause), "No such file or directory");
  await Deno.writeTextFile(path, "no library");
  const wrong = assertThrows(() => openLibc(path), Deno.errors.NotFound);
  assertEquals(wrong.message, `Cannot load the C library from ${path} (file too short): ${remedy}`);
});

Deno.test("every platform has absolute candidates first, each once", () => {
  for (const [platform, candidates] of Object.entries(LIBC_CANDIDATES)) {
    assertEquals(new Set(candidates).size, candidates.length, platform);
    assert(candidates[0]?.startsWith("/"), platform);
  }
});

Deno.test("libcCandidates() gives one clear error for a system that is not supported", () => {
  assertThrows(
    () => libcCandidates("windows-x86_64"),
    Deno.errors.NotSupported,
    "Cannot open the C library on windows-x86_64: Linux and macOS on x86_64 and aarch64 are supported",
  );
});

Deno.test("libcCandidates() knows the platforms that are promised", () => {
  for (const platform of ["linux-x86_64", "linux-aarch64", "darwin-x86_64", "darwin-aarch64"]) {
    assert(libcCandidates(platform).length > 0, platform);
  }
});
