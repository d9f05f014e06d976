/**
 * temporary_test.ts: files without a name get one when they are whole, where Deno permits it, and
 * never in the place of another file.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { EACCES, EBADF } from "../../../ffi/errno.ts";
import type { Aio, PublishOptions } from "../../../mod.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import { POINT } from "../../support/flush_failures.ts";
import { LineProcess } from "../../support/line_process.ts";
import { testSharedAios } from "../../support/methods.ts";
import { LIBRARY_URL, runProgram } from "../../support/program.ts";
import { errorOf } from "../../support/system_errors.ts";
import { isRoot, type TempDir, tempDir } from "../../support/temp.ts";

const isLinux = Deno.build.os === "linux";
const EIO = 5;
/** A file system in memory, which temporary folders are not on. */
const SHM = "/dev/shm";
const TEXT = new TextEncoder().encode("all of it");

/** Registers a test that gets a folder. */
function testFolder(
  name: string,
  use: (aio: Aio, dir: TempDir) => void | Promise<void>,
  isPossible = true,
): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    await use(aio, dir);
  }, { isPossible: isLinux && isPossible });
}

function hasShm(): boolean {
  try {
    return Deno.statSync(SHM).dev !== Deno.statSync(Deno.env.get("AIO_TEST_DIR") ?? "/tmp").dev;
  } catch {
    return false;
  }
}

function namesIn(dir: TempDir): string[] {
  return [...Deno.readDirSync(dir.path)].map(({ name }) => name).sort();
}

testFolder("openTemporary() makes a file that publish() gives a name", async (aio, dir) => {
  await using file = await aio.openTemporary(dir.path);
  assertEquals([file.path, (await file.stat()).nlink], [dir.path, 0]);
  await file.writeAt(TEXT, 0);
  assertEquals(await file.readAll(), TEXT);
  assertEquals(namesIn(dir), []);
  await file.publish(dir.join("file"));
  assertEquals(await Deno.readFile(dir.join("file")), TEXT);
  assertEquals((await Deno.stat(dir.join("file"))).mode! & 0o777, 0o666 & ~Deno.umask());
  assertEquals(namesIn(dir), ["file"]);
});

testFolder("publish() goes on when its file is closed", async (aio, dir) => {
  const file = await aio.openTemporary(dir.path);
  await file.writeAt(TEXT, 0);
  const published = file.publish(dir.join("file"));
  await file.close();
  await published;
  assertEquals(await Deno.readFile(dir.join("file")), TEXT);
});

testFolder("openTemporarySync() and publishSync() do the same", async (aio, dir) => {
  using file = aio.openTemporarySync(new URL(`file://${dir.path}/`), { mode: 0o600 });
  file.writeAtSync(TEXT, 0);
  assertEquals(namesIn(dir), []);
  file.publishSync(new URL(`file://${dir.join("file")}`));
  assertEquals(await Deno.readFile(dir.join("file")), TEXT);
  assertEquals((await Deno.stat(dir.join("file"))).mode! & 0o777, 0o600);
});

testFolder("openTemporary() takes what fits of openFile()'s options", async (aio, dir) => {
  await using direct = await aio.openTemporary(dir.path, { direct: "optional", dsync: true });
  await direct.writeAt(aio.alloc(4096).fill(1), 0);
  await using writer = await aio.openTemporary(dir.path, { read: false });
  await writer.append(TEXT);
  await assertRejects(() => writer.readAll(), Deno.errors.BadResource, 'without "read"');
  for (const name of ["write", "create", "createNew", "truncate"]) {
    const wrong = JSON.parse(`{"${name}":true}`);
    const text = `the option "${name}" is for files with a name; leave it out`;
    await assertRejects(() => aio.openTemporary(dir.path, wrong), TypeError, text);
    assertThrows(() => aio.openTemporarySync(dir.path, wrong), TypeError, text);
  }
  const mode = { mode: -1 };
  await assertRejects(() => aio.openTemporary(dir.path, mode), TypeError, '"mode" must be');
  const none = JSON.parse("5");
  await assertRejects(() => aio.openTemporary(none), TypeError, "Cannot open a temporary file in");
});

testFolder(
  "a temporary file that is closed, or whose process is killed, is gone",
  async (aio, dir) => {
    await using file = await aio.openTemporary(dir.path);
    await file.append(TEXT);
    await file.close();
    const program = `
    import { Aio } from ${JSON.stringify(LIBRARY_URL)};
    const aio = await Aio.open({ method: "sync" });
    const file = await aio.openTemporary(Deno.args[0]);
    await file.append(new Uint8Array(10), { durable: true });
    console.log("written");
    await Deno.stdin.read(new Uint8Array(1));`;
    await using other = new LineProcess(program, [dir.path]);
    assertEquals(await other.nextLine(), "written");
    await other.kill();
    assertEquals(namesIn(dir), []);
  },
);

testFolder("publish() replaces nothing, whatever has the name", async (aio, dir) => {
  await using file = await aio.openTemporary(dir.path);
  await Deno.writeTextFile(dir.join("file"), "old");
  await Deno.mkdir(dir.join("folder"));
  await Deno.symlink("nowhere", dir.join("link"));
  const text = "it replaces no file: remove that, or use aio.replaceFile()";
  for (const name of ["file", "folder", "link"]) {
    await assertRejects(() => file.publish(dir.join(name)), Deno.errors.AlreadyExists, text);
    assertThrows(() => file.publishSync(dir.join(name)), Deno.errors.AlreadyExists, text);
  }
  assertEquals(namesIn(dir), ["file", "folder", "link"]);
  assertEquals(await Deno.readTextFile(dir.join("file")), "old");
});

testFolder("of many that publish() to one path, one does", async (aio, dir) => {
  const path = dir.join("file");
  const outcomes = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    await using file = await aio.openTemporary(dir.path);
    await file.writeAt(new Uint8Array(100 + i).fill(i), 0);
    return await file.publish(path, { durable: i % 2 === 0 }).then(() => i, (error) => error);
  }));
  const winners = outcomes.filter((outcome) => typeof outcome === "number");
  assertEquals(winners.length, 1);
  const [winner = 0] = winners;
  assertEquals(await Deno.readFile(path), new Uint8Array(100 + winner).fill(winner));
  const losers = outcomes.filter((outcome) => outcome instanceof Deno.errors.AlreadyExists);
  assertEquals(losers.length, 19);
});

testFolder(
  "publish() once more gives one more name, from an attached file too",
  async (aio, dir) => {
    await using file = await aio.openTemporary(dir.path);
    await file.publish(dir.join("first"));
    await using attached = aio.attachFile(file.token);
    await attached.publish(dir.join("second"));
    const [first, second] = ["first", "second"].map((name) => Deno.statSync(dir.join(name)));
    assertEquals([first!.nlink, first!.ino], [2, second!.ino]);
  },
);

testFolder("publish() takes a path from the current directory", async (aio, dir) => {
  await using file = await aio.openTemporary(dir.path);
  const before = Deno.cwd();
  Deno.chdir(dir.path);
  try {
    await Deno.mkdir("folder");
    await file.publish("one");
    await file.publish("./folder/../two");
    await file.publish("folder//three");
  } finally {
    Deno.chdir(before);
  }
  assertEquals(namesIn(dir), ["folder", "one", "two"]);
  assertEquals([...Deno.readDirSync(dir.join("folder"))].length, 1);
});

testFolder("publish() of what has a name, or is closed, is refused", async (aio, dir) => {
  await using named = await aio.openFile(dir.join("named"), { write: true, create: true });
  const text = "it was not opened by aio.openTemporary(), and has a name";
  await assertRejects(() => named.publish(dir.join("file")), Deno.errors.BadResource, text);
  assertThrows(() => named.publishSync(dir.join("file")), Deno.errors.BadResource, text);
  const file = await aio.openTemporary(dir.path);
  await file.close();
  const closed = "the file is closed";
  await assertRejects(() => file.publish(dir.join("file")), Deno.errors.BadResource, closed);
  assertThrows(() => file.publishSync(dir.join("file")), Deno.errors.BadResource, closed);
  assertEquals(namesIn(dir), ["named"]);
});

testFolder("publish() refuses wrong arguments in a sentence", async (aio, dir) => {
  await using file = await aio.openTemporary(dir.path);
  const cases: [unknown, unknown, string][] = [
    [5, undefined, "Cannot publish 5: pass the path as a string or a URL"],
    ["", undefined, "a path is not empty"],
    [dir.join("a\0b"), undefined, "has no NUL character"],
    [`${dir.path}/`, undefined, "that names a directory; put the file's name behind"],
    [`${dir.path}/..`, undefined, "that names a directory"],
    [".", undefined, "that names a directory"],
    [dir.join("file"), null, "pass its options as an object: got null"],
    [dir.join("file"), { durable: 1 }, 'the option "durable" must be a boolean: got 1'],
  ];
  for (const [path, options, text] of cases) {
    const args = [path, options] as [string, PublishOptions];
    await assertRejects(() => file.publish(...args), TypeError, text);
    assertThrows(() => file.publishSync(...args), TypeError, text);
  }
  assertEquals(namesIn(dir), []);
});

testFolder("publish() flushes the file first, unless it need not be durable", async (aio, dir) => {
  await using file = await aio.openTemporary(dir.path);
  await file.append(TEXT);
  let flushes = 0;
  aio.attachInjectionPoint(POINT, ({ operation }) => {
    if (operation !== "fsync") return undefined;
    flushes++;
    return -EIO;
  });
  await file.publish(dir.join("quick"), { durable: false });
  file.publishSync(dir.join("quickly"), { durable: false });
  assertEquals(flushes, 0);
  const error = await errorOf(file.publish(dir.join("file")));
  aio.detachInjectionPoint(POINT);
  assertEquals([error.code, flushes, namesIn(dir)], ["EIO", 1, ["quick", "quickly"]]);
  await file.close().catch(() => {});
});

testFolder(
  "publish() whose directory cannot be flushed says that the name is there",
  async (aio, dir) => {
    await using file = await aio.openTemporary(dir.path);
    const { fileControl } = backendOf(aio).libc;
    const value = () => Promise.resolve(-1);
    Object.defineProperty(fileControl, "fsyncNonblocking", { value, configurable: true });
    try {
      const error = await errorOf(file.publish(dir.join("file")));
      assertEquals([error.code, error.syscall], ["EIO", "fsync"]);
      assert(error.message.endsWith("it has the name, but may lose it in a crash"), error.message);
    } finally {
      Reflect.deleteProperty(fileControl, "fsyncNonblocking");
    }
    assertEquals(namesIn(dir), ["file"]);
  },
);

testFolder("the calls know their errors, off the thread, too", async (aio, dir) => {
  await using file = await aio.openTemporary(dir.path);
  const { awaited, blocking } = insideOf(file).calls;
  for (const calls of [awaited, blocking]) {
    assertEquals(await calls.link(-1, -1, "name"), -2);
    assertEquals(await calls.openDirectory(dir.join("no"), true), -2);
    assertEquals(await calls.syncDirectory(-1), -EBADF);
  }
});

testFolder("publish() on another file system is told with the remedy", async (aio, dir) => {
  await using file = await aio.openTemporary(dir.path);
  const path = `${SHM}/aio_test_${crypto.randomUUID()}`;
  const error = await errorOf(file.publish(path));
  assertEquals(error.code, "EXDEV");
  const text = `the file is on the file system of ${JSON.stringify(dir.path)}`;
  assert(error.message.includes(text), error.message);
}, hasShm());

testFolder("openTemporary() without such files is told with the remedy", async (aio, dir) => {
  const remedy = 'make one by openFile(), with "createNew", and rename it';
  const what = 'Cannot open a temporary file in "/proc"';
  const { NotSupported } = Deno.errors;
  const { message } = await assertRejects(() => aio.openTemporary("/proc"), NotSupported, what);
  assert(message.endsWith(remedy), message);
  assertThrows(() => aio.openTemporarySync("/proc"), NotSupported, remedy);
  await assertRejects(() => aio.openTemporary(dir.join("no")), Deno.errors.NotFound, remedy);
  await Deno.writeTextFile(dir.join("file"), "");
  const NotADirectory = Deno.errors.NotADirectory;
  await assertRejects(() => aio.openTemporary(dir.join("file")), NotADirectory, "temporary file");
}, isRoot());

/** Tries to publish at each path, and says which error that meets. */
const PUBLISHER = `
  await using aio = await Aio.open({ method: "sync" });
  const [directory, ...paths] = Deno.args;
  await using file = await aio.openTemporary(directory, { read: false });
  for (const path of paths) {
    for (const call of [() => file.publish(path), async () => file.publishSync(path)]) {
      console.log(await call().then(() => "published", (error) => error.message));
    }
  }`;

Deno.test({
  name: "publish() and openTemporary() do no more than Deno's permissions allow",
  ignore: !isLinux,
  async fn() {
    await using dir = await tempDir();
    const root = await Deno.realPath(dir.path);
    const [inside, outside] = [`${root}/in`, `${root}/out`];
    await Deno.mkdir(inside);
    await Deno.mkdir(outside);
    await Deno.symlink("../out", `${inside}/link`);
    await Deno.symlink("../out/deep", `${inside}/deep`);
    await Deno.mkdir(`${outside}/deep`);
    await Deno.symlink("../in", `${outside}/back`);
    const paths = [
      `${outside}/file`,
      `${inside}/../out/file`,
      `${inside}/link/file`,
      `${inside}/deep/../file`,
      `${inside}/link/../in/link/file`,
      `${outside}/back/file`,
    ];
    const flags = ["--allow-ffi", "--allow-sys", `--allow-write=${inside}`];
    const run = (...args: string[]) => runProgram(PUBLISHER, { flags, args });
    const { code, stdout, stderr } = await run(inside, ...paths);
    assertEquals([code, stderr], [0, ""]);
    const lines = stdout.trimEnd().split("\n");
    assertEquals(lines.length, 2 * paths.length);
    for (const [i, line] of lines.entries()) {
      const path = paths[i >> 1];
      assert(line.startsWith(`Cannot publish a file as ${JSON.stringify(path)}`), line);
      assert(line.includes(`it requires write access to "${root}/`), line);
      assert(line.includes("--allow-write="), line);
    }
    assertEquals([...Deno.readDirSync(outside)].map(({ name }) => name).sort(), ["back", "deep"]);
    assertEquals([...Deno.readDirSync(inside)].map(({ name }) => name).sort(), ["deep", "link"]);
    assertEquals([...Deno.readDirSync(`${outside}/deep`)], []);

    const good = await run(inside, `${inside}/file`);
    assertEquals(good.stderr, "");
    assertEquals(good.stdout.split("\n")[0], "published");
    const bad = await run(outside);
    assert(bad.stderr.includes(`Requires write access to "${outside}"`), bad.stderr);
  },
});

testFolder("publish() that the system refuses says by which call", async (aio, dir) => {
  await using file = await aio.openTemporary(dir.path);
  const { fileControl } = backendOf(aio).libc;
  const value = () => -EACCES;
  Object.defineProperty(fileControl, "link", { value, configurable: true });
  try {
    const { PermissionDenied } = Deno.errors;
    const error = assertThrows(() => file.publishSync(dir.join("file")), PermissionDenied);
    assertEquals(Reflect.get(error, "syscall"), "linkat");
  } finally {
    Reflect.deleteProperty(fileControl, "link");
  }
});
