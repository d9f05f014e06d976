/**
 * permissions_test.ts: the library runs with permissions for its data and for one library, and
 * says which flag is missing.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { LIBC_NAMES, LIBC_PATHS } from "../support/libc.ts";
import { METHODS_UNDER_TEST, testEachMethod } from "../support/methods.ts";
import { foldersOf, runProgram } from "../support/program.ts";
import { tempDir } from "../support/temp.ts";
import { hasRings } from "../support/rings/uring.ts";

/** Deno wants --allow-all for whatever lies below /dev. */
const isBelowDev = Deno.env.get("AIO_TEST_DIR")?.startsWith("/dev/") ?? false;

/**
 * Methods that need no more than the C library; rings that are mapped want all of `--allow-ffi`.
 */
const SCOPED_METHODS = METHODS_UNDER_TEST.filter(({ name }) =>
  name === "sync" || (name === "io_uring" && hasRings("shared"))
);

const ROUND_TRIP = `
  const [method, dir] = Deno.args;
  await using aio = await Aio.open({ method });
  const options = { read: true, write: true, create: true };
  await using file = await aio.openFile(dir + "/file", options);
  await file.writeAt(new TextEncoder().encode("hello"), 4096);
  await file.sync();
  await file.syncData();
  await file.truncate(5000);
  const buffer = new Uint8Array(5);
  await file.readAt(buffer, 4096);
  await using direct = await aio.openFile(dir + "/file", { direct: "optional" });
  direct.readAtSync(new Uint8Array(4096), 0);
  console.log(new TextDecoder().decode(buffer), await file.size());`;

for (const { name: method, ignore } of SCOPED_METHODS) {
  for (const libc of LIBC_PATHS) {
    Deno.test({
      name: `${method}: a program with --allow-ffi=${libc} alone, and its data, does everything`,
      ignore: ignore || isBelowDev,
      async fn() {
        await using dir = await tempDir();
        const flags = [
          `--allow-read=${dir.path}`,
          `--allow-write=${dir.path}`,
          `--allow-ffi=${libc}`,
        ];
        const result = await runProgram(ROUND_TRIP, { flags, args: [method, dir.path] });
        assertEquals([result.stderr, result.stdout], ["", "hello 5000\n"]);
        assertEquals(result.code, 0);
      },
    });
  }
}

Deno.test("there is a C library to be granted, in one of the usual places", () => {
  assert(LIBC_PATHS.length > 0, LIBC_NAMES.join(", "));
});

/** Tells what opening says, or "opened". */
const TELL_OPEN = `
  try {
    await using aio = await Aio.open(JSON.parse(Deno.args[0]));
    console.log("opened", aio.method);
  } catch (error) {
    console.log(error.name, error.message);
  }`;

testEachMethod("Aio.open() without --allow-ffi names the flag, with the path", async (method) => {
  await using dir = await tempDir();
  const flags = [`--allow-read=${dir.path}`];
  const result = await runProgram(TELL_OPEN, { flags, args: [JSON.stringify({ method })] });
  assertEquals([result.code, result.stderr], [0, ""]);
  assertEquals(
    result.stdout,
    `NotCapable Cannot open the C library without permission: run again with ` +
      `--allow-ffi=${LIBC_NAMES[0]}\n`,
  );
});

testEachMethod("Aio.open() with --allow-ffi for another library names the flag", async (method) => {
  const flags = ["--allow-ffi=/nowhere/lib.so"];
  const result = await runProgram(TELL_OPEN, { flags, args: [JSON.stringify({ method })] });
  assertStringIncludes(result.stdout, `NotCapable Cannot open the C library without permission`);
  assertStringIncludes(result.stdout, `--allow-ffi=${LIBC_NAMES[0]}`);
});

testEachMethod(
  "Aio.open() with the option libraries.libc names that path's flag",
  async (method) => {
    const libc = "/nowhere/libc.so.6";
    const options = JSON.stringify({ method, libraries: { libc } });
    const refused = await runProgram(TELL_OPEN, { flags: ["--allow-ffi=/other"], args: [options] });
    assertStringIncludes(refused.stdout, `--allow-ffi=${libc}`);
    const missing = await runProgram(TELL_OPEN, {
      flags: [`--allow-ffi=${libc}`],
      args: [options],
    });
    assertEquals(
      missing.stdout,
      `NotFound Cannot find the C library at ${libc}: ` +
        `correct the option "libraries.libc", or leave it out\n`,
    );
  },
);

testEachMethod(
  "openFile() outside what is granted is NotCapable, inside is fine",
  async (method) => {
    await using inside = await tempDir();
    await using outside = await tempDir();
    await Deno.writeTextFile(inside.join("file"), "hello");
    await Deno.writeTextFile(outside.join("file"), "secret");
    const program = `
    const [method, inside, outside] = Deno.args;
    await using aio = await Aio.open({ method });
    const tell = async (path, options) => {
      try {
        await using file = await aio.openFile(path, options);
        console.log("opened");
      } catch (error) {
        console.log(error.name);
      }
      try {
        aio.openFileSync(path, options).closeSync();
        console.log("opened");
      } catch (error) {
        console.log(error.name);
      }
    };
    await tell(inside + "/file");
    await tell(inside + "/file", { write: true });
    await tell(outside + "/file");
    await tell(inside + "/../" + outside.split("/").pop() + "/file");
    await tell(new URL("file://" + outside + "/file"));`;
    const readable = [inside.path, ...foldersOf(method)];
    const flags = [`--allow-read=${readable.join()}`, `--allow-ffi`];
    const args = [method, inside.path, outside.path];
    const result = await runProgram(program, { flags, args });
    assertEquals([result.code, result.stderr], [0, ""]);
    const expected = ["opened", "NotCapable", "NotCapable", "NotCapable", "NotCapable"];
    assertEquals(result.stdout.trim().split("\n"), expected.flatMap((line) => [line, line]));
  },
  !isBelowDev,
);
