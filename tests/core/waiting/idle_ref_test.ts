/**
 * idle_ref_test.ts: a wait reference that names the next use of an idle handle, which nobody has
 * begun: waiting for it is refused, as nothing would ever end the wait.
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { type Fixture, startRead } from "../../support/core.ts";
import { testSharedCores } from "../../support/core_methods.ts";

const CALLS: readonly (readonly [string, (fixture: Fixture, ref: WaitRef) => unknown])[] = [
  ["waitSync", ({ aio }, ref) => aio.waitSync(ref)],
  ["whenDone", ({ aio }, ref) => aio.whenDone(ref, { completed() {} })],
  ["checkDone", ({ aio }, ref) => aio.checkDone(ref)],
];

for (const [name, call] of CALLS) {
  testSharedCores(`aio.${name}() of a use that never began is refused`, (fixture) => {
    const error = assertThrows(() => call(fixture, { index: 5, generation: 1 }), AioApiError);
    assertEquals(error.message, "waiting for own IO 5 in wrong state: idle");
  });

  testSharedCores(
    `aio.${name}() of another backend's use that never began is refused`,
    (fixture) => {
      const error = assertThrows(() => call(fixture, { index: 5, generation: 1 }), AioApiError);
      assertEquals(
        error.message,
        "IO in wrong state: 0: backend 1 has not begun use 1 of handle 5",
      );
    },
    { options: { maxConcurrency: 4 } },
  );

  testSharedCores(
    `aio.${name}() of a use that is over is no waiting for the next one`,
    (fixture) => {
      const { aio } = fixture;
      const { ref } = startRead(fixture);
      aio.waitSync(ref);
      assertEquals([call(fixture, ref), aio.checkDone(ref)], [
        name === "waitSync" ? undefined : true,
        true,
      ]);
      const next = { ...ref, generation: ref.generation + 1 };
      assertThrows(() => call(fixture, next), AioApiError, "in wrong state: idle");
      const handle = aio.acquire();
      const given = handle.waitRef();
      handle.release();
      assertEquals(aio.checkDone(given), true);
    },
  );
}

testSharedCores(
  "aio.wait() of a use that never began is refused at the call",
  async (fixture) => {
    await assertRejects(
      async () => await fixture.aio.wait({ index: 5, generation: 1 }),
      AioApiError,
      "waiting for own IO 5 in wrong state: idle",
    );
  },
);
