/**
 * flagged_test.ts: the options `durable` and `cache` of a transfer: by one call where the system
 * knows them, and without harm where it does not.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AioReturn } from "../../../core/mod.ts";
import type { Aio, AioFile, WriteOptions } from "../../../mod.ts";
import { POINT } from "../../support/flush_failures.ts";
import { openAio, testEachMethod, testSharedAios } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import { errorOf } from "../../support/system_errors.ts";
import { tempDir } from "../../support/temp.ts";
import { Turns } from "../../support/turns.ts";
import { directUnitHere } from "../../support/disks/direct_io.ts";

const SEED = 3;
const BYTES = 10_000;
const EIO = 5;
const EOPNOTSUPP = 95;
const DSYNC = 2;
const DONTCACHE = 0x80;
const isLinux = Deno.build.os === "linux";

interface Opened {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
  /** Operations that were completed here, with their flags. */
  readonly seen: string[];
  /** From now on the kernel refuses these flags. */
  refuse(flags: number): void;
  /** The next one fails. */
  failNext(errno: number): void;
}

/** Registers a test with a file of its own, which sees what becomes of each IO. */
function testFile(
  name: string,
  use: (opened: Opened) => Promise<void>,
  isPossible = isLinux,
): void {
  testSharedAios(name, (aio) => withFile(aio, use), { isPossible });
}

const turns = new Turns(7);

/** The same with an Aio of its own, as an Aio remembers what a device has refused. */
function testRefused(name: string, use: (opened: Opened) => Promise<void>): void {
  testEachMethod(
    name,
    async (method) => {
      await using aio = await openAio(method, { workers: { min: 1, max: 1 } });
      await withFile(aio, use);
    },
    isLinux,
    turns,
  );
}

async function withFile(aio: Aio, use: (opened: Opened) => Promise<void>): Promise<void> {
  await using dir = await tempDir();
  const path = dir.join("file");
  await Deno.writeFile(path, contentAt(SEED, 0, BYTES));
  const file = await aio.openFile(path, { read: true, write: true });
  const seen: string[] = [];
  let refused = 0;
  let failure = 0;
  aio.attachInjectionPoint(POINT, (handle) => {
    const flags = handle.operationData?.flags ?? 0;
    seen.push(flags === 0 ? handle.operation : `${handle.operation} ${flags}`);
    if ((flags & refused) !== 0) return -EOPNOTSUPP;
    const errno = failure;
    failure = 0;
    return errno === 0 ? undefined : -errno;
  });
  try {
    await use({
      aio,
      file,
      path,
      seen,
      refuse: (flags) => refused = flags,
      failNext: (errno) => failure = errno,
    });
  } finally {
    aio.detachInjectionPoint(POINT);
    await file.close().catch(() => {});
  }
  assertEquals(aio.ios(), []);
}

type Write = (file: AioFile, data: Uint8Array, offset: number, options: WriteOptions) =>
  | number
  | Promise<number>;

const WRITES: readonly (readonly [string, Write])[] = [
  ["writeAt()", (file, data, offset, options) => file.writeAt(data, offset, options)],
  ["writeAtSync()", (file, data, offset, options) => file.writeAtSync(data, offset, options)],
];

for (const [name, write] of WRITES) {
  testFile(`${name} with durable is one write with a flag`, async ({ file, path, seen }) => {
    const data = contentAt(1, 0, 500);
    assertEquals(await write(file, data, 100, { durable: true }), 500);
    assertEquals(seen, [`writev ${DSYNC}`]);
    assertEquals((await Deno.readFile(path)).subarray(100, 600), data);
    // The next write is one without the option.
    assertEquals(await write(file, data, 100, {}), 500);
    assertEquals(seen.at(-1), "writev");
  });

  testRefused(`${name} with durable is a write and a flush where the flag is refused`, async (
    { file, path, seen, refuse },
  ) => {
    refuse(DSYNC);
    const data = contentAt(1, 0, 500);
    for (const offset of [100, 700]) {
      assertEquals(await write(file, data, offset, { durable: true }), 500);
      assertEquals((await Deno.readFile(path)).subarray(offset, offset + 500), data);
    }
    // The Aio remembers the refusal, so the second write does not try the flag.
    assertEquals(seen, [`writev ${DSYNC}`, "writev", "fdatasync", "writev", "fdatasync"]);
  });

  testFile(`${name} with durable that fails is a failed flush`, async ({ file, failNext }) => {
    failNext(EIO);
    const failing = async () => await write(file, new Uint8Array(10), 0, { durable: true });
    assertEquals((await errorOf(failing())).code, "EIO");
    assertEquals((await errorOf(file.sync())).code, "EIO");
    assertEquals((await errorOf(failing())).code, "EIO");
    // Without the option a write promises nothing about durability, so it succeeds.
    assertEquals(await write(file, new Uint8Array(10), 0, {}), 10);
    assertEquals((await errorOf(file.close())).code, "EIO");
  });

  testRefused(
    `${name} with durable and cache: "drop" gives up first what fewer systems know`,
    async (
      { file, seen, refuse },
    ) => {
      refuse(DONTCACHE);
      const options = { durable: true, cache: "drop" } as const;
      for (let i = 0; i < 2; i++) {
        assertEquals(await write(file, new Uint8Array(10), 0, options), 10);
      }
      assertEquals(seen, [`writev ${DSYNC | DONTCACHE}`, `writev ${DSYNC}`, `writev ${DSYNC}`]);
    },
  );
}

testRefused('readAt() with cache: "drop" reads all the same, refused or not', async (
  { file, refuse },
) => {
  for (const refused of [0, DONTCACHE]) {
    refuse(refused);
    for (let round = 0; round < 2; round++) {
      const buffer = new Uint8Array(3_000);
      assertEquals(await file.readAt(buffer, 50, { cache: "drop" }), 3_000);
      assertEquals(buffer, contentAt(SEED, 50, 3_000));
      buffer.fill(0);
      assertEquals(file.readAtSync(buffer, 7_500, { cache: "drop" }), 2_500);
      assertEquals(buffer.subarray(0, 2_500), contentAt(SEED, 7_500, 2_500));
    }
  }
});

testRefused("writeAtMany() with durable makes all of them durable", async (
  { file, path, seen, refuse },
) => {
  const list = Array.from({ length: 5 }, (_, i) => ({
    buffer: contentAt(i, 0, 100),
    offset: i * 200,
  }));
  assertEquals(await file.writeAtMany(list, { durable: true }), list.map(() => 100));
  assertEquals(seen, list.map(() => `writev ${DSYNC}`));
  refuse(DSYNC);
  seen.splice(0);
  assertEquals(await file.writeAtMany(list, { durable: true }), list.map(() => 100));
  assertEquals(seen.filter((it) => it === "fdatasync"), ["fdatasync"]);
  assertEquals(seen.at(-1), "fdatasync");
  const content = await Deno.readFile(path);
  for (const { buffer, offset } of list) {
    assertEquals(content.subarray(offset, offset + 100), buffer);
  }
});

testFile(
  "one durable write that fails fails the one that overlaps it",
  async ({ file, failNext }) => {
    failNext(EIO);
    const writes = [0, 100].map((at) => file.writeAt(new Uint8Array(10), at, { durable: true }));
    const codes = await Promise.all(writes.map(async (write) => (await errorOf(write)).code));
    assertEquals(codes, ["EIO", "EIO"]);
  },
);

testFile("a file opened with dsync takes durable as well", async ({ aio, path, seen }) => {
  await using file = await aio.openFile(path, { write: true, dsync: true });
  assertEquals(await file.writeAt(new Uint8Array(10), 0, { durable: true }), 10);
  assert(seen.length === 1, seen.join());
});

testFile('cache: "drop" changes nothing on a direct file', async ({ aio, path, seen }) => {
  await using file = await aio.openFile(path, { direct: "required" });
  using page = aio.alloc(4096);
  seen.splice(0);
  assertEquals(await file.readAt(page, 0, { cache: "drop" }), 4096);
  assertEquals(seen, ["readv"]);
}, await directUnitHere() !== null);

const WRONG: readonly (readonly [what: string, options: unknown, text: string])[] = [
  ["durable that is a number", { durable: 1 }, 'the option "durable" must be a boolean: got 1'],
  ["another cache", { cache: "no" }, 'the option "cache" must be "keep" or "drop": got "no"'],
  ["durable and another cache", { durable: true, cache: 0 }, '"cache" must be "keep" or "drop"'],
];

for (const [what, options, text] of WRONG) {
  testFile(`writeAt() with ${what} is refused`, async ({ file, seen }) => {
    const wrong = options as WriteOptions;
    const data = new Uint8Array(10);
    await assertRejects(() => file.writeAt(data, 0, wrong), TypeError, text);
    await assertRejects(() => file.writeAtMany([{ buffer: data, offset: 0 }], wrong), TypeError);
    assertThrows(() => file.writeAtSync(data, 0, wrong), TypeError, text);
    assertEquals(seen, []);
  });
}

testFile("readAt() with durable is refused", async ({ file }) => {
  const wrong: unknown = { durable: true };
  const read = () => file.readAt(new Uint8Array(1), 0, wrong as WriteOptions);
  await assertRejects(read, TypeError, '"durable" is of writes');
});

testRefused("a transfer that is refused without flags, too, fails", async ({ aio, file }) => {
  aio.detachInjectionPoint(POINT);
  aio.attachInjectionPoint(POINT, () => -EOPNOTSUPP);
  for (const options of [{}, { cache: "drop" }] as const) {
    for (let i = 0; i < 2; i++) {
      const read = () => file.readAt(new Uint8Array(10), 0, options);
      await assertRejects(read, Deno.errors.NotSupported, "EOPNOTSUPP");
    }
  }
});

testFile("the flags of an IO reach the kernel, which refuses what it does not know", async (
  { aio, file, path },
) => {
  const UNKNOWN = 1 << 30;
  const { slot, generation } = file.token;
  for (const name of ["readv", "writev"] as const) {
    const ret = new AioReturn();
    const handle = aio.acquire(null, ret);
    const ref = handle.waitRef();
    using memory = aio.alloc(100);
    handle.setIovec(memory);
    handle.setTarget(aio.targetId("file"), [slot, generation]);
    handle.start(name, file.fd, { offset: 0, flags: UNKNOWN });
    await aio.wait(ref);
    assertEquals(ret.result.result, -EOPNOTSUPP, name);
  }
  assertEquals(await Deno.readFile(path), contentAt(SEED, 0, BYTES));
});
