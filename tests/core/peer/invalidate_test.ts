/**
 * invalidate_test.ts: the peer's test_invalidate: the object of a read goes away while the read is
 * on its way. The peer rolls back or drops relations of three kinds (normal, unlogged, temporary);
 * here a file's name is removed, or taken by another file, or the file is cut.
 */

import { assert, assertEquals } from "@std/assert";
import { makePage, PAGE_BYTES } from "../../support/checking_callbacks.ts";
import { type Fixture, stateOf } from "../../support/core.ts";
import { HELD } from "../../support/core_methods.ts";
import {
  contentOf,
  expectedPages,
  makeFrames,
  MEMORIES,
  outcomeOf,
  PAGES,
  type StartedPages,
  startPages,
  testPages,
  waitBy,
  WAYS,
} from "./peer.ts";

/** What happens to the file's name; its descriptor stays that of the same file. */
const REMOVALS: Readonly<Record<string, (path: string) => Promise<void>>> = {
  "removed": (path) => Deno.remove(path),
  "given to another file": async (path) => {
    await Deno.writeTextFile(`${path}_other`, "no page ".repeat(2000));
    await Deno.rename(`${path}_other`, path);
  },
};

for (const [name, remove] of Object.entries(REMOVALS)) {
  for (const memory of MEMORIES) {
    for (const way of WAYS) {
      testPages(
        `a read into ${memory} memory of a file whose name is ${name}, ${way}()`,
        async (fixture) => {
          const { aio, file } = fixture;
          const frames = makeFrames(fixture, 4, memory);
          const started = startPages(fixture, { first: 1, frames });
          await remove(file.path);
          await waitBy(aio, way, started.ref);
          assertEquals(outcomeOf(aio, started).status, "ok");
          assertEquals(contentOf(frames), expectedPages(1, 4));
          assertEquals(fixture.messages(), []);
        },
      );
    }
  }
}

testPages("a read that is staged when its file is removed", async (fixture) => {
  const { aio, file } = fixture;
  const frames = makeFrames(fixture, 4);
  aio.enterBatchmode();
  const started = startPages(fixture, { first: 1, frames });
  await Deno.remove(file.path);
  aio.exitBatchmode();
  await aio.wait(started.ref);
  assertEquals(outcomeOf(aio, started).status, "ok");
  assertEquals(contentOf(frames), expectedPages(1, 4));
  await file.close();
  assertEquals(fixture.messages(), []);
});

/** Whether an IO is executed before or after a change of its file; nobody may be able to tell. */
type Order = "before" | "after" | "unknown";

function isInFlight(fixture: Fixture, { ref, ret }: StartedPages): boolean {
  return ret.result.status === "unknown" && stateOf(fixture, ref) === "submitted";
}

/** Starts a read of blocks 1..4 and cuts the file after so many bytes. */
function readAndCut(
  fixture: Fixture,
  frames: readonly Uint8Array[],
  bytes: number,
): { started: StartedPages; order: Order } {
  const started = startPages(fixture, { first: 1, frames });
  const wasInFlight = isInFlight(fixture, started);
  fixture.file.truncateSync(bytes);
  if (!wasInFlight) return { started, order: "before" };
  // Only `held` is known not to have begun it.
  const isHeld = fixture.aio.method === HELD && isInFlight(fixture, started);
  return { started, order: isHeld ? "after" : "unknown" };
}

for (const [name, left] of [["within", 2.25], ["right before", 0], ["at a page of", 2]] as const) {
  for (const way of WAYS) {
    testPages(
      `a read of a file that is cut ${name} its pages, ${way}()`,
      async (fixture, method) => {
        const { aio, file } = fixture;
        const frames = makeFrames(fixture, 4);
        const cut = left * PAGE_BYTES;
        const { started, order } = readAndCut(fixture, frames, PAGE_BYTES + cut);
        if (method === HELD) assertEquals(order, "after");
        if (method === "sync") assertEquals(order, "before");
        await waitBy(aio, way, started.ref);
        const { status, bytes, message } = outcomeOf(aio, started);
        if (order === "before") assertEquals(status, "ok");
        if (order === "after") assertEquals(status, "partial");
        assertEquals([status, bytes], status === "ok" ? ["ok", 4 * PAGE_BYTES] : ["partial", cut]);
        if (status === "partial") {
          const where = `bytes ${PAGE_BYTES}..${5 * PAGE_BYTES - 1} in file`;
          const what = `${where} ${JSON.stringify(file.path)}: read only ${cut} of 2048 bytes`;
          assertEquals(message, `could not read ${what}`);
        }
        const pages = Math.floor(bytes / PAGE_BYTES);
        assertEquals(contentOf(frames).slice(0, pages), expectedPages(1, pages));
        assertEquals(fixture.messages(), []);
      },
    );
  }
}

testPages("readAt() of a file that is cut meanwhile ends at its end", async (fixture, method) => {
  const { file } = fixture;
  const page = new Uint8Array(2 * PAGE_BYTES);
  const read = file.readAt(page, (PAGES - 2) * PAGE_BYTES);
  file.truncateSync((PAGES - 1) * PAGE_BYTES);
  const bytes = await read;
  if (method === HELD) assertEquals(bytes, PAGE_BYTES);
  if (method === "sync") assertEquals(bytes, 2 * PAGE_BYTES);
  assert(bytes === PAGE_BYTES || bytes === 2 * PAGE_BYTES);
  assertEquals(page.slice(0, PAGE_BYTES), makePage(PAGES - 2));
  assertEquals(await file.readAt(page, (PAGES - 1) * PAGE_BYTES), 0);
});
