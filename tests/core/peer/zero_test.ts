/**
 * zero_test.ts: the peer's test_zero: invalid pages are zeroed instead of refused, if the reader
 * wants that or its session has it set. The wish travels with the IO, and the warning goes to its
 * issuer.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { InvalidPagesError, PAGE_BYTES, settings } from "../../support/checking_callbacks.ts";
import type { Fixture } from "../../support/core.ts";
import {
  contentOf,
  damage,
  expectedPages,
  makeFrames,
  MEMORIES,
  outcomeOf,
  readPages,
  scanPages,
  startPages,
  testPages,
  WAYS,
  zeroOnDisk,
} from "./peer.ts";
import { shareThread } from "./session.ts";

const startSession = shareThread();

const ZEROS = new Uint8Array(PAGE_BYTES);

function nameOf({ file }: Fixture): string {
  return `file ${JSON.stringify(file.path)}`;
}

/** Does something in this thread with `zero_damaged_pages` on. */
function withZeroDamagedPages<T>(fn: () => T): T {
  settings.zeroDamagedPages = true;
  try {
    return fn();
  } finally {
    settings.zeroDamagedPages = false;
  }
}

for (const memory of MEMORIES) {
  const title = (what: string) => `${what}, ${memory} memory`;

  testPages(title("block 0 invalid, zeroing off: an error"), async (fixture) => {
    damage(fixture, 0);
    const frames = makeFrames(fixture, 1, memory);
    const outcome = await readPages(fixture, { first: 0, frames });
    const message = `invalid page in block 0 of ${nameOf(fixture)}`;
    assertEquals(outcome, { status: "error", bytes: PAGE_BYTES, message });
  });

  testPages(title("block 0 invalid, zeroing on: a warning, and zeros"), async (fixture) => {
    damage(fixture, 0);
    const frames = makeFrames(fixture, 1, memory);
    const outcome = await readPages(fixture, { first: 0, frames, zeroOnError: true });
    const message = `invalid page in block 0 of ${nameOf(fixture)}; zeroing out page`;
    assertEquals(outcome, { status: "warning", bytes: PAGE_BYTES, message });
    assertEquals(contentOf(frames), [ZEROS]);
  });

  for (const zeroOnError of [false, true]) {
    testPages(title(`block 0 repaired, zeroing ${zeroOnError}: silence`), async (fixture) => {
      damage(fixture, 0);
      zeroOnDisk(fixture, 0);
      const frames = makeFrames(fixture, 1, memory);
      const outcome = await readPages(fixture, { first: 0, frames, zeroOnError });
      assertEquals(outcome, { status: "ok", bytes: PAGE_BYTES, message: null });
      assertEquals(contentOf(frames), [ZEROS]);
      assertEquals(fixture.messages(), []);
    });
  }

  testPages(title("block 3 invalid, zeroing on: block 3 is named"), async (fixture) => {
    damage(fixture, 3);
    const frames = makeFrames(fixture, 1, memory);
    const outcome = await readPages(fixture, { first: 3, frames, zeroOnError: true });
    const message = `invalid page in block 3 of ${nameOf(fixture)}; zeroing out page`;
    assertEquals(outcome, { status: "warning", bytes: PAGE_BYTES, message });
  });

  testPages(title("2 and 3 of 1..4 invalid, zeroing off: an error"), async (fixture) => {
    damage(fixture, 2);
    damage(fixture, 3);
    const frames = makeFrames(fixture, 4, memory);
    const { status, message } = await readPages(fixture, { first: 1, frames });
    const expected = `2 invalid pages among blocks 1..4 of ${nameOf(fixture)}: ` +
      "Block 2 held the first invalid page.";
    assertEquals([status, message], ["error", expected]);
    // The file's content stays as it is.
    assertEquals(contentOf([frames[0]!, frames[3]!]), [1, 4].flatMap((n) => expectedPages(n, 1)));
    assertEquals(frames[1]!.every((byte) => byte === 0), false);
  });

  for (const wish of ["zeroOnError", "zeroDamagedPages"] as const) {
    testPages(title(`2 and 3 of 1..4 invalid, ${wish}: a warning`), async (fixture) => {
      damage(fixture, 2);
      damage(fixture, 3);
      const frames = makeFrames(fixture, 4, memory);
      const read = { first: 1, frames };
      const started = wish === "zeroOnError"
        ? startPages(fixture, { ...read, zeroOnError: true })
        : withZeroDamagedPages(() => startPages(fixture, read));
      // The setting is off again; it counts as it was at the start.
      await fixture.aio.wait(started.ref);
      const { status, bytes, message } = outcomeOf(fixture.aio, started);
      const expected = `zeroing out 2 invalid pages among blocks 1..4 of ${nameOf(fixture)}: ` +
        "Block 2 held the first zeroed page.";
      assertEquals([status, bytes, message], ["warning", 4 * PAGE_BYTES, expected]);
      const [first, last] = [expectedPages(1, 1)[0], expectedPages(4, 1)[0]];
      assertEquals(contentOf(frames), [first, ZEROS, ZEROS, last]);
    });
  }

  testPages(title("a scan of 16 blocks of which 2 is invalid"), async (fixture) => {
    damage(fixture, 2);
    damage(fixture, 3);
    zeroOnDisk(fixture, 3);
    const frames = makeFrames(fixture, 16, memory);
    const read = { first: 0, frames };
    await assertRejects(
      () => scanPages(fixture, read),
      InvalidPagesError,
      `invalid page in block 2 of ${nameOf(fixture)}`,
    );
    assertEquals(fixture.messages(), []);
    assertEquals(await scanPages(fixture, { ...read, zeroOnError: true }), 4);
    const warning = `invalid page in block 2 of ${nameOf(fixture)}; zeroing out page`;
    assertEquals(fixture.messages(), [warning]);
    const pages = [...expectedPages(0, 2), ZEROS, ZEROS, ...expectedPages(4, 12)];
    assertEquals(contentOf(frames), pages);
  }, { ioCombineLimit: 4 });
}

testPages("A's zeroing is not B's warning, in each way to wait", async (fixture) => {
  const { aio } = fixture;
  damage(fixture, 1);
  await using other = await startSession(fixture);
  for (const way of WAYS) {
    const before = fixture.messages();
    const frames = makeFrames(fixture, 1);
    const { ref, ret } = startPages(fixture, { first: 1, frames, zeroOnError: true });
    await other.wait(way, ref);
    assertEquals(await other.see(frames), [ZEROS], way);
    assertEquals((await other.told()).warnings, [], way);
    await aio.wait(ref);
    assertEquals([ret.result.status, fixture.messages()], ["warning", before], way);
    aio.reportResult(ret.result, ret.targetData, "warning");
    const warning = `invalid page in block 1 of ${nameOf(fixture)}; zeroing out page`;
    assertEquals(fixture.messages(), [...before, warning], way);
    assertEquals((await other.told()).warnings, [], way);
  }
});

testPages(
  "what counts is the issuer's setting, not the completer's",
  async (fixture) => {
    const { aio } = fixture;
    damage(fixture, 1);
    await using other = await startSession(fixture);
    await other.set(true);
    // The issuer's setting is off.
    const started = startPages(fixture, { first: 1, frames: makeFrames(fixture, 1) });
    await other.wait("waitSync", started.ref);
    await aio.wait(started.ref);
    assertEquals(outcomeOf(aio, started).status, "error");
    // The other way round: the Worker's setting is on, and this thread waits.
    const frames = makeFrames(fixture, 1);
    const ref = await other.start({ first: 1, frames });
    aio.waitSync(ref);
    assertEquals(contentOf(frames), [ZEROS]);
    await other.wait("wait", ref);
    await other.warn(ref);
    const warning = `invalid page in block 1 of ${nameOf(fixture)}; zeroing out page`;
    assertEquals((await other.told()).warnings, [warning]);
    assertEquals(fixture.messages(), []);
  },
);
