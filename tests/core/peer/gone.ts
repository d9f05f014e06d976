/**
 * gone.ts: the check of one way to wait for each end of A, for complete_foreign_test.ts, and of all
 * ways for complete_foreign_long_test.ts.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { Fixture } from "../../support/core.ts";
import { testEachCoreMethod } from "../../support/core_methods.ts";
import { contentOf, expectedPages, makeFrames, openPages, waitBy, type Way } from "./peer.ts";
import type { Turns } from "../../support/turns.ts";
import { Session, type StartSession } from "./session.ts";

/** How A ends, with its read under way. */
export const ENDINGS = {
  "leaves": (session: Session) => session.leave(),
  "ends itself": (session: Session) => session.end(),
  "is terminated": (session: Session) => session.terminate(),
} as const;

/** As after the peer's reconnect: a new session can do all that the old one did. */
async function assertReconnects(fixture: Fixture, startSession: StartSession): Promise<void> {
  await using next = await startSession(fixture);
  const frames = makeFrames(fixture, 1);
  assertEquals((await next.read({ first: 2, frames })).status, "ok");
  assertEquals(await next.see(frames), expectedPages(2, 1));
}

/**
 * Registers, for each method, what becomes of the page that A started to read when A is gone.
 *
 * @param startSession starts the sessions that leave in peace
 * @param turns those of its subject
 */
export function testGone(
  ending: keyof typeof ENDINGS,
  way: Way,
  startSession: StartSession,
  turns: Turns | null = null,
): void {
  testEachCoreMethod(`A starts a read and ${ending}; B gets the page, ${way}()`, async (test) => {
    await using fixture = await openPages(test);
    const frames = makeFrames(fixture, 1);
    const start = ending === "leaves" ? startSession : Session.start;
    await using session = await start(fixture);
    const ref = await session.start({ first: 1, frames });
    await ENDINGS[ending](session);
    await waitBy(fixture.aio, way, ref);
    assertEquals(contentOf(frames), expectedPages(1, 1));
    await assertReconnects(fixture, startSession);
    assertEquals(fixture.messages(), []);
  }, turns === null ? {} : { turns });
}
