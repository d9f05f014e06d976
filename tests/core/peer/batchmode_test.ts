/**
 * batchmode_test.ts: the peer's test_batchmode: what becomes of a batch that a statement leaves
 * open. Its case that a ROLLBACK does not warn is commented out there; here it is a test.
 */

import { assertEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { ResourceOwner } from "../../../core/life/resource_owner.ts";
import { type Fixture, startRead, stateOf } from "../../support/core.ts";
import { HELD, testSharedCores } from "../../support/core_methods.ts";

const LEFT_OPEN = "open AIO batch at end of (sub-)transaction";

/** No batch is open, and one can be begun and ended. */
function assertBatchWorks({ aio }: Fixture): void {
  assertEquals(backendOf(aio).staging.isInBatch, false);
  aio.enterBatchmode();
  aio.exitBatchmode();
}

testSharedCores("a batch left open in an implicit transaction is warned of", (fixture) => {
  fixture.aio.withOwner(() => fixture.aio.enterBatchmode());
  assertEquals(fixture.messages(), [LEFT_OPEN]);
  assertBatchWorks(fixture);
});

testSharedCores("a batch left open, then COMMIT, is warned of once", (fixture) => {
  const { aio } = fixture;
  aio.withOwner((transaction) => {
    // The end of a statement does not end its transaction.
    using _statement = new ResourceOwner(aio, transaction);
    aio.enterBatchmode();
  });
  assertEquals(fixture.messages(), [LEFT_OPEN]);
  assertBatchWorks(fixture);
});

testSharedCores("a batch left open, then ROLLBACK, is ended in silence", (fixture) => {
  const { aio } = fixture;
  const raise = () =>
    aio.withOwner(() => {
      aio.enterBatchmode();
      throw new Error("as you command");
    });
  assertThrows(raise, Error, "as you command");
  assertEquals(fixture.messages(), []);
  assertBatchWorks(fixture);
});

testSharedCores("a batch begun and ended in one statement is silent", (fixture) => {
  const { aio } = fixture;
  aio.withOwner(() => {
    aio.enterBatchmode();
    assertEquals(backendOf(aio).staging.isInBatch, true);
    aio.exitBatchmode();
  });
  assertEquals(fixture.messages(), []);
  assertBatchWorks(fixture);
});

testSharedCores("a batch within a batch is refused, and the first stays open", (fixture) => {
  const { aio } = fixture;
  aio.enterBatchmode();
  const error = assertThrows(() => aio.enterBatchmode(), AioApiError);
  assertEquals(error.message, "starting batch while batch already in progress");
  aio.exitBatchmode();
  assertBatchWorks(fixture);
});

testSharedCores("ending a batch that was not begun is refused", (fixture) => {
  const { aio } = fixture;
  const error = assertThrows(() => aio.exitBatchmode(), AioApiError);
  assertEquals(error.message, "ending batch while no batch is in progress");
  assertBatchWorks(fixture);
});

testSharedCores(
  "what a batch left open has staged is submitted all the same",
  async (fixture, method) => {
    const { aio } = fixture;
    const reads = aio.withOwner(() => {
      aio.enterBatchmode();
      return [0, 512].map((offset) => startRead(fixture, offset));
    });
    assertEquals([fixture.messages(), aio.haveStaged], [[LEFT_OPEN], false]);
    if (method === HELD) {
      assertEquals(reads.map(({ ref }) => stateOf(fixture, ref)), ["submitted", "submitted"]);
    }
    for (const { ref, ret } of reads) {
      await aio.wait(ref);
      assertEquals([ret.result.status, ret.result.result], ["ok", 512]);
    }
  },
);
