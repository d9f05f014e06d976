/**
 * open_file_test.ts: what each option of openFile() does, and what the descriptor is like.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { pathToFileURL } from "node:url";
import { backendOf } from "../../../core/inside.ts";
import { Aio, type AioFile, type OpenFileOptions } from "../../../storage/mod.ts";
import { testSharedAios } from "../../support/methods.ts";
import { countDescriptorsOf } from "../../support/program.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";

const isLinux = Deno.build.os === "linux";
const text = new TextEncoder();

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

/** Both ways to open. */
const FORMS = [
  {
    name: "openFile()",
    open: (aio: Aio, path: string | URL, options?: OpenFileOptions) => aio.openFile(path, options),
  },
  {
    name: "openFileSync()",
    // deno-lint-ignore require-await -- so that what it throws is a rejection, as with the other.
    open: async (aio: Aio, path: string | URL, options?: OpenFileOptions) =>
      aio.openFileSync(path, options),
  },
] as const;

async function textOf(file: AioFile): Promise<string> {
  const buffer = new Uint8Array(await file.size());
  if (buffer.length > 0) await file.readAt(buffer, 0);
  return new TextDecoder().decode(buffer);
}

for (const { name, open } of FORMS) {
  testDir(`${name} without options reads and does not write`, async (aio, dir) => {
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    await using file = await open(aio, path);
    assertEquals([file.path, file.isClosed, file.direct], [path, false, false]);
    assertEquals(file.alignment, { memory: 1, offset: 1 });
    assertEquals(await textOf(file), "hello");
    const error = await assertRejects(
      () => file.writeAt(text.encode("x"), 0),
      Deno.errors.BadResource,
    );
    assertEquals(
      error.message,
      `Cannot write ${JSON.stringify(path)}: it was opened without "write"`,
    );
  });

  testDir(`${name} for writing alone does not read`, async (aio, dir) => {
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    await using file = await open(aio, path, { write: true });
    await file.writeAt(text.encode("J"), 0);
    assertEquals(await Deno.readTextFile(path), "Jello");
    const error = await assertRejects(
      () => file.readAt(new Uint8Array(1), 0),
      Deno.errors.BadResource,
    );
    assertEquals(
      error.message,
      `Cannot read ${JSON.stringify(path)}: it was opened without "read"`,
    );
  });

  testDir(`${name} with read and write does both, and keeps what is there`, async (aio, dir) => {
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    await using file = await open(aio, path, { read: true, write: true, create: true });
    await file.writeAt(text.encode("p!"), 3);
    assertEquals(await textOf(file), "help!");
  });

  testDir(`${name} takes a file URL, with characters that it escapes`, async (aio, dir) => {
    const path = dir.join("a b%20ü#?.txt");
    await Deno.writeTextFile(path, "hello");
    await using file = await open(aio, pathToFileURL(path));
    assertEquals(file.path, path);
    assertEquals(await textOf(file), "hello");
  });

  testDir(`${name} with create makes a file and takes one that is there`, async (aio, dir) => {
    const path = dir.join("file");
    for (const expected of ["", "1"]) {
      await using file = await open(aio, path, { read: true, write: true, create: true });
      assertEquals(await textOf(file), expected);
      await file.writeAt(text.encode("1"), 0);
    }
  });

  testDir(`${name} with createNew makes a file`, async (aio, dir) => {
    await using file = await open(aio, dir.join("file"), { write: true, createNew: true });
    assertEquals(await file.size(), 0);
  });

  testDir(`${name} with truncate empties the file`, async (aio, dir) => {
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    await using file = await open(aio, path, { write: true, truncate: true });
    assertEquals(await file.size(), 0);
  });

  testDir(`${name} gives a new file its mode, less the umask`, async (aio, dir) => {
    const umask = Deno.umask();
    for (const mode of [0o600, 0o640, 0o777, 0o400]) {
      const path = dir.join(mode.toString(8));
      await using _file = await open(aio, path, { write: true, create: true, mode });
      assertEquals(((await Deno.stat(path)).mode ?? 0) & 0o7777, mode & ~umask);
    }
    const path = dir.join("default");
    await using _file = await open(aio, path, { write: true, create: true });
    assertEquals(((await Deno.stat(path)).mode ?? 0) & 0o7777, 0o666 & ~umask);
  });

  testDir(`${name} with dsync sets O_DSYNC, and without does not`, async (aio, dir) => {
    for (const dsync of [true, false]) {
      const path = dir.join(`${dsync}`);
      await using file = await open(aio, path, { write: true, create: true, dsync });
      const info = await Deno.readTextFile(`/proc/self/fdinfo/${file.fd}`);
      const flags = parseInt(/flags:\s*([0-7]+)/.exec(info)?.[1] ?? "", 8);
      assertEquals((flags & 0o10000) !== 0, dsync, info);
      await file.writeAt(text.encode("durable"), 0);
    }
  }, isLinux);

  testDir(`${name} keeps one descriptor, Deno's own is closed`, async (aio, dir) => {
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    const file = await open(aio, path);
    assertEquals(countDescriptorsOf(path), 1);
    assertEquals(await Deno.readLink(`/proc/self/fd/${file.fd}`), path);
    await file.close();
    assertEquals(countDescriptorsOf(path), 0);
  }, isLinux);

  testDir(`${name} gives a descriptor that a child does not inherit`, async (aio, dir) => {
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    await using file = await open(aio, path);
    const { stdout } = await new Deno.Command("ls", { args: ["-l", "/proc/self/fd"] }).output();
    const listing = new TextDecoder().decode(stdout);
    assert(listing.includes("/proc/"), listing);
    assert(!listing.includes(path), listing);
    assert(file.fd > 2);
  }, isLinux);

  testDir(`${name} twice gives two files that are closed one by one`, async (aio, dir) => {
    const path = dir.join("file");
    await Deno.writeTextFile(path, "hello");
    const first = await open(aio, path);
    await using second = await open(aio, path);
    assert(first.fd !== second.fd);
    await first.close();
    assertEquals(await textOf(second), "hello");
  });

  testDir(`${name} takes a relative path, from the process's folder`, async (aio) => {
    const [entry] = [...Deno.readDirSync(".")].filter(({ isFile }) => isFile);
    assert(entry !== undefined);
    await using file = await open(aio, entry.name);
    assertEquals(file.path, entry.name);
    assertEquals(await file.size(), (await Deno.stat(entry.name)).size);
  });

  testDir(`${name} follows a symbolic link`, async (aio, dir) => {
    await Deno.writeTextFile(dir.join("file"), "hello");
    await Deno.symlink(dir.join("file"), dir.join("link"));
    await using file = await open(aio, dir.join("link"));
    assertEquals(await textOf(file), "hello");
  });

  testSharedAios(
    `${name} of a file beyond maxFiles is refused, until one is closed`,
    async (aio) => {
      await using dir = await tempDir();
      const path = dir.join("file");
      await Deno.writeTextFile(path, "hello");
      const files = [];
      for (let i = 0; i < 3; i++) files.push(await open(aio, path));
      const error = await assertRejects(() => open(aio, path), Deno.errors.Busy);
      assertEquals(
        error.message,
        `Cannot open ${JSON.stringify(path)} while 3 files are open: ` +
          `close some or raise the option "maxFiles"`,
      );
      if (isLinux) assertEquals(countDescriptorsOf(path), 3);
      await files.shift()?.close();
      files.push(await open(aio, path));
      assertEquals(await textOf(files.at(-1)!), "hello");
      for (const file of files) await file.close();
    },
    { options: { maxFiles: 3 } },
  );
}

testDir("openFile() and close() 500 times keep no descriptor and no slot", async (aio, dir) => {
  const path = dir.join("file");
  await Deno.writeTextFile(path, "hello");
  for (let i = 0; i < 250; i++) {
    const file = await aio.openFile(path);
    const other = aio.openFileSync(path);
    await Promise.all([file.close(), other.close()]);
  }
  if (isLinux) assertEquals(countDescriptorsOf(path), 0);
  assertEquals(backendOf(aio).files.count, 0);
});

testDir("openFile() 100 times at once gives 100 files", async (aio, dir) => {
  const path = dir.join("file");
  await Deno.writeTextFile(path, "hello");
  const files = await Promise.all(Array.from({ length: 100 }, () => aio.openFile(path)));
  assertEquals(new Set(files.map(({ fd }) => fd)).size, 100);
  assertEquals(await Promise.all(files.map(textOf)), new Array(100).fill("hello"));
  await Promise.all(files.map((file) => file.close()));
});

testDir(
  "a file with a path of 4000 bytes tells the whole of it, in errors too",
  async (aio, dir) => {
    const folder = dir.join(...new Array(18).fill("d".repeat(200)));
    await Deno.mkdir(folder, { recursive: true });
    const path = `${folder}/äöü`;
    await Deno.writeTextFile(path, "hello");
    await using file = await aio.openFile(path);
    assertEquals(file.path, path);
    const error = await assertRejects(() => file.readAt(new Uint8Array(1), -1), RangeError);
    assert(error.message.length < 200);
    await using other = aio.attachFile(file.token);
    assertEquals(other.path, path);
    await file.close();
    const closed = await assertRejects(
      () => file.readAt(new Uint8Array(1), 0),
      Deno.errors.BadResource,
    );
    assertStringIncludes(closed.message, path);
  },
);

Deno.test("Aio.open() needs no option, and says which method it took and why", async () => {
  await using aio = await Aio.open();
  assert(aio.method.length > 0);
  assertStringIncludes(aio.methodReason, aio.method);
});
