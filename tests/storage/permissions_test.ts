/**
 * permissions_test.ts: the library runs with permissions for its data and for one library, and
 * says which flag is missing.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { LIBC_NAMES, LIBC_PATHS } from "../support/libc.ts";
import type { AioOptions } from "../../core/mod.ts";
import { type MethodProgram, testMethodProgram } from "../support/method_program.ts";
import { METHODS_UNDER_TEST } from "../support/methods.ts";
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

/** Prints what opening says, or "opened". */
function tellOpening(options: AioOptions, flags: readonly string[]): MethodProgram {
  const body = `
    try {
      await using aio = await Aio.open({ method, ...${JSON.stringify(options)} });
      print("opened", aio.method);
    } catch (error) {
      print(error.name, error.message);
    }`;
  return { body, options: { flags } };
}

testMethodProgram(
  "Aio.open() without --allow-ffi names the flag, with the path",
  (dir) => tellOpening({}, [`--allow-read=${dir.path}`]),
  (lines) =>
    assertEquals(lines, [
      `NotCapable Cannot open the C library without permission: run again with ` +
      `--allow-ffi=${LIBC_NAMES[0]}`,
    ]),
);

testMethodProgram(
  "Aio.open() with --allow-ffi for another library names the flag",
  () => tellOpening({}, ["--allow-ffi=/nowhere/lib.so"]),
  ([line]) => {
    assertStringIncludes(line!, `NotCapable Cannot open the C library without permission`);
    assertStringIncludes(line!, `--allow-ffi=${LIBC_NAMES[0]}`);
  },
);

const NOWHERE = "/nowhere/libc.so.6";

testMethodProgram(
  "Aio.open() with the option libraries.libc names that path's flag",
  () => tellOpening({ libraries: { libc: NOWHERE } }, ["--allow-ffi=/other"]),
  ([line]) => assertStringIncludes(line!, `--allow-ffi=${NOWHERE}`),
);

testMethodProgram(
  "Aio.open() with the option libraries.libc names that path if nothing is there",
  () => tellOpening({ libraries: { libc: NOWHERE } }, [`--allow-ffi=${NOWHERE}`]),
  (lines) =>
    assertEquals(lines, [
      `NotFound Cannot find the C library at ${NOWHERE}: ` +
      `correct the option "libraries.libc", or leave it out`,
    ]),
);

testMethodProgram(
  "openFile() outside what is granted is NotCapable, inside is fine",
  async (dir) => {
    for (const name of ["inside", "outside"]) {
      await Deno.mkdir(dir.join(name));
      await Deno.writeTextFile(dir.join(name, "file"), "hello");
    }
    const body = `
      const [inside, outside] = Deno.args;
      await using aio = await Aio.open({ method });
      const tell = async (path, options) => {
        try {
          await using file = await aio.openFile(path, options);
          print("opened");
        } catch (error) {
          print(error.name);
        }
        try {
          aio.openFileSync(path, options).closeSync();
          print("opened");
        } catch (error) {
          print(error.name);
        }
      };
      await tell(inside + "/file");
      await tell(inside + "/file", { write: true });
      await tell(outside + "/file");
      await tell(inside + "/../outside/file");
      await tell(new URL("file://" + outside + "/file"));`;
    const readable = [dir.join("inside"), ...foldersOf("worker")];
    const flags = [`--allow-read=${readable.join()}`, `--allow-ffi`];
    return { body, options: { flags, args: [dir.join("inside"), dir.join("outside")] } };
  },
  (lines) => {
    const expected = ["opened", "NotCapable", "NotCapable", "NotCapable", "NotCapable"];
    assertEquals(lines, expected.flatMap((line) => [line, line]));
  },
  !isBelowDev,
);
