/**
 * uring_calls_test.ts: the system calls of io_uring say the same through every library: a number
 * from 0 on, or -errno, and the right one.
 *
 * @module
 */

import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { EBADF, EINVAL } from "../../ffi/errno.ts";
import { closeLibc, type Libc, openLibc } from "../../ffi/libc.ts";
import { Liburing, openLiburing } from "../../ffi/liburing.ts";
import {
  closeUringCalls,
  openUringCalls,
  type UringCalls,
  type UringLibrary,
} from "../../ffi/uring_calls.ts";
import { PARAMS_WORDS } from "../../ffi/uring_layout.ts";
import { UringSyscalls } from "../../ffi/uring_syscalls.ts";
import { hasRings } from "../support/rings/uring.ts";

const LIBRARIES: readonly UringLibrary[] = ["liburing", "libc"];
/** A descriptor that no process has. */
const CLOSED_FD = 1_000_000;
/** No operation of `io_uring_register`. */
const NO_OPCODE = 9999;
const ROUNDS = 20_000;

const hasUring = hasRings("shared") || hasRings("mapped");

function hasLiburing(): boolean {
  try {
    closeUringCalls(openLiburing());
    return true;
  } catch {
    return false;
  }
}

const CAN_USE = { liburing: hasUring && hasLiburing(), libc: hasUring };

/** Registers a test for each library, ignored by name where the machine lacks it. */
function testEachLibrary(name: string, fn: (calls: UringCalls, libc: Libc) => void): void {
  for (const library of LIBRARIES) {
    Deno.test({
      name: `${library}: ${name}`,
      ignore: !CAN_USE[library],
      fn() {
        using opened = new DisposableStack();
        const libc = opened.adopt(openLibc(), closeLibc);
        fn(opened.adopt(openUringCalls({}, library), closeUringCalls), libc);
      },
    });
  }
}

testEachLibrary("setup() gives a descriptor and fills the parameters", (calls, libc) => {
  const params = new Int32Array(PARAMS_WORDS.size);
  const fd = calls.setup(3, new Uint8Array(params.buffer));
  assert(fd > 2, String(fd));
  assertEquals([params[PARAMS_WORDS.sqEntries], params[PARAMS_WORDS.cqEntries]], [4, 8]);
  assert(params[PARAMS_WORDS.features] !== 0);
  // Nothing to submit.
  assertEquals(calls.enter(fd, 0, 0, 0), 0);
  assertEquals(libc.close(fd), 0);
});

testEachLibrary("each call that fails returns its -errno", (calls, libc) => {
  const argument = new Uint8Array(PARAMS_WORDS.size * Int32Array.BYTES_PER_ELEMENT);
  assertEquals(calls.setup(0, argument), -EINVAL);
  assertEquals(calls.enter(CLOSED_FD, 1, 0, 0), -EBADF);
  assertEquals(calls.register(CLOSED_FD, 0, argument, 1), -EBADF);
  const fd = calls.setup(1, argument);
  assertEquals(calls.register(fd, NO_OPCODE, argument, 1), -EINVAL);
  assertEquals(calls.enter(fd, 0, 0, 1 << 30), -EINVAL);
  // A failure is not remembered.
  assertEquals(calls.enter(fd, 0, 0, 0), 0);
  libc.close(fd);
});

testEachLibrary(
  "the error is that of the failed call, whatever is collected meanwhile",
  (calls) => {
    const argument = new Uint8Array(PARAMS_WORDS.size * Int32Array.BYTES_PER_ELEMENT);
    const wrong: string[] = [];
    let garbage: unknown[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const isOdd = round % 2 === 1;
      const result = isOdd ? calls.enter(CLOSED_FD, 1, 0, 0) : calls.setup(0, argument);
      if (result !== (isOdd ? -EBADF : -EINVAL)) wrong.push(`${round}: ${result}`);
      garbage.push(new Array(100).fill(round), new Uint8Array(1000));
      if (garbage.length > 1000) garbage = [];
    }
    assertEquals(wrong, []);
  },
);

testEachLibrary("two users of a thread have one, and the last one closes it", (calls) => {
  const library = calls instanceof Liburing ? "liburing" : "libc";
  const second = openUringCalls({}, library);
  assertStrictEquals(second, calls);
  closeUringCalls(second);
  assertEquals(calls.enter(CLOSED_FD, 1, 0, 0), -EBADF);
});

Deno.test({
  name: "openUringCalls() takes liburing where it is there, and libc where that is asked for",
  ignore: !CAN_USE.liburing,
  fn() {
    const [best, libc] = [openUringCalls({}), openUringCalls({}, "libc")];
    assert(best instanceof Liburing);
    assert(libc instanceof UringSyscalls);
    assertNotStrictEquals<UringCalls>(best, libc);
    closeUringCalls(best);
    closeUringCalls(libc);
  },
});
