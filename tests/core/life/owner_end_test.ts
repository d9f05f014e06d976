/**
 * owner_end_test.ts: resource owners that end with several IOs staged. To submit one is to submit
 * all, and with most methods some of them are over by then.
 */

import { assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { ResourceOwner } from "../../../core/life/resource_owner.ts";
import { type Fixture, startRead } from "../../support/core.ts";
import { STAGING, testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";

const STAGED_COUNT = 3;
const NOT_SUBMITTED = "AIO handle was not submitted";
const OPEN_BATCH = "open AIO batch at end of (sub-)transaction";

/** Stages several reads for an owner. */
function stage(fixture: Fixture, owner: ResourceOwner, submit: "now" | "endOfTurn" = "now") {
  return Array.from({ length: STAGED_COUNT }, (_, i) => {
    return startRead(fixture, i * 512, { owner, submit });
  });
}

/** Nothing is charged, staged or open, and all that was started ends. */
async function assertNothingLeft(
  { aio }: Fixture,
  reads: readonly ReturnType<typeof startRead>[],
): Promise<void> {
  assertEquals([aio.haveStaged, backendOf(aio).staging.isInBatch], [false, false]);
  for (const { ref } of reads) await aio.wait(ref);
  assertEquals(backendOf(aio).idleCount, aio.options.maxConcurrency);
}

for (const submit of ["now", "endOfTurn"] as const) {
  testSharedCores(
    `an owner ends with ${STAGED_COUNT} IOs staged, to be submitted ${submit}`,
    async (fixture) => {
      const { aio } = fixture;
      const owner = new ResourceOwner(aio);
      if (submit === "now") aio.enterBatchmode();
      const reads = stage(fixture, owner, submit);
      owner.release();
      assertEquals([owner.handleCount, fixture.messages()], [0, [NOT_SUBMITTED]]);
      assertEquals(reads.map(({ ret }) => ret.result.status), reads.map(() => "unknown"));
      if (submit === "now") aio.exitBatchmode();
      await assertNothingLeft(fixture, reads);
    },
    { only: STAGING },
  );
}

testSharedCores("aio.withOwner() ends with IOs staged and a batch open", async (fixture) => {
  const { aio } = fixture;
  const reads = aio.withOwner((owner) => {
    aio.enterBatchmode();
    return stage(fixture, owner);
  });
  assertEquals(fixture.messages(), [NOT_SUBMITTED, OPEN_BATCH]);
  await assertNothingLeft(fixture, reads);
}, { only: STAGING });

testSharedCores(
  "aio.withOwner() that throws takes staged IOs back in silence",
  async (fixture) => {
    const { aio } = fixture;
    const mine = new Error("as you command");
    let reads: ReturnType<typeof stage> = [];
    const error = assertThrows(() =>
      aio.withOwner((owner) => {
        aio.enterBatchmode();
        reads = stage(fixture, owner);
        throw mine;
      })
    );
    assertStrictEquals(error, mine);
    assertEquals(fixture.messages(), []);
    await assertNothingLeft(fixture, reads);
  },
);

testSharedCores("owners of owners end with IOs staged in each", async (fixture) => {
  const { aio } = fixture;
  const reads = [];
  {
    using parent = new ResourceOwner(aio);
    const children = [new ResourceOwner(aio, parent), new ResourceOwner(aio, parent)];
    aio.enterBatchmode();
    for (const owner of [...children, parent]) reads.push(...stage(fixture, owner));
  }
  assertEquals(fixture.messages(), [NOT_SUBMITTED]);
  assertEquals(reads.map(({ ret }) => ret.result.status), reads.map(() => "unknown"));
  aio.exitBatchmode();
  await assertNothingLeft(fixture, reads);
}, { options: { maxConcurrency: 16 }, only: STAGING });

testEachCoreMethod(
  "a handle that is used anew while its owner ends stays the new owner's",
  async ({ open }) => {
    const owners: ResourceOwner[] = [];
    const refused: unknown[] = [];
    let fixture: Fixture | null = null;
    await using opened = await open({
      maxConcurrency: STAGED_COUNT,
      onWarning(message) {
        if (fixture === null || message !== NOT_SUBMITTED) return;
        // All IOs are submitted by now, and some are over, so their handles are free.
        const [first, second] = owners as [ResourceOwner, ResourceOwner];
        refused.push(assertThrows(() => fixture!.aio.acquire(first), AioApiError).message);
        startRead(fixture, 0, { owner: second });
      },
    });
    fixture = opened;
    const { aio } = fixture;
    owners.push(new ResourceOwner(aio), new ResourceOwner(aio));
    aio.enterBatchmode();
    stage(fixture, owners[0]!);
    owners[0]!.release();
    assertEquals(refused, ["Cannot acquire a handle for a resource owner that was released"]);
    assertEquals(owners.map(({ handleCount }) => handleCount), [0, 1]);
    fixture = null;
    aio.exitBatchmode();
    owners[1]!.release();
  },
  { only: STAGING },
);

testSharedCores(
  "an owner whose release goes wrong takes back all the rest",
  (fixture) => {
    const { aio } = fixture;
    const backend = backendOf(aio);
    const broken = new Error("the first handle is broken");
    const mine = new Error("as you command");
    const released: number[] = [];
    const releaseFromOwner = backend.releaseFromOwner.bind(backend);
    backend.releaseFromOwner = (handle, isOnError) => {
      released.push(handle.index);
      releaseFromOwner(handle, isOnError);
      if (released.length === 1) throw broken;
    };
    /** Stages one IO, then acquires a handle: only one can be handed out, so that comes last. */
    const leak = (owner: ResourceOwner) => {
      aio.enterBatchmode();
      startRead(fixture, 0, { owner: new ResourceOwner(aio, owner) });
      aio.acquire(new ResourceOwner(aio, owner));
    };
    assertStrictEquals(assertThrows(() => aio.withOwner((owner) => leak(owner))), broken);
    assertEquals([released.length, backend.staging.isInBatch, backend.hasHandedOut], [
      2,
      false,
      false,
    ]);
    released.length = 0;
    const error = assertThrows(() =>
      aio.withOwner((owner) => {
        leak(owner);
        throw mine;
      })
    );
    // The error is the user's; what went wrong with its handles is a warning.
    assertStrictEquals(error, mine);
    assertEquals(fixture.warnings.at(-1)?.cause, broken);
  },
  { only: STAGING },
);

testSharedCores(
  "aio.withOwner() of what acts as a promise ends when that does",
  async (fixture) => {
    const { aio } = fixture;
    const gate = Promise.withResolvers<number>();
    const owners: ResourceOwner[] = [];
    const done = aio.withOwner((owner) => {
      owners.push(owner);
      aio.acquire(owner);
      const like: PromiseLike<number> = { then: gate.promise.then.bind(gate.promise) };
      return like;
    });
    assertEquals([owners[0]!.handleCount, fixture.messages()], [1, []]);
    gate.reject(new Error("as you command"));
    await assertRejects(async () => await done, Error, "as you command");
    assertEquals([owners[0]!.handleCount, fixture.messages()], [0, []]);
  },
);
