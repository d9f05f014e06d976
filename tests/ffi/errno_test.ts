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

Deno.test("errnoName() agrees with the system's own table, for every number it knows", () => {
  const numbers: Record<string, number> = { ...constants.errno };
  let known = 0;
  for (let number = 1; number < ERRNO_END; number++) {
    const name = errno.errnoName(number);
    if (name === `E${number}`) continue;
    known++;
    const expected = numbers[name];
    if (expected !== undefined) assertEquals(expected, number, name);
  }
  assert(known > 30, `${known} names`);
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
