/**
 * complete_foreign_test.ts: the peer's test_complete_foreign: A starts a read and does not wait, or
 * is gone; B waits for it and gets the page. The method decides which of them completes it: B with
 * `held`, A with `sync`. A and B are the test's thread and a Worker, both ways round. The frames
 * are memory of the one that stays; in the peer they are the buffer pool's. A pair waits in all
 * ways, one after the other, and the tests share one Worker where it stays alive, as it takes
 * longer to start than all that they do.
 */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { InvalidPagesError, PAGE_BYTES } from "../../support/checking_callbacks.ts";
import { HELD } from "../../support/core_methods.ts";
import type { Fixture } from "../../support/core.ts";
import { testGone } from "./gone.ts";
import {
  contentOf,
  damage,
  expectedPages,
  makeFrames,
  outcomeOf,
  readPages,
  startPages,
  testPages,
  waitBy,
  WAYS,
} from "./peer.ts";
import { type Session, shareThread } from "./session.ts";
import { Turns } from "../../support/turns.ts";

const startSession = shareThread();

/** The logs of the test's thread and of the Worker's. */
interface BothLogs {
  readonly own: readonly string[];
  readonly sessions: readonly string[];
}

/** The lines of a log that say how an IO was completed. */
function completionsIn(logs: readonly string[], { index }: WaitRef): string[] {
  return logs.filter((line) => line.startsWith(`io ${index} `) && line.includes(": completed: "));
}

/**
 * Whether an IO is logged as completed once, with a status, by whoever should have completed it.
 */
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

/** What A and B log from now on; earlier lines may be about the same handles. */
async function followLogs(fixture: Fixture, session: Session): Promise<() => Promise<BothLogs>> {
  const logsOf = async () => ({ own: fixture.logs, sessions: (await session.told()).logs });
  const before = await logsOf();
  const [ownCount, sessionsCount] = [before.own.length, before.sessions.length];
  return async () => {
    const { own, sessions } = await logsOf();
    return { own: own.slice(ownCount), sessions: sessions.slice(sessionsCount) };
  };
}

testPages(
  "B gets the page that A started to read, in each way to wait",
  async (fixture, method) => {
    await using other = await startSession(fixture);
    for (const way of WAYS) {
      const frames = makeFrames(fixture, 1);
      const newLogs = await followLogs(fixture, other);
      const { ref, ret } = startPages(fixture, { first: 1, frames });
      await other.wait(way, ref);
      assertEquals(await other.see(frames), expectedPages(1, 1), way);
      const { own: issuer, sessions: waiter } = await newLogs();
      assertCompletedBy(method, ref, "OK", { issuer, waiter });
      // A looks later, and finds the read done.
      assertEquals(fixture.aio.checkDone(ref), true, way);
      assertEquals([ret.result.status, ret.result.result], ["ok", PAGE_BYTES], way);
      assertEquals([fixture.messages(), (await other.told()).warnings], [[], []], way);
    }
  },
  { logLevel: "debug3" },
);

testPages(
  "the test's thread gets a Worker's page, in each way to wait",
  async (fixture, method) => {
    await using other = await startSession(fixture);
    for (const way of WAYS) {
      const frames = makeFrames(fixture, 2);
      const newLogs = await followLogs(fixture, other);
      const ref = await other.start({ first: 1, frames });
      await waitBy(fixture.aio, way, ref);
      assertEquals(contentOf(frames), expectedPages(1, 2), way);
      const { own: waiter, sessions: issuer } = await newLogs();
      assertCompletedBy(method, ref, "OK", { issuer, waiter });
      await other.wait("wait", ref);
      const outcome = { status: "ok", bytes: 2 * PAGE_BYTES, message: null } as const;
      assertEquals(await other.outcome(ref), outcome, way);
    }
  },
  { logLevel: "debug3" },
);

const turns = new Turns(3);
testGone("leaves", "wait", startSession, turns);
testGone("ends itself", "waitSync", startSession, turns);
testGone("is terminated", "checkDone", startSession, turns);

testPages(
  "an invalid page is A's error, and not B's who waited, in each way to wait",
  async (fixture, method) => {
    const { aio, file } = fixture;
    damage(fixture, 1);
    await using other = await startSession(fixture);
    for (const way of WAYS) {
      const newLogs = await followLogs(fixture, other);
      const { ref, ret } = startPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
      await other.wait(way, ref);
      assertEquals((await other.told()).warnings, [], way);
      const { own: issuer, sessions: waiter } = await newLogs();
      assertCompletedBy(method, ref, "ERROR", { issuer, waiter });
      await aio.wait(ref);
      const error = assertThrows(
        () => aio.reportResult(ret.result, ret.targetData, "error"),
        InvalidPagesError,
      );
      const message = `invalid page in block 1 of file ${JSON.stringify(file.path)}`;
      assertEquals(error.message, message, way);
      // B reads the page itself, and gets an error of its own.
      const own = await other.read({ first: 1, frames: makeFrames(fixture, 1) });
      assertEquals([own.status, own.message], ["error", message], way);
      assertEquals([fixture.messages(), (await other.told()).warnings], [[], []], way);
    }
  },
  { logLevel: "debug3" },
);

testPages("B's own reads go on while A's are completed by B", async (fixture) => {
  await using other = await startSession(fixture);
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

testPages("a read after all that finds nothing left over", async (fixture) => {
  await using other = await startSession(fixture);
  const first = startPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
  await other.wait("waitSync", first.ref);
  // The only handle is A's again, though A never waited for what B completed.
  const outcome = await readPages(fixture, { first: 2, frames: makeFrames(fixture, 1) });
  assertEquals([outcome.status, outcomeOf(fixture.aio, first).status], ["ok", "ok"]);
}, { maxConcurrency: 1 });
