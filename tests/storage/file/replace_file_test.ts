/** replace_file_test.ts: `replaceFile()` leaves the old file or the new one, whole. */

import { assert, assertEquals, assertObjectMatch, assertRejects } from "@std/assert";
import type { Aio } from "../../../mod.ts";
import { POINT } from "../../support/flush_failures.ts";
import { testSharedAios } from "../../support/methods.ts";
import { LineProcess } from "../../support/line_process.ts";
import { LIBRARY_URL, runProgram } from "../../support/program.ts";
import { Prng } from "../../support/prng.ts";
import { errorOf } from "../../support/system_errors.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";

const EIO = 5;

/** Registers a test for each method that gets a folder, in which no temporary file may be left. */
function testFolder(name: string, use: (aio: Aio, dir: TempDir) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    await use(aio, dir);
    const left = [...Deno.readDirSync(dir.path)].map(({ name }) => name);
    assertEquals(left.filter((name) => name.startsWith(".")), []);
    assertEquals(aio.ios(), []);
  });
}

testFolder("replaceFile() makes a file, and replaces one", async (aio, dir) => {
  const path = dir.join("file");
  await aio.replaceFile(path, "first");
  assertEquals(await Deno.readTextFile(path), "first");
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o666 & ~Deno.umask());
  const { ino } = await Deno.stat(path);
  await aio.replaceFile(new URL(`file://${path}`), new TextEncoder().encode("second"));
  assertEquals(await Deno.readTextFile(path), "second");
  assert((await Deno.stat(path)).ino !== ino, "it is another file");
  await aio.replaceFile(path, async (file) => {
    await file.append(new Uint8Array(3_000_000).fill(1));
    await file.append(new Uint8Array([2]));
  });
  const content = await Deno.readFile(path);
  assertEquals([content.length, content.at(0), content.at(-1)], [3_000_001, 1, 2]);
  await aio.replaceFile(path, "");
  assertEquals(await Deno.readTextFile(path), "");
});

testFolder("replaceFile() keeps the permissions, and links", async (aio, dir) => {
  const path = dir.join("file");
  await Deno.writeTextFile(path, "old");
  await Deno.chmod(path, 0o646);
  await Deno.symlink("file", dir.join("link"));
  await Deno.link(path, dir.join("other"));
  await aio.replaceFile(dir.join("link"), "new");
  assertEquals(await Deno.readTextFile(path), "new");
  assertEquals((await Deno.stat(path)).mode! & 0o777, 0o646);
  assert((await Deno.lstat(dir.join("link"))).isSymlink);
  assertEquals(await Deno.readTextFile(dir.join("other")), "old");
});

testFolder("replaceFile() that fails leaves the old file", async (aio, dir) => {
  const path = dir.join("file");
  await Deno.writeTextFile(path, "old");
  const fails = async (content: Parameters<Aio["replaceFile"]>[1], text: string) => {
    await assertRejects(() => aio.replaceFile(path, content), Error, text);
    assertEquals(await Deno.readTextFile(path), "old");
  };
  await fails(() => {
    throw new Error("no more");
  }, `Cannot replace ${JSON.stringify(path)}: no more`);
  await fails((file) => file.writeAt(new Uint8Array(1), -1), "Cannot replace");
  const abort = new DOMException("no more", "AbortError");
  await fails(() => Promise.reject(abort), "no more");
  const error = await aio.replaceFile(path, () => Promise.reject(abort)).catch((error) => error);
  assertEquals(error, abort);
  await fails(async (file) => {
    await Deno.remove(file.path);
    throw new Error("no more, and no file");
  }, "no more, and no file");
  for (const operation of ["writev", "fsync"]) {
    aio.attachInjectionPoint(POINT, (io) => io.operation === operation ? -EIO : undefined);
    const error = await errorOf(aio.replaceFile(path, "new"));
    aio.detachInjectionPoint(POINT);
    assertEquals(error.code, "EIO");
    assertEquals(await Deno.readTextFile(path), "old");
  }
  await Deno.mkdir(dir.join("folder"));
  await assertRejects(() => aio.replaceFile(dir.join("folder"), "new"), Error, "Cannot replace");
  await assertRejects(() => aio.replaceFile(dir.join("no/file"), "new"), Deno.errors.NotFound);
  for (const wrong of ["5", "null", "{}"]) {
    await assertRejects(() => aio.replaceFile(path, JSON.parse(wrong)), TypeError, "pass a Uint8");
    await assertRejects(() => aio.replaceFile(JSON.parse(wrong), ""), TypeError, "Cannot replace");
  }
});

testFolder(
  "syncDirectory() of a folder resolves, of anything else it does not",
  async (aio, dir) => {
    await aio.syncDirectory(dir.path);
    await aio.syncDirectory(new URL(`file://${dir.path}/`));
    const path = dir.join("no");
    const what = `Cannot sync the directory "${path}": No such file or directory (ENOENT)`;
    const error = await assertRejects(() => aio.syncDirectory(path), Deno.errors.NotFound, what);
    assertObjectMatch(error, { code: "ENOENT", errno: 2, syscall: "open", path });
  },
);

Deno.test("replaceFile() and syncDirectory() do no more than Deno's permissions allow", async () => {
  await using dir = await tempDir();
  await Deno.mkdir(dir.join("in"));
  await Deno.writeTextFile(dir.join("out"), "old");
  const source = `
    await using aio = await Aio.open({ method: "sync" });
    await aio.replaceFile("${dir.join("in/file")}", "new");
    for (const call of [
      () => aio.replaceFile("${dir.join("out")}", "new"),
      () => aio.syncDirectory("${dir.path}"),
    ]) {
      console.log(await call().catch((error) => error.constructor.name));
    }`;
  const inside = dir.join("in");
  const flags = ["--allow-ffi", "--allow-sys", `--allow-read=${inside}`, `--allow-write=${inside}`];
  const { code, stdout, stderr } = await runProgram(source, { flags });
  assertEquals([code, stdout, stderr], [0, "NotCapable\nNotCapable\n", ""]);
  assertEquals(await Deno.readTextFile(dir.join("out")), "old");
  assertEquals(await Deno.readTextFile(dir.join("in/file")), "new");
});

/** Replaces a file by one number after another, and says which one it has become. */
const REPLACER = `
  import { Aio } from ${JSON.stringify(LIBRARY_URL)};
  await using aio = await Aio.open();
  for (let number = Number(Deno.args[1]);; number++) {
    await aio.replaceFile(Deno.args[0], new Uint8Array(new Int32Array(50_000).fill(number).buffer));
    console.log(number);
  }`;

Deno.test("replaceFile() that is killed leaves the old file or the new one", async () => {
  await using dir = await tempDir();
  const path = dir.join("file");
  const prng = new Prng();
  let last = 0;
  for (let kill = 0; kill < 4; kill++) {
    await using child = new LineProcess(REPLACER, [path, `${last + 1}`]);
    for (let i = prng.between(1, 20); i > 0; i--) last = Number(await child.nextLine());
    await child.kill();
    const words = new Int32Array((await Deno.readFile(path)).buffer);
    assertEquals(words.length, 50_000);
    const [number] = words;
    assert(number! >= last, `${number} is there, and ${last} was said`);
    assertEquals(words.findIndex((word) => word !== number), -1);
    last = number!;
  }
});
