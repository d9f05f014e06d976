/** copy_test.ts: the example copies trees, harms nothing that is there, and leaves no halves. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { copy } from "../../examples/copy/copying.ts";
import { Aio } from "../../mod.ts";
import { testSharedAios } from "../support/methods.ts";
import { contentAt } from "../support/prng.ts";
import { mountTmpfs, tempDir, tmpfsAvailable, writeRandomFile } from "../support/temp.ts";
import { runFreely } from "./example_run.ts";

const SEED = 22;
const MIB = 1024 * 1024;
/** Sizes around the border of large files, and around pieces and blocks. */
const SIZES = [0, 1, 4095, MIB - 1, MIB, MIB + 1, 3 * MIB + 4097, 9 * MIB];

/** Registers a test for each method that gets a directory with one to copy in it. */
function testCopy(name: string, use: (aio: Aio, dir: string) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    await Deno.mkdir(`${dir.path}/from/folder/deeper`, { recursive: true });
    for (const [i, bytes] of SIZES.entries()) {
      await writeRandomFile(`${dir.path}/from/folder/${i}`, bytes, SEED + i);
    }
    await Deno.writeTextFile(`${dir.path}/from/run`, "#!/bin/sh\n", { mode: 0o755 });
    await Deno.symlink("folder/1", `${dir.path}/from/link`);
    await use(aio, dir.path);
    assertEquals(aio.ios(), []);
  }, { options: { arenaBytes: 8 * MIB } });
}

async function checkCopy(path: string): Promise<void> {
  for (const [i, bytes] of SIZES.entries()) {
    const read = await Deno.readFile(`${path}/folder/${i}`);
    assertEquals(read, contentAt(SEED + i, 0, bytes), `${bytes} bytes`);
  }
  assertEquals((await Deno.stat(`${path}/run`)).mode! & 0o777, 0o755);
  assertEquals(await Deno.readLink(`${path}/link`), "folder/1");
  assertEquals((await Deno.stat(`${path}/folder/deeper`)).isDirectory, true);
}

const ALL_BYTES = SIZES.reduce((sum, bytes) => sum + bytes, 0) + "#!/bin/sh\n".length;

testCopy("copy: a tree is copied with all that is in it", async (aio, dir) => {
  let heard = 0;
  const onCopied = (bytes: number) => void (heard += bytes);
  const copied = await copy(aio, `${dir}/from`, `${dir}/to`, { sync: true, onCopied });
  assertEquals(copied, { files: SIZES.length + 1, bytes: ALL_BYTES });
  assertEquals(heard, ALL_BYTES);
  await checkCopy(`${dir}/to`);
});

testCopy("copy: modes and times are kept", async (aio, dir) => {
  const [folder, small, large] = ["folder", "folder/1", "folder/7"];
  for (const [i, name] of [small, large, folder].entries()) {
    await Deno.chmod(`${dir}/from/${name}`, 0o750 + i);
    await Deno.utime(`${dir}/from/${name}`, 1_000_000 + i, 2_000_000 + i);
  }
  await copy(aio, `${dir}/from`, `${dir}/to`);
  for (const [i, name] of [small, large, folder].entries()) {
    const { mode, atime, mtime } = await Deno.stat(`${dir}/to/${name}`);
    assertEquals([mode! & 0o777, mtime!.getTime()], [0o750 + i, (2_000_000 + i) * 1000], name);
    // To look at a directory's names is an access.
    if (name !== folder) assertEquals(atime!.getTime(), (1_000_000 + i) * 1000, name);
  }
});

testCopy("copy: whatever way it is copied, the copy is the same", async (aio, dir) => {
  for (const way of [{ verify: true }, { buffered: true, verify: true }, { reflink: true }]) {
    await copy(aio, `${dir}/from`, `${dir}/to`, way);
    await checkCopy(`${dir}/to`);
    await Deno.remove(`${dir}/to`, { recursive: true });
  }
});

testCopy("copy: a copy that differs is found, and removed", async (aio, dir) => {
  const to = `${dir}/to`;
  let left = SIZES[7]!;
  const onCopied = (bytes: number) => {
    left -= bytes;
    if (left > 0) return;
    using file = Deno.openSync(to, { write: true });
    file.writeSync(new Uint8Array(1));
  };
  const copying = copy(aio, `${dir}/from/folder/7`, to, { verify: true, onCopied });
  await assertRejects(() => copying, Error, "differs");
  await assertRejects(() => Deno.lstat(to), Deno.errors.NotFound);
});

testCopy("copy: what is copied to a directory that is there goes into it", async (aio, dir) => {
  await Deno.mkdir(`${dir}/to`);
  await copy(aio, `${dir}/from`, `${dir}/to`);
  await checkCopy(`${dir}/to/from`);
});

testCopy("copy: files that are there stay as they are, but with force", async (aio, dir) => {
  for (const i of [1, 7]) {
    const [from, to] = [`${dir}/from/folder/${i}`, `${dir}/to${i}`];
    await Deno.writeTextFile(to, "old");
    await Deno.link(to, `${dir}/other name${i}`);
    await assertRejects(() => copy(aio, from, to), Deno.errors.AlreadyExists);
    assertEquals(await Deno.readTextFile(to), "old");
    await copy(aio, from, to, { force: true });
    assertEquals(await Deno.readFile(to), contentAt(SEED + i, 0, SIZES[i]!));
    assertEquals(await Deno.readTextFile(`${dir}/other name${i}`), "old");
  }
});

testCopy("copy: a tree is copied over another one, with force", async (aio, dir) => {
  await Deno.mkdir(`${dir}/to`);
  await copy(aio, `${dir}/from`, `${dir}/to`);
  await Deno.remove(`${dir}/to/from/folder/3`);
  await assertRejects(() => copy(aio, `${dir}/from`, `${dir}/to`), Deno.errors.AlreadyExists);
  await copy(aio, `${dir}/from`, `${dir}/to`, { force: true });
  await checkCopy(`${dir}/to/from`);
});

testCopy("copy: nothing is copied over itself, or into itself", async (aio, dir) => {
  const file = `${dir}/from/folder/7`;
  await Deno.symlink("from", `${dir}/alias`);
  for (const [from, to] of [[file, file], [`${dir}/from`, `${dir}/from/folder`]] as const) {
    await assertRejects(() => copy(aio, from, to, { force: true }), TypeError, "itself");
  }
  const alias = `${dir}/alias/folder/7`;
  await assertRejects(() => copy(aio, file, alias, { force: true }), TypeError, "itself");
  await checkCopy(`${dir}/from`);
});

testCopy("copy: a file whose copying is interrupted is removed again", async (aio, dir) => {
  const interrupt = new AbortController();
  const onCopied = () => interrupt.abort(new Error("enough"));
  const options = { signal: interrupt.signal, onCopied };
  const copying = copy(aio, `${dir}/from/folder/7`, `${dir}/to`, options);
  await assertRejects(() => copying, Error, "enough");
  await assertRejects(() => Deno.lstat(`${dir}/to`), Deno.errors.NotFound);
});

/** Registers a test that gets a file of 8 MiB, and a disk of 4 for its copy. */
function testSmallDisk(name: string, use: (large: string, disk: string) => Promise<void>): void {
  Deno.test({
    name,
    ignore: !tmpfsAvailable(),
    async fn() {
      await using dir = await tempDir();
      await using disk = await mountTmpfs(4 * MIB);
      await writeRandomFile(`${dir.path}/large`, 8 * MIB, SEED);
      await use(`${dir.path}/large`, disk.path);
      assertEquals([...Deno.readDirSync(disk.path)], []);
    },
  });
}

testSmallDisk(
  "copy: a full disk fails it in a sentence, and keeps no half of a file",
  async (large, disk) => {
    const ran = await runFreely("copy.ts", [large, `${disk}/copy`]);
    assertEquals(ran.code, 1);
    assertStringIncludes(ran.stderr, "ENOSPC");
  },
);

testSmallDisk(
  "copy: a disk that is too small fails it before anything is copied",
  async (large, disk) => {
    await using aio = await Aio.open();
    let heard = 0;
    const onCopied = (bytes: number) => void (heard += bytes);
    await assertRejects(() => copy(aio, large, `${disk}/copy`, { onCopied }), Error, "ENOSPC");
    assertEquals(heard, 0);
  },
);

Deno.test("copy: the program says what it copied, and how it is used", async () => {
  await using dir = await tempDir();
  await writeRandomFile(`${dir.path}/large`, 2 * MIB, SEED);
  const ran = await runFreely("copy.ts", ["--sync", `${dir.path}/large`, `${dir.path}/copy`]);
  assertEquals([ran.code, ran.stdout], [0, "1 file, 2097152 bytes\n"]);
  assertEquals(await Deno.readFile(`${dir.path}/copy`), contentAt(SEED, 0, 2 * MIB));
  const misused = await runFreely("copy.ts", [`${dir.path}/large`]);
  assertEquals(misused.code, 2);
  assertStringIncludes(misused.stderr, "Usage");
});
