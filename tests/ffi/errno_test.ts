/**
 * errno_test.ts: the names, texts and numbers of the system's errors.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { constants } from "node:os";
import * as errno from "../../ffi/errno.ts";

/** Beyond the last number that Linux gives to an error. */
const ERRNO_END = 134;

/**
 * What the C library says of an error number: its name, null for a number without one, and its
 * text.
 */
type Describe = (errno: number) => { name: string | null; text: string };

/** Asks this machine's C library, where it can tell the names of errors: glibc from 2.32 on. */
function openDescribe(): { describe: Describe; close(): void } | null {
  if (Deno.build.os !== "linux") return null;
  try {
    const library = Deno.dlopen("libc.so.6", {
      strerrorname_np: { parameters: ["i32" /* int errnum */], result: "pointer" },
      strerror: { parameters: ["i32" /* int errnum */], result: "pointer" },
    });
    const { symbols } = library;
    const read = (text: Deno.PointerValue) =>
      text === null ? null : new Deno.UnsafePointerView(text).getCString();
    const describe = (number: number) => ({
      name: read(symbols.strerrorname_np(number)),
      text: read(symbols.strerror(number)) ?? "",
    });
    return { describe, close: () => library.close() };
  } catch {
    return null; // Another C library, which does not have these calls.
  }
}

const probe = openDescribe();
probe?.close();

Deno.test({
  name: "errnoName() and errnoText() agree with the C library, for every number that Linux has",
  ignore: probe === null,
  fn() {
    const { describe, close } = openDescribe()!;
    for (let number = 1; number < ERRNO_END; number++) {
      const { name, text } = describe(number);
      assertEquals(errno.errnoName(number), name ?? `E${number}`);
      assertEquals(errno.errnoText(number), text, name ?? `${number}`);
    }
    assertEquals(describe(ERRNO_END).name, null);
    close();
  },
});

Deno.test("errnoName() names every number of Linux but 41 and 58, which are no errors", () => {
  const unnamed = Array.from({ length: ERRNO_END - 1 }, (_, i) => i + 1)
    .filter((number) => errno.errnoName(number) === `E${number}`);
  assertEquals(unnamed, [41, 58]);
});

Deno.test({
  name: "errnoOf() knows every name of the system's own table, aliases too",
  ignore: Deno.build.os !== "linux",
  fn() {
    const numbers: Record<string, number> = { ...constants.errno };
    for (const [name, number] of Object.entries(numbers)) assertEquals(errno.errnoOf(name), number);
    assertEquals(["EWOULDBLOCK", "ENOTSUP", "EDEADLOCK"].map(errno.errnoOf), [11, 95, 35]);
  },
});

Deno.test("errnoName() makes a name for a number it does not know", () => {
  assertEquals(errno.errnoName(9999), "E9999");
  assertEquals(errno.errnoName(0), "E0");
});

Deno.test("errnoText() tells the C library's text", () => {
  assertEquals(errno.errnoText(28), "No space left on device");
  assertEquals(errno.errnoText(2), "No such file or directory");
  assertEquals(errno.errnoText(9999), "Unknown error 9999");
});

Deno.test("errnoOf() is the other way round of errnoName()", () => {
  for (let number = 1; number < ERRNO_END; number++) {
    const name = errno.errnoName(number);
    const isKnown = name !== `E${number}`;
    assertEquals(errno.errnoOf(name), isKnown ? number : undefined, name);
    if (isKnown) assert(!errno.errnoText(number).startsWith("Unknown"), name);
  }
  assertEquals(errno.errnoOf("ENOTHING"), undefined);
  assertEquals(errno.errnoOf(""), undefined);
});

Deno.test("errnoOf() knows every error that a file's calls are documented to give", () => {
  const documented =
    "EACCES EAGAIN EBADF EBUSY EDQUOT EEXIST EFAULT EFBIG EINTR EINVAL EIO EISDIR " +
    "ELOOP EMFILE ENAMETOOLONG ENFILE ENODEV ENOENT ENOMEM ENOSPC ENOTDIR ENXIO EOPNOTSUPP " +
    "EOVERFLOW EPERM EPIPE EROFS ESPIPE ETXTBSY";
  for (const name of documented.split(" ")) assert(errno.errnoOf(name) !== undefined, name);
});

Deno.test("the named constants are those of the table", () => {
  for (const name of ["EINTR", "EIO", "EAGAIN", "EFAULT", "EINVAL"] as const) {
    assertEquals(errno.errnoName(errno[name]), name);
  }
});

Deno.test("the texts are the ones that the machine's own C library prints", async () => {
  const { stderr } = await new Deno.Command("cat", {
    args: ["/nonexistent-for-this-test"],
    env: { LC_ALL: "C" },
  }).output();
  assertStringIncludes(new TextDecoder().decode(stderr), errno.errnoText(2));
});
