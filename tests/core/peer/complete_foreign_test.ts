/**
 * complete_foreign_test.ts: the peer's test_complete_foreign: A starts a read and does not wait, or is
 * gone; B waits for it and gets the page. Who completes it depends on the method: with `held` it is B,
 * with `sync` it was A. A and B are the test's thread and a Worker, both ways round. The frames are
 * memory of whoever stays: in the peer, of the buffer pool.
 */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { WaitRef } from "../../../core/wait_ref.ts";
import { InvalidPagesError, PAGE_BYTES } from "../../support/checking_callbacks.ts";
import { HELD, testEachCoreMethod } from "../../support/core_methods.ts";
import { testGone } from "./gone.ts";
import {
  contentOf,
  damage,
  expectedPages,
  makeFrames,
  openPages,
  outcomeOf,
  readPages,
  startPages,
  waitBy,
  WAYS,
} from "./peer.ts";
import { Session } from "./session.ts";

/** The lines of a log that say how an IO was completed. */
function completionsIn(logs: readonly string[], { index }: WaitRef): string[] {
  return logs.filter((line) => line.startsWith(`io ${index} `) && line.includes(": completed: "));
}

/** Whether an IO is logged as completed once, with a status, by whoever should have completed it. */
function assertCompletedBy(
  method: string,
  ref: WaitRef,
  status: string,
  logs: { issuer: readonly string[]; waiter: readonly string[] },
): void {
  const byIssuer = completionsIn(logs.issuer, ref);
  const byWaiter = completionsIn(logs.waiter, ref);
  if (method === HELD) assertEquals([byIssuer.length, byWaiter.length], [0, 1]);
  if (method === "sync") assertEquals([byIssuer.length, byWaiter.length], [1, 0]);
  for (const line of [...byIssuer, ...byWaiter]) {
    assertMatch(line, new RegExp(`\\|state COMPLETED_SHARED: completed: status ${status}, `));
  }
}

for (const way of WAYS) {
  testEachCoreMethod(`B gets the page that A started to read, ${way}()`, async (test) => {
    await using fixture = await openPages(test, { logLevel: "debug3" });
    await using other = await Session.start(fixture);
    const frames = makeFrames(fixture, 1);
    const before = fixture.logs.length;
    const { ref, ret } = startPages(fixture, { first: 1, frames });
    await other.wait(way, ref);
    assertEquals(await other.see(frames), expectedPages(1, 1));
    assertCompletedBy(test.method, ref, "OK", {
      issuer: fixture.logs.slice(before),
      waiter: (await other.told()).logs,
    });
    // A looks later, and finds it done.
    assertEquals(fixture.aio.checkDone(ref), true);
    assertEquals([ret.result.status, ret.result.result], ["ok", PAGE_BYTES]);
    assertEquals([fixture.messages(), (await other.told()).warnings], [[], []]);
  });

  testEachCoreMethod(`the test's thread gets a Worker's page, ${way}()`, async (test) => {
    await using fixture = await openPages(test, { logLevel: "debug3" });
    await using other = await Session.start(fixture);
    const frames = makeFrames(fixture, 2);
    const ref = await other.start({ first: 1, frames });
    await waitBy(fixture.aio, way, ref);
    assertEquals(contentOf(frames), expectedPages(1, 2));
    assertCompletedBy(test.method, ref, "OK", {
      issuer: (await other.told()).logs,
      waiter: fixture.logs,
    });
    await other.wait("wait", ref);
    const outcome = { status: "ok", bytes: 2 * PAGE_BYTES, message: null } as const;
    assertEquals(await other.outcome(ref), outcome);
  });
}

testGone("leaves", "wait");
testGone("ends itself", "waitSync");
testGone("is terminated", "checkDone");

for (const way of WAYS) {
  testEachCoreMethod(
    `an invalid page is A's error, and not B's who waited, ${way}()`,
    async (test) => {
      await using fixture = await openPages(test, { logLevel: "debug3" });
      const { aio, file } = fixture;
      damage(fixture, 1);
      await using other = await Session.start(fixture);
      const before = fixture.logs.length;
      const { ref, ret } = startPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
      await other.wait(way, ref);
      const told = await other.told();
      assertEquals(told.warnings, []);
      assertCompletedBy(test.method, ref, "ERROR", {
        issuer: fixture.logs.slice(before),
        waiter: told.logs,
      });
      await aio.wait(ref);
      const error = assertThrows(
        () => aio.reportResult(ret.result, ret.targetData, "error"),
        InvalidPagesError,
      );
      const message = `invalid page in block 1 of file ${JSON.stringify(file.path)}`;
      assertEquals(error.message, message);
      // B reads the page itself, and gets the error as its own.
      const own = await other.read({ first: 1, frames: makeFrames(fixture, 1) });
      assertEquals([own.status, own.message], ["error", message]);
      assertEquals([fixture.messages(), (await other.told()).warnings], [[], []]);
    },
  );
}

testEachCoreMethod("B's own reads go on while A's are completed by B", async (test) => {
  await using fixture = await openPages(test);
  await using other = await Session.start(fixture);
  for (let block = 0; block < 10; block++) {
    const frames = makeFrames(fixture, 2);
    const started = startPages(fixture, { first: block, frames: frames.slice(0, 1) });
    const ref = await other.start({ first: block + 1, frames: frames.slice(1) });
    await other.wait("waitSync", started.ref);
    await waitBy(fixture.aio, "waitSync", ref);
    await fixture.aio.wait(started.ref);
    assertEquals(outcomeOf(fixture.aio, started).status, "ok");
    assertEquals(await other.see(frames), expectedPages(block, 2));
  }
});

testEachCoreMethod("a read after all that finds nothing left over", async (test) => {
  await using fixture = await openPages(test, { maxConcurrency: 1 });
  await using other = await Session.start(fixture);
  const first = startPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
  await other.wait("waitSync", first.ref);
  // The only handle is A's again, though A never waited for what B completed.
  const outcome = await readPages(fixture, { first: 2, frames: makeFrames(fixture, 1) });
  assertEquals([outcome.status, outcomeOf(fixture.aio, first).status], ["ok", "ok"]);
});
