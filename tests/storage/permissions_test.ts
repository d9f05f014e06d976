/**
 * permissions_test.ts: the library runs with permissions for its data and for one library, and says
 * which flag is missing.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { LIBC_NAMES, LIBC_PATHS } from "../support/libc.ts";
import type { AioOptions } from "../../core/mod.ts";
import { type MethodProgram, testMethodProgram } from "../support/method_program.ts";
import { foldersOf } from "../support/program.ts";
import { hasRings } from "../support/rings/uring.ts";

/** Deno wants --allow-all for whatever lies below /dev. */
const isBelowDev = Deno.env.get("AIO_TEST_DIR")?.startsWith("/dev/") ?? false;

/**
 * Whether a method needs no more than the C library: Workers load the module, and rings that are
 * mapped want all of `--allow-ffi`.
 */
const isScoped = (method: string) =>
  method === "sync" || (method === "io_uring" && hasRings("shared"));

const ROUND_TRIP = `
  const [dir] = Deno.args;
  await using aio = await Aio.open({ method });
  const path = dir + "/" + method;
  await using file = await aio.openFile(path, { read: true, write: true, create: true });
  await file.writeAt(new TextEncoder().encode("hello"), 4096);
  await file.sync();
  await file.syncData();
  await file.truncate(5000);
  const buffer = new Uint8Array(5);
  await file.readAt(buffer, 4096);
  await using direct = await aio.openFile(path, { direct: "optional" });
  direct.readAtSync(new Uint8Array(4096), 0);
  print(new TextDecoder().decode(buffer), await file.size());`;

for (const libc of LIBC_PATHS) {
  testMethodProgram(
    `a program with --allow-ffi=${libc} alone, and its data, does everything, or hears what it lacks`,
    (dir) => {
      const data = [`--allow-read=${dir.path}`, `--allow-write=${dir.path}`];
      const flags = [...data, `--allow-ffi=${libc}`];
      return { body: ROUND_TRIP, options: { flags, args: [dir.path] } };
    },
    (lines, _, method) => {
      if (isScoped(method)) return assertEquals(lines, ["hello 5000"]);
      assertMatch(lines.join(), /^threw Not\w+: .*: run again with --allow-(read|ffi)/);
    },
    !isBelowDev,
  );
}

Deno.test("there is a C library to be granted, in one of the usual places", () => {
  assert(LIBC_PATHS.length > 0, LIBC_NAMES.join(", "));
});

/** Prints what each opening says, or "opened". */
function tellOpenings(flags: readonly string[], ...options: readonly AioOptions[]): MethodProgram {
  const body = `
    for (const options of ${JSON.stringify(options)}) {
      try {
        await using aio = await Aio.open({ method, ...options });
        print("opened", aio.method);
      } catch (error) {
        print(error.name, error.message);
      }
    }`;
  return { body, options: { flags } };
}

testMethodProgram(
  "Aio.open() without --allow-ffi names the flag, with the path",
  (dir) => tellOpenings([`--allow-read=${dir.path}`], {}),
  (lines) =>
    assertEquals(lines, [
      `NotCapable Cannot open the C library without permission: run again with ` +
      `--allow-ffi=${LIBC_NAMES[0]}`,
    ]),
);

const NOWHERE = "/nowhere/libc.so.6";
const UNGRANTED = "/other/libc.so.6";

testMethodProgram(
  "Aio.open() with --allow-ffi for one library names another's flag, and what is not there",
  () => {
    const [nowhere, ungranted] = [NOWHERE, UNGRANTED].map((libc) => ({ libraries: { libc } }));
    return tellOpenings([`--allow-ffi=${NOWHERE}`], {}, ungranted!, nowhere!);
  },
  (lines) => {
    assertEquals(lines.length, 3);
    assertStringIncludes(lines[0]!, `NotCapable Cannot open the C library without permission`);
    assertStringIncludes(lines[0]!, `--allow-ffi=${LIBC_NAMES[0]}`);
    assertStringIncludes(lines[1]!, `NotCapable`);
    assertStringIncludes(lines[1]!, `--allow-ffi=${UNGRANTED}`);
    assertEquals(
      lines[2],
      `NotFound Cannot find the C library at ${NOWHERE}: ` +
        `correct the option "libraries.libc", or leave it out`,
    );
  },
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
