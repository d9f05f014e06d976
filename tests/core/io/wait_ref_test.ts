/** wait_ref_test.ts: wait references: valid, cleared, stale, foreign, and beyond 2^32 uses. */

import { assert, assertEquals, assertFalse, assertRejects, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import {
  clearWaitRef,
  invalidWaitRef,
  isValidWaitRef,
  type WaitRef,
  waitRefId,
} from "../../../core/io/wait_ref.ts";
import { type Fixture, openHeld, startRead, stateOf, wrong } from "../../support/core.ts";
import { STAGING, testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";

/** Every call that takes a wait reference. */
const CALLS: Readonly<Record<string, (fixture: Fixture, ref: WaitRef) => unknown>> = {
  waitSync: ({ aio }, ref) => aio.waitSync(ref),
  wait: ({ aio }, ref) => aio.wait(ref),
  whenDone: ({ aio }, ref) => aio.whenDone(ref, { completed() {} }),
  checkDone: ({ aio }, ref) => aio.checkDone(ref),
  abandon: ({ aio }, ref) => aio.abandon(ref),
};

Deno.test("invalidWaitRef() names nothing, clearWaitRef() makes one so", () => {
  assertEquals(invalidWaitRef(), { index: 0xffffffff, generation: 0 });
  assertFalse(isValidWaitRef(invalidWaitRef()));
  const ref = { index: 3, generation: 9 };
  assert(isValidWaitRef(ref));
  clearWaitRef(ref);
  assertEquals(ref, invalidWaitRef());
});

Deno.test("waitRefId() is the handle's number; of a cleared one it is refused", () => {
  assertEquals(waitRefId({ index: 3, generation: 9 }), 3);
  assertThrows(
    () => waitRefId(invalidWaitRef()),
    TypeError,
    "Cannot tell the id of a wait reference that names nothing",
  );
});

testSharedCores("a wait reference is plain: it can be copied and posted", (fixture) => {
  const { ref } = startRead(fixture);
  const posted = structuredClone(ref);
  assertEquals(posted, ref);
  assertEquals(Object.getPrototypeOf(ref), Object.prototype);
  fixture.aio.waitSync(posted);
  assert(fixture.aio.checkDone(ref));
});

const REFUSED: readonly (readonly [string, unknown, string])[] = [
  ["undefined", undefined, "for undefined: pass what handle.waitRef() returned"],
  ["null", null, "for null: pass what handle.waitRef() returned"],
  ["a number", 5, "for 5: pass what handle.waitRef() returned"],
  ["a cleared one", invalidWaitRef(), "for a wait reference that names nothing"],
  ["handle 128 of 128", { index: 128, generation: 1 }, "handle 128: this aio has handles 0 to 127"],
  ["handle -1", { index: -1, generation: 1 }, "handle -1: this aio has handles 0 to 127"],
  ["handle 0.5", { index: 0.5, generation: 1 }, "handle 0.5: this aio has handles 0 to 127"],
  ["handle NaN", { index: NaN, generation: 1 }, "handle NaN: this aio has handles 0 to 127"],
  ["no handle", {}, "handle undefined: this aio has handles 0 to 127"],
  ["generation 0", { index: 0, generation: 0 }, "generation 0 of handle 0: generations are safe"],
  ["generation -1", { index: 0, generation: -1 }, "generation -1 of handle 0: generations are"],
  ["generation 1.5", { index: 0, generation: 1.5 }, "generation 1.5 of handle 0: generations are"],
  ["generation 2^53", { index: 0, generation: 2 ** 53 }, "of handle 0: generations are safe"],
  ["generation 1n", { index: 0, generation: 1n }, "generation 1n of handle 0: generations are"],
  ["no generation", { index: 0 }, "generation undefined of handle 0: generations are safe"],
];

for (const [name, ref, message] of REFUSED) {
  testSharedCores(`${name} as a wait reference is refused by every call`, (fixture) => {
    for (const [call, make] of Object.entries(CALLS)) {
      const error = assertThrows(() => make(fixture, wrong<WaitRef>(ref)), Error, message, call);
      assert(error instanceof RangeError || error instanceof TypeError, `${call}: ${error.name}`);
    }
  }, { options: { maxBackends: 2 } });
}

for (const call of ["waitSync", "wait", "whenDone", "checkDone"]) {
  testSharedCores(
    `aio.${call}() of a generation to come is refused as another aio's`,
    (fixture) => {
      const { ref } = startRead(fixture);
      const foreign = { index: ref.index, generation: ref.generation + 2 };
      assertThrows(
        () => CALLS[call]!(fixture, foreign),
        RangeError,
        "the wait reference is of another aio",
      );
    },
  );
}

testSharedCores(
  "a stale wait reference is done, however often the handle was used since",
  async (fixture) => {
    const { aio } = fixture;
    const { ref } = startRead(fixture);
    for (let i = 0; i < 10; i++) startRead(fixture);
    assert(aio.checkDone(ref));
    aio.waitSync(ref);
    await aio.wait(ref);
    aio.abandon(ref);
  },
  { options: { maxConcurrency: 1 } },
);

testSharedCores(
  "a stale wait reference is done while the handle is staged anew",
  async (fixture) => {
    const { aio, held } = fixture;
    const first = startRead(fixture);
    aio.waitSync(first.ref);
    const waits = held.waits.length;
    aio.enterBatchmode();
    const second = startRead(fixture);
    assertEquals(second.ref.index, first.ref.index);
    assert(aio.checkDone(first.ref));
    aio.waitSync(first.ref);
    await aio.wait(first.ref);
    assertFalse(aio.checkDone(second.ref));
    assertEquals(held.waits.length, waits);
    aio.exitBatchmode();
  },
  { only: STAGING, options: { maxConcurrency: 1 } },
);

// Only with this method is an IO in flight for as long as the test wants.
Deno.test("held: a stale wait reference is done while the handle is in flight anew", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio, held } = fixture;
  const first = startRead(fixture);
  held.perform(aio, first.ref);
  const second = startRead(fixture);
  assertEquals(second.ref.index, first.ref.index);
  assert(aio.checkDone(first.ref));
  aio.waitSync(first.ref);
  await aio.wait(first.ref);
  assertFalse(aio.checkDone(second.ref));
  assertEquals(held.waits, []);
});

testSharedCores("a handle given back unused makes its wait reference done", async (fixture) => {
  const handle = fixture.aio.acquire();
  const ref = handle.waitRef();
  handle.release();
  assert(fixture.aio.checkDone(ref));
  await fixture.aio.wait(ref);
});

testSharedCores(
  "waiting for a handle that is only handed out is refused, not a hang",
  (fixture) => {
    const handle = fixture.aio.acquire();
    const ref = handle.waitRef();
    const message = `waiting for own IO ${handle.index} in wrong state: handedOut`;
    assertThrows(() => fixture.aio.waitSync(ref), AioApiError, message);
    assertThrows(() => fixture.aio.wait(ref), AioApiError, message);
    assertFalse(fixture.aio.checkDone(ref));
    handle.release();
  },
);

testEachCoreMethod("a wait reference of another open aio is told by its number", async (test) => {
  await using one = await test.open({ maxConcurrency: 1, maxBackends: 1 });
  await using other = await test.open();
  const { generation } = startRead(other).ref;
  const ref = { index: 1, generation };
  await assertRejects(
    async () => await one.aio.wait(ref),
    RangeError,
    "Cannot wait for handle 1: this aio has handles 0 to 0; the wait reference is of another one",
  );
});

testSharedCores("generations go on beyond 2^32, in order and told apart", (fixture) => {
  const { aio } = fixture;
  const { control } = backendOf(aio);
  const base = control.handleAt(0);
  control.words[base + HANDLE.generationLow] = -1; // 0xffffffff
  control.words[base + HANDLE.generationHigh] = 0;
  const before = startRead(fixture);
  assertEquals(before.ref.generation, 2 ** 32 - 1);
  aio.waitSync(before.ref);
  const after = startRead(fixture);
  assertEquals(after.ref.generation, 2 ** 32);
  assert(aio.checkDone(before.ref));
  assertEquals(aio.checkDone(after.ref), stateOf(fixture, after.ref) === "idle");
  assert(aio.checkDone({ index: 0, generation: 1 }));
  aio.waitSync(after.ref);
  assertEquals(startRead(fixture).ref.generation, 2 ** 32 + 1);
}, { options: { maxConcurrency: 1 } });

testSharedCores("generations near 2^53 are exact", (fixture) => {
  const { aio } = fixture;
  const { words } = backendOf(aio).control;
  const base = backendOf(aio).control.handleAt(0);
  words[base + HANDLE.generationLow] = 0x8000_0000 | 0;
  words[base + HANDLE.generationHigh] = 0x1f_ffff;
  const { ref } = startRead(fixture);
  assertEquals(ref.generation, 0x1f_ffff * 2 ** 32 + 2 ** 31);
  aio.waitSync(ref);
  assert(aio.checkDone(ref));
}, { options: { maxConcurrency: 1 } });
