/**
 * open_file_refusal_test.ts: everything that openFile() refuses, with its words, and with the
 * fields of the system's errors.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioSystemError, type SystemError } from "../../../core/mod.ts";
import type { Aio, OpenFileOptions } from "../../../storage/mod.ts";
import { testMethodProgram } from "../../support/method_program.ts";
import { testSharedAios } from "../../support/methods.ts";
import {
  countDescriptorsOf,
  foldersOf,
  openDescriptors,
  runLackingDescriptors,
} from "../../support/program.ts";
import { isRoot, type TempDir, tempDir } from "../../support/temp.ts";

const isLinux = Deno.build.os === "linux";

/** Registers a test for each method that gets a folder. */
function testDir(
  name: string,
  use: (aio: Aio, dir: TempDir) => Promise<void>,
  isPossible = true,
): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    await use(aio, dir);
  }, { isPossible });
}

/** Options as a caller without type checks may pass them. */
function untyped(options: unknown): OpenFileOptions {
  return options as OpenFileOptions;
}

/** Paths and options that both ways to open refuse, each with its message. */
const WRONG_OPTIONS: readonly (readonly [string, unknown, string])[] = [
  [
    "an unknown option",
    { reed: true },
    'the option "reed" is unknown: known are read, write, ' +
    "create, createNew, truncate, dsync, mode, direct",
  ],
  [
    "append",
    { write: true, append: true },
    'there is no "append", as Linux ignores the offset ' +
    "of positioned writes to such a file; use file.append(), which knows where the file ends",
  ],
  [
    "append: false too",
    { append: false },
    'there is no "append", as Linux ignores the offset of ' +
    "positioned writes to such a file; use file.append(), which knows where the file ends",
  ],
  ["neither read nor write", { read: false }, 'neither "read" nor "write" is set'],
  ["create without write", { create: true }, 'the option "create" needs "write"'],
  ["createNew without write", { createNew: true }, 'the option "createNew" needs "write"'],
  ["truncate without write", { truncate: true }, 'the option "truncate" needs "write"'],
  ["dsync without write", { dsync: true }, 'the option "dsync" needs "write"'],
  ["read that is a number", { read: 1 }, 'the option "read" must be a boolean: got 1'],
  ["write that is a string", { write: "yes" }, 'the option "write" must be a boolean: got "yes"'],
  ["dsync that is null", { dsync: null }, 'the option "dsync" must be a boolean: got null'],
  [
    "a mode that is negative",
    { mode: -1 },
    'the option "mode" must be an integer from 0 to ' +
    "0o7777: got -1",
  ],
  [
    "a mode that is too large",
    { mode: 0o10000 },
    'the option "mode" must be an integer from 0 ' +
    "to 0o7777: got 4096",
  ],
  [
    "a mode that is text",
    { mode: "644" },
    'the option "mode" must be an integer from 0 to ' +
    '0o7777: got "644"',
  ],
  [
    "direct that is a boolean",
    { direct: true },
    'the option "direct" must be "off", "optional" ' +
    'or "required": got true',
  ],
  ["options that are null", null, "its options are null"],
  ["options that are a mode of C", "r+", 'its options are "r+"'],
];

for (const [what, options, why] of WRONG_OPTIONS) {
  testDir(`openFile() refuses ${what}`, async (aio, dir) => {
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    const message = `Cannot open ${JSON.stringify(path)}: ${why}`;
    const error = await assertRejects(() => aio.openFile(path, untyped(options)), TypeError);
    assertEquals(error.message, message);
    const thrown = assertThrows(() => aio.openFileSync(path, untyped(options)), TypeError);
    assertEquals(thrown.message, message);
    assertEquals(await Deno.readTextFile(path), "hello");
  });
}

const NO_PATH = "a path is not empty and has no NUL character";
const WRONG_PATHS: readonly (readonly [string, unknown, string])[] = [
  ["an empty path", "", `Cannot open "": ${NO_PATH}`],
  ["a path with NUL", "a\0b", `Cannot open "a\\u0000b": ${NO_PATH}`],
  ["a URL with NUL", new URL("file:///a%00b"), `Cannot open "/a\\u0000b": ${NO_PATH}`],
  [
    "an http URL",
    new URL("http://localhost/a"),
    "Cannot open http://localhost/a: only file: URLs name files",
  ],
  [
    "a URL with a host",
    new URL("file://host/a"),
    "Cannot open file://host/a: a file: URL with a host names no file here",
  ],
  [
    "a URL with an escaped slash",
    new URL("file:///a%2Fb"),
    'Cannot open file:///a%2Fb: no file\'s name has a "/" (%2F) in it',
  ],
  [
    "a URL whose escapes are no text",
    new URL("file:///a%ff"),
    "Cannot open file:///a%ff: its escapes are no UTF-8",
  ],
  ["a number", 3, "Cannot open 3: pass the path as a string or a URL"],
  ["undefined", undefined, "Cannot open undefined: pass the path as a string or a URL"],
  ["bytes", new Uint8Array(3), "Cannot open a Uint8Array: pass the path as a string or a URL"],
];

for (const [what, path, message] of WRONG_PATHS) {
  testSharedAios(`openFile() refuses ${what} as a path`, async (aio) => {
    const error = await assertRejects(() => aio.openFile(path as string), TypeError);
    assertEquals(error.message, message);
    assertEquals(assertThrows(() => aio.openFileSync(path as string), TypeError).message, message);
  });
}

/** Checks all fields of what both ways to open throw. */
async function assertRefused(
  aio: Aio,
  path: string,
  options: OpenFileOptions,
  expected: { readonly Class: new (message: string) => Error; code: string; errno: number },
  why: string,
): Promise<SystemError> {
  const { Class, code, errno } = expected;
  const before = isLinux ? countDescriptorsOf(path) : 0;
  const error = await assertRejects(() => aio.openFile(path, options), Class) as SystemError;
  const thrown = assertThrows(() => aio.openFileSync(path, options), Class) as SystemError;
  for (const one of [error, thrown]) {
    assertEquals(one.message, `Cannot open ${JSON.stringify(path)}${why} (${code})`);
    assertEquals([one.code, one.errno, one.syscall, one.path], [code, errno, "open", path]);
  }
  if (isLinux) assertEquals(countDescriptorsOf(path), before, "a descriptor is kept");
  return error;
}

testDir(
  "openFile() of what is missing is NotFound, with the cause underneath",
  async (aio, dir) => {
    const expected = { Class: Deno.errors.NotFound, code: "ENOENT", errno: 2 };
    const error = await assertRefused(
      aio,
      dir.join("none"),
      {},
      expected,
      ": No such file or directory",
    );
    assertInstanceOf(error.cause, Error);
    await assertRefused(
      aio,
      dir.join("none", "file"),
      { write: true, create: true },
      expected,
      ": No such file or directory",
    );
  },
);

testDir("openFile() with createNew of what is there is AlreadyExists", async (aio, dir) => {
  await Deno.writeTextFile(dir.join("file"), "hello");
  const expected = { Class: Deno.errors.AlreadyExists, code: "EEXIST", errno: 17 };
  const options = { write: true, createNew: true, truncate: true };
  const error = await assertRefused(aio, dir.join("file"), options, expected, ": File exists");
  assertInstanceOf(error.cause, Error);
  assertEquals(await Deno.readTextFile(dir.join("file")), "hello");
});

testDir("openFile() of a directory is IsADirectory, for reading and writing", async (aio, dir) => {
  const expected = { Class: Deno.errors.IsADirectory, code: "EISDIR", errno: 21 };
  await assertRefused(aio, dir.path, {}, expected, " as a file: Is a directory");
  await assertRefused(aio, dir.path, { write: true }, expected, ": Is a directory");
});

testDir("openFile() below a file is NotADirectory", async (aio, dir) => {
  await Deno.writeTextFile(dir.join("file"), "hello");
  const expected = { Class: Deno.errors.NotADirectory, code: "ENOTDIR", errno: 20 };
  await assertRefused(aio, dir.join("file", "x"), {}, expected, ": Not a directory");
});

testDir("openFile() of a link to itself is FilesystemLoop", async (aio, dir) => {
  await Deno.symlink(dir.join("link"), dir.join("link"));
  const expected = { Class: Deno.errors.FilesystemLoop, code: "ELOOP", errno: 40 };
  const why = ": Too many levels of symbolic links";
  await assertRefused(aio, dir.join("link"), {}, expected, why);
}, isLinux);

testDir("openFile() of a name that is too long keeps the cause", async (aio, dir) => {
  const expected = { Class: AioSystemError, code: "ENAMETOOLONG", errno: 36 };
  const path = dir.join("a".repeat(300));
  const error = await assertRefused(aio, path, {}, expected, ": File name too long");
  assertInstanceOf(error.cause, Error);
}, isLinux);

const NOT_POSITIONED = " for positioned I/O as it is neither a regular file nor a block device";

testSharedAios("openFile() of a device is refused", async (aio) => {
  const expected = { Class: AioSystemError, code: "ESPIPE", errno: 29 };
  for (const path of ["/dev/null", "/dev/zero"]) {
    await assertRefused(aio, path, {}, expected, `${NOT_POSITIONED}: Illegal seek`);
  }
}, { isPossible: isLinux });

testMethodProgram(
  "openFile() refuses a FIFO without waiting for its other end",
  async (dir) => {
    const { success } = await new Deno.Command("mkfifo", { args: [dir.join("fifo")] }).output();
    assert(success);
    const body = `
      const aio = await Aio.open({ method });
      for (const options of [{}, { write: true }, { read: true, write: true }]) {
        for (const name of ["openFile", "openFileSync"]) {
          try {
            await aio[name](Deno.args[0], options);
            print("opened");
          } catch (error) {
            print(error.code);
          }
        }
      }
      await aio.close();`;
    return { body, options: { args: [dir.join("fifo")] } };
  },
  (codes) => {
    assertEquals(codes.length, 6);
    // Without a reader the system itself refuses to open a FIFO for writing only.
    for (const code of codes) assert(["ESPIPE", "ENXIO"].includes(code), code);
    assertEquals([codes[0], codes[5]], ["ESPIPE", "ESPIPE"]);
  },
  isLinux,
);

testMethodProgram(
  "openFile() without permission of the system is PermissionDenied",
  async (dir) => {
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    await Deno.chmod(path, 0);
    const body = `
      await using aio = await Aio.open({ method });
      try {
        await aio.openFile(Deno.args[0]);
      } catch (error) {
        const { code, errno, syscall, path, cause } = error;
        print(error instanceof Deno.errors.PermissionDenied, cause instanceof Error);
        print(error.message);
        print(code, errno, syscall, path === Deno.args[0]);
      }`;
    // Root without its privileges still owns the file, and is held off by the file's mode.
    const wrapper = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];
    return { body, options: { args: [path], ...(isRoot() ? { wrapper } : {}) } };
  },
  (lines, path) => {
    const message = `Cannot open ${JSON.stringify(`${path}/file`)}: Permission denied (EACCES)`;
    assertEquals(lines, ["true true", message, "EACCES 13 open true"]);
  },
  isLinux,
);

testMethodProgram(
  "openFile() beyond Deno's own permission is NotCapable, from Deno",
  async (dir) => {
    await Deno.writeTextFile(dir.join("file"), "hello");
    const body = `
      await using aio = await Aio.open({ method });
      const [path] = Deno.args;
      const tell = (error) => print(error.name, error.message);
      await aio.openFile(path).catch(tell);
      try { aio.openFileSync(path); } catch (error) { tell(error); }
      await aio.openFile(path, { write: true }).catch(tell);
      await aio.openFile(path, { direct: "optional" }).catch(tell);`;
    const folders = foldersOf("worker").map((folder) => `--allow-read=${folder}`);
    return { body, options: { args: [dir.join("file")], flags: ["--allow-ffi", ...folders] } };
  },
  (lines) => {
    assertEquals(lines.length, 4);
    for (const line of lines) assertStringIncludes(line, "NotCapable Requires ");
    assertStringIncludes(lines[0]!, "--allow-read");
    assertStringIncludes(lines[2]!, "--allow-write");
  },
);

testMethodProgram(
  "openFile() with no descriptor left is EMFILE, and works again after",
  async (dir) => {
    await Deno.writeTextFile(dir.join("file"), "hello");
    const body = `
      await using aio = await Aio.open({ method });
      const files = [];
      const errors = [];
      while (errors.length < 10) {
        try {
          files.push(await aio.openFile(Deno.args[0]));
        } catch (error) {
          errors.push([error.name, error.code, error.errno, error.syscall, error.path].join(" "));
        }
      }
      while (files.length > 10) await files.pop().close();
      for (let i = 0; i < 5; i++) files.push(aio.openFileSync(Deno.args[0]));
      print(files.length);
      for (const error of new Set(errors)) print(error);
      for (const file of files) file.closeSync();`;
    const options = { args: [dir.join("file")], shell: "ulimit -n 80" };
    return { body, options, run: runLackingDescriptors };
  },
  (lines, path) => assertEquals(lines, ["15", `AioSystemError EMFILE 24 open ${path}/file`]),
  isLinux,
);

testDir("openFile() that is refused leaves no descriptor behind", async (aio, dir) => {
  await assertRejects(() => aio.openFile(dir.path)); // From now on there is a doorbell.
  const before = openDescriptors().size;
  for (let i = 0; i < 50; i++) {
    await assertRejects(() => aio.openFile(dir.path));
    await assertRejects(() => aio.openFile(dir.join("none")));
    await assertRejects(() => aio.openFile("/dev/null"));
    assertThrows(() => aio.openFileSync("/dev/null"));
  }
  assertEquals(openDescriptors().size, before);
  assertEquals(backendOf(aio).files.count, 0);
}, isLinux);
