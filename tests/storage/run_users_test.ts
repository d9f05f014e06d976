/** run_users_test.ts: the threads that use a run of the arena, of which one is the last. */

import { assert, assertEquals } from "@std/assert";
import { endUse, tryUse } from "../../storage/run_users.ts";

const AT = 1;

function words(users: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(12)).fill(users, AT, AT + 1);
}

Deno.test("tryUse() adds a thread to those that use a run, endUse() tells the last", () => {
  const run = words(1 << 3);
  assert(tryUse(run, AT, 31, () => true));
  assertEquals([...run], [0, 1 << 3 | 1 << 31, 0]);
  assert(!endUse(run, AT, 3));
  assert(endUse(run, AT, 31));
  assertEquals([...run], [0, 0, 0]);
});

Deno.test("tryUse() of a run that nobody uses is refused", () => {
  const run = words(0);
  assert(!tryUse(run, AT, 2, () => true));
  assertEquals(run[AT], 0);
});

Deno.test("tryUse() of a run in which something else is by now leaves no mark", () => {
  for (const looks of [0, 1]) {
    const run = words(1 << 3);
    let left = looks;
    assert(!tryUse(run, AT, 2, () => left-- > 0));
    assertEquals(run[AT], 1 << 3, `after ${looks} looks`);
  }
});
