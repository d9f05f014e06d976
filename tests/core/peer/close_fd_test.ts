/**
 * close_fd_test.ts: the peer's test_close_fd: a file is closed while a read of it is staged or in
 * flight. Closing submits what is staged, and waits where the method needs that; nobody complains,
 * and the read gets the data of the file that it was started on, whatever file gets the number of
 * the descriptor next.
 */

import { assertEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { AioFile } from "../../../storage/file/file.ts";
import type { Fixture } from "../../support/core.ts";
import {
  contentOf,
  expectedPages,
  makeFrames,
  readPages,
  startPages,
  testPages,
  waitBy,
  type Way,
  WAYS,
} from "./peer.ts";

/** The ways to close. */
const CLOSINGS = {
  "closingFd() and closeSync()": ({ aio }: Fixture, file: AioFile) => {
    aio.closingFd(file.fd);
    file.closeSync();
  },
  "closeSync()": (_fixture: Fixture, file: AioFile) => file.closeSync(),
  "close()": (_fixture: Fixture, file: AioFile) => file.close(),
} as const;

/** Opens the file of pages a second time. */
async function openAgain({ aio, file }: Fixture): Promise<AioFile> {
  return await aio.openFile(file.path);
}

/** Makes a file that holds no page, and gets the number of the closed descriptor. */
async function openNext({ aio, file }: Fixture): Promise<AioFile> {
  const path = `${file.path}_next`;
  await Deno.writeTextFile(path, "no page ".repeat(2000));
  return await aio.openFile(path);
}

/** Starts a read in a batch, closes its file, ends the batch, and waits if that is wanted. */
async function readAndClose(
  fixture: Fixture,
  closing: keyof typeof CLOSINGS,
  way: Way | null,
): Promise<void> {
  const { aio } = fixture;
  const file = await openAgain(fixture);
  const frames = makeFrames(fixture, 3);
  aio.enterBatchmode();
  const { ref, ret } = startPages({ aio, file }, { first: 1, frames });
  await CLOSINGS[closing](fixture, file);
  assertEquals(aio.haveStaged, false);
  const next = await openNext(fixture);
  aio.exitBatchmode();
  if (backendOf(aio).method.waitOnFdBeforeClose) assertEquals(ret.result.status, "ok");
  if (way !== null) {
    await waitBy(aio, way, ref);
    assertEquals(ret.result.status, "ok");
    assertEquals(contentOf(frames), expectedPages(1, 3));
  }
  assertEquals(fixture.messages(), []);
  assertThrows(
    () => aio.withOwner((owner) => startPages({ aio, file }, { first: 1, frames }, owner)),
    Deno.errors.BadResource,
    "the file is closed",
  );
  await next.close();
}

for (const closing of Object.keys(CLOSINGS) as (keyof typeof CLOSINGS)[]) {
  for (const way of [...WAYS, null]) {
    const waiting = way === null ? "not waited for" : `then ${way}()`;
    testPages(
      `a read in a batch, its file closed by ${closing}, ${waiting}`,
      async (fixture) => {
        await readAndClose(fixture, closing, way);
        // Then a read works.
        const frames = makeFrames(fixture, 1);
        assertEquals((await readPages(fixture, { first: 1, frames })).status, "ok");
        assertEquals(contentOf(frames), expectedPages(1, 1));
      },
    );
  }
}
