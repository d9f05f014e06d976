/**
 * alone_test.ts: the longest sleep of an event loop, with other threads and without: it looks for
 * threads that died half-way only where there are others.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { ALONE_MS, CHECK_ALIVE_MS } from "../../../core/base/pauses.ts";
import { PollWatch } from "../../support/bells/bells.ts";
import { openUring, Pipe, startRawRead, testEachForm } from "../../support/rings/uring.ts";
import { shareUringThread } from "../../support/rings/uring_attached.ts";

const startUringWorker = shareUringThread();

testEachForm("an event loop sleeps longer where no other thread is attached", async (form) => {
  await using fixture = await openUring(form, { dozeMicroseconds: 0 });
  const { aio } = fixture;
  using pipe = await Pipe.open();
  using watch = new PollWatch(backendOf(aio).libc, () => false);
  const sleepFor = async () => {
    const awaited = aio.wait(startRawRead(fixture, pipe.fd).ref);
    const { timeoutMs } = await watch.untilParked();
    pipe.write();
    await awaited;
    return timeoutMs;
  };
  assertEquals(await sleepFor(), ALONE_MS);
  {
    await using _other = await startUringWorker(fixture, form);
    assertEquals(await sleepFor(), CHECK_ALIVE_MS);
  }
  assertEquals(await sleepFor(), ALONE_MS);
});
