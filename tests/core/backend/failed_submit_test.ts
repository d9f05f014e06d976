/**
 * failed_submit_test.ts: a method whose submit throws half-way. What it took stays its own, what it
 * did not take stays staged, and no batch stays open.
 */

import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import type { MethodBackend } from "../../../core/io/method.ts";
import { openHeld, startRead, stateOf } from "../../support/core.ts";
import { HeldMethod } from "../../support/held_method.ts";

const FAILURE = new Error("the method gave up");

/** Takes one IO of its first submit, then throws. */
class FailingOnce extends HeldMethod {
  #hasFailed = false;

  override submit(backend: MethodBackend, staged: readonly AioHandle[], count: number): number {
    if (this.#hasFailed) return super.submit(backend, staged, count);
    this.#hasFailed = true;
    super.submit(backend, staged, 1);
    throw FAILURE;
  }
}

for (const call of ["exitBatchmode", "errorCleanup"] as const) {
  Deno.test(`held: aio.${call}() with a submit that fails ends the batch, and the rest is submitted later`, async () => {
    await using fixture = await openHeld({}, new FailingOnce());
    const { aio, held } = fixture;
    aio.enterBatchmode();
    const refs = [0, 1, 2].map((i) => startRead(fixture, i).ref);
    const states = () => refs.map((ref) => stateOf(fixture, ref));
    assertStrictEquals(assertThrows(() => aio[call]()), FAILURE);
    assertEquals(states(), ["submitted", "staged", "staged"]);
    assertEquals([backendOf(aio).staging.isInBatch, backendOf(aio).staging.count], [false, 2]);
    aio.submitStaged();
    assertEquals([states(), held.submissions], [["submitted", "submitted", "submitted"], [1, 2]]);
    held.performAll(aio);
    assertEquals(backendOf(aio).idleCount, aio.options.maxConcurrency);
  });
}

Deno.test("held: aio.batch() with a submit that fails throws its error, and leaves no batch open", async () => {
  await using fixture = await openHeld({}, new FailingOnce());
  const { aio } = fixture;
  const error = assertThrows(() =>
    aio.batch(() => {
      for (let i = 0; i < 2; i++) startRead(fixture, i);
    })
  );
  assertStrictEquals(error, FAILURE);
  assertEquals([backendOf(aio).staging.isInBatch, aio.haveStaged], [false, true]);
});
