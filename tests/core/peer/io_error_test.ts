/**
 * io_error_test.ts: the peer's test_io_error: a page that the checker refuses is an error of its
 * IO, for pages in the arena and in plain memory, however the IO is waited for and however large it
 * is. The peer's three ways (a read by hand, a sequential scan, a scan by tuple ids) are a read of
 * one page, a scan of IOs one after another, and a read of several pages at once.
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InvalidPagesError, PAGE_BYTES } from "../../support/checking_callbacks.ts";
import {
  contentOf,
  damage,
  DAMAGES,
  expectedPages,
  makeFrames,
  MEMORIES,
  readPages,
  scanPages,
  startPages,
  testPages,
  waitBy,
  WAYS,
} from "./peer.ts";

for (const memory of MEMORIES) {
  for (const way of WAYS) {
    testPages(
      `an invalid page in ${memory} memory is an error, ${way}()`,
      async (fixture) => {
        const { aio, file } = fixture;
        damage(fixture, 1);
        const { ref, ret } = startPages(fixture, {
          first: 1,
          frames: makeFrames(fixture, 1, memory),
        });
        await waitBy(aio, way, ref);
        assertEquals([ret.result.status, ret.result.result], ["error", PAGE_BYTES]);
        const error = assertThrows(
          () => aio.reportResult(ret.result, ret.targetData, "error"),
          InvalidPagesError,
        );
        assertEquals(error.message, `invalid page in block 1 of file ${JSON.stringify(file.path)}`);
        assertEquals(fixture.messages(), []);
      },
    );
  }

  testPages(`a scan in ${memory} memory stops at an invalid page`, async (fixture) => {
    damage(fixture, 1);
    const frames = makeFrames(fixture, 4, memory);
    await assertRejects(
      () => scanPages(fixture, { first: 0, frames }),
      InvalidPagesError,
      "invalid page in block 1 of ",
    );
    assertEquals(contentOf(frames).slice(0, 1), expectedPages(0, 1));
    const untouched = contentOf(makeFrames(fixture, 2, "local"));
    assertEquals(contentOf(frames.slice(2)), untouched);
  }, { ioCombineLimit: 1 });

  testPages(`one of several pages in ${memory} memory is named`, async (fixture) => {
    damage(fixture, 1);
    const frames = makeFrames(fixture, 4, memory);
    const { status, message } = await readPages(fixture, { first: 0, frames });
    const file = JSON.stringify(fixture.file.path);
    assertEquals([status, message], ["error", `invalid page in block 1 of file ${file}`]);
    const rest = contentOf([frames[0]!, ...frames.slice(2)]);
    assertEquals(rest, [...expectedPages(0, 1), ...expectedPages(2, 2)]);
  });
}

for (const kind of DAMAGES) {
  testPages(`a page whose ${kind} is not right is invalid`, async (fixture) => {
    damage(fixture, 5, kind);
    const frames = makeFrames(fixture, 1);
    assertEquals((await readPages(fixture, { first: 5, frames })).status, "error");
    assertEquals((await readPages(fixture, { first: 4, frames })).status, "ok");
    assertEquals(contentOf(frames), expectedPages(4, 1));
  });
}
