/**
 * inject_test.ts: the peer's test_inject: a hook puts in errors, or results that are shorter than
 * the system's. Like the peer's hook it zeroes what was "not read", so that code that takes a short
 * read for a whole one is found out.
 */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { constants } from "node:os";
import type { CallbackHandle } from "../../../core/io/callback.ts";
import type { SystemErrorFields } from "../../../core/base/errors.ts";
import { InvalidPagesError, makePage, PAGE_BYTES } from "../../support/checking_callbacks.ts";
import type { Fixture } from "../../support/core.ts";
import {
  contentOf,
  damage,
  expectedPages,
  makeFrames,
  readPages,
  scanPages,
  startPages,
  testPages,
  WAYS,
} from "./peer.ts";

const { EAGAIN, EINTR, EIO, EROFS } = constants.errno;
const POINT = "aio-process-completion-before-shared";

/** Like {@linkcode testPages}; takes away the hooks that a test leaves at the point. */
function testInjected(name: string, fn: (fixture: Fixture) => void | Promise<void>): void {
  testPages(name, async (fixture) => {
    await fn(fixture);
    fixture.aio.detachInjectionPoint(POINT);
  });
}

function zeroFrom(handle: CallbackHandle, bytes: number): void {
  let left = bytes;
  for (const buffer of handle.buffers()) {
    buffer.fill(0, Math.min(left, buffer.length));
    left = Math.max(0, left - buffer.length);
  }
}

/** The peer's inj_io_short_read_attach(): a smaller result. @returns a count of the calls */
function attachShortRead({ aio }: Fixture, result: number): { ios: number } {
  const calls = { ios: 0 };
  aio.attachInjectionPoint(POINT, (handle, rawResult) => {
    calls.ios++;
    if (rawResult <= result) return rawResult;
    zeroFrom(handle, Math.max(0, result));
    return result;
  });
  return calls;
}

testInjected("a cap of one page shortens no read of one page", async (fixture) => {
  const calls = attachShortRead(fixture, PAGE_BYTES);
  const frames = makeFrames(fixture, 1);
  const outcome = await readPages(fixture, { first: 2, frames });
  assertEquals(outcome, { status: "ok", bytes: PAGE_BYTES, message: null });
  assertEquals([contentOf(frames), calls.ios], [expectedPages(2, 1), 1]);
});

for (const way of WAYS) {
  testInjected(`a cap of 17 bytes is a partial read that says so, ${way}()`, async (fixture) => {
    attachShortRead(fixture, 17);
    const frames = makeFrames(fixture, 1);
    const outcome = await readPages(fixture, { first: 2, frames }, way);
    const file = JSON.stringify(fixture.file.path);
    assertEquals(outcome, {
      status: "partial",
      bytes: 17,
      message: `could not read bytes 1024..1535 in file ${file}: read only 17 of 512 bytes`,
    });
    const expected = new Uint8Array(PAGE_BYTES);
    expected.set(makePage(2).subarray(0, 17));
    assertEquals(contentOf(frames), [expected]);
  });
}

for (const pages of [1, 2]) {
  testInjected(`a cap of ${pages} pages: a scan reads the rest once more`, async (fixture) => {
    attachShortRead(fixture, pages * PAGE_BYTES);
    const frames = makeFrames(fixture, 8);
    assertEquals(await scanPages(fixture, { first: 0, frames }), 8 / pages);
    assertEquals(contentOf(frames), expectedPages(0, 8));
  });

  for (const memory of ["arena", "plain"] as const) {
    const title = `a cap of ${pages} pages: readAt() into ${memory} memory gets everything`;
    testInjected(title, async (fixture) => {
      const { aio, file } = fixture;
      const calls = attachShortRead(fixture, pages * PAGE_BYTES);
      const bytes = 8 * PAGE_BYTES;
      const buffer = memory === "arena" ? aio.alloc(bytes) : new Uint8Array(bytes);
      assertEquals(await file.readAt(buffer, 3 * PAGE_BYTES), bytes);
      assertEquals(calls.ios, 8 / pages);
      const expected = expectedPages(3, 8).flatMap((page) => [...page]);
      assertEquals([...buffer], expected);
    });
  }

  testInjected(`a cap of ${pages} pages: readAtSync() gets everything`, (fixture) => {
    const calls = attachShortRead(fixture, pages * PAGE_BYTES);
    const buffer = new Uint8Array(4 * PAGE_BYTES);
    assertEquals(fixture.file.readAtSync(buffer, 0), buffer.length);
    assertEquals(calls.ios, 4 / pages);
    assertEquals([...buffer], expectedPages(0, 4).flatMap((page) => [...page]));
  });
}

testInjected("a cap of one page, and block 1 is invalid: an error", async (fixture) => {
  damage(fixture, 1);
  attachShortRead(fixture, PAGE_BYTES);
  const frames = makeFrames(fixture, 4);
  await assertRejects(
    () => scanPages(fixture, { first: 0, frames }),
    InvalidPagesError,
    "invalid page in block 1 of ",
  );
});

testInjected("the pages of a short read are checked, the others are not", async (fixture) => {
  damage(fixture, 3);
  const read = { first: 1, frames: makeFrames(fixture, 4) };
  attachShortRead(fixture, 2 * PAGE_BYTES);
  const before = await readPages(fixture, read);
  assertEquals([before.status, before.bytes], ["partial", 2 * PAGE_BYTES]);
  attachShortRead(fixture, 3 * PAGE_BYTES);
  const { status, message } = await readPages(fixture, read);
  const file = JSON.stringify(fixture.file.path);
  assertEquals([status, message], ["error", `invalid page in block 3 of file ${file}`]);
});

for (
  const [errno, code, words] of [
    [EIO, "EIO", "Input/output error"],
    [EROFS, "EROFS", "Read-only file system"],
  ] as const
) {
  testInjected(`-${code}: an error, again, and none once it is detached`, async (fixture) => {
    const { aio } = fixture;
    attachShortRead(fixture, -errno);
    const read = { first: 2, frames: makeFrames(fixture, 1) };
    const file = JSON.stringify(fixture.file.path);
    const message = `could not read bytes 1024..1535 in file ${file}: ${words} (${code})`;
    for (let round = 0; round < 3; round++) {
      assertEquals(await readPages(fixture, read), { status: "error", bytes: 0, message });
    }
    assertEquals([aio.detachInjectionPoint(POINT), aio.detachInjectionPoint(POINT)], [true, false]);
    assertEquals((await readPages(fixture, read)).status, "ok");
    assertEquals(contentOf(read.frames), expectedPages(2, 1));
    assertEquals(fixture.messages(), []);
  });

  testInjected(`-${code}: the error knows what it was about`, async (fixture) => {
    const { aio } = fixture;
    attachShortRead(fixture, -errno);
    const started = startPages(fixture, { first: 2, frames: makeFrames(fixture, 2) });
    await aio.wait(started.ref);
    const { result, targetData } = started.ret;
    const error: Error & Partial<SystemErrorFields> = assertThrows(
      () => aio.reportResult(result, targetData, "error"),
      Error,
    );
    assertEquals([error.code, error.errno, error.syscall], [code, errno, "preadv"]);
    assertEquals([error.offset, error.length], [2 * PAGE_BYTES, 2 * PAGE_BYTES]);
  });

  testInjected(`-${code}: readAt() rejects, again, and not once detached`, async (fixture) => {
    const { aio, file } = fixture;
    attachShortRead(fixture, -errno);
    const page = new Uint8Array(PAGE_BYTES);
    for (let round = 0; round < 2; round++) {
      const error: Error & Partial<SystemErrorFields> = await assertRejects(
        () => file.readAt(page, 0),
        Error,
      );
      assertEquals(error.code, code);
      assertMatch(error.message, new RegExp(words));
    }
    aio.detachInjectionPoint(POINT);
    assertEquals(await file.readAt(page, 0), PAGE_BYTES);
    assertEquals(page, makePage(0));
  });
}

for (const [errno, code] of [[EINTR, "EINTR"], [EAGAIN, "EAGAIN"]] as const) {
  testInjected(`-${code}: readAt() tries again, a read by hand does not`, async (fixture) => {
    const { aio, file } = fixture;
    let failuresLeft = 0;
    let ios = 0;
    aio.attachInjectionPoint(POINT, (handle, rawResult) => {
      ios++;
      if (failuresLeft-- <= 0) return rawResult;
      zeroFrom(handle, 0);
      return -errno;
    });
    failuresLeft = 1;
    const frames = makeFrames(fixture, 1);
    assertEquals((await readPages(fixture, { first: 0, frames })).status, "error");
    [failuresLeft, ios] = [3, 0];
    const page = new Uint8Array(PAGE_BYTES);
    assertEquals([await file.readAt(page, 0), ios], [PAGE_BYTES, 4]);
    assertEquals(page, makePage(0));
  });
}
