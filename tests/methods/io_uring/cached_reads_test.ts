/**
 * cached_reads_test.ts: reads bypass the ring while they are likely to find their data in the page
 * cache. An IO goes through the ring if its data is not there in full, if it is not alone, or if it
 * is no read.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { replace } from "../../support/bells/bells.ts";
import { FILE_BYTES, fileContent, type Fixture, startRead } from "../../support/core.ts";
import { CAN_READ_CACHED } from "../../support/page_cache.ts";
import { tempDir } from "../../support/temp.ts";
import { openUring, Pipe, startRawRead, testEachForm } from "../../support/rings/uring.ts";
import type { RingForm } from "../../../methods/io_uring/setup.ts";
import { createIoUringMethod } from "../../../methods/io_uring.ts";
import { DEFAULT_TUNING } from "../../../methods/io_uring/tuning.ts";
import type { BackendCounters } from "../../../core/io/counters.ts";

const ENOUGH = DEFAULT_TUNING.cachedReadsMin;
const READ_BYTES = 4096;

function testCached(name: string, fn: (fixture: Fixture) => Promise<void>): void {
  const run = async (form: RingForm) => {
    await using fixture = await openUring(form, {}, createIoUringMethod(form));
    await fn(fixture);
  };
  testEachForm(name, run, 0, CAN_READ_CACHED);
}

function counters({ aio }: Fixture): BackendCounters {
  return aio.backends()[0]!.counters;
}

/** Reads one after another. @returns how many of them went without the ring */
async function readAlone(fixture: Fixture, count: number): Promise<number> {
  const { aio, file } = fixture;
  const before = counters(fixture).synchronousByMethod;
  const view = aio.alloc(READ_BYTES);
  for (let i = 0; i < count; i++) {
    assertEquals(await file.readAt(view, i), READ_BYTES);
    assertEquals(new Uint8Array(view), fileContent(i, READ_BYTES));
    view.fill(0);
  }
  aio.free(view);
  return counters(fixture).synchronousByMethod - before;
}

testCached("lone reads that were in memory are executed without the ring", async (fixture) => {
  const { aio } = fixture;
  assertEquals(await readAlone(fixture, ENOUGH), 0);
  assertEquals(await readAlone(fixture, 10), 10);
  assertEquals([aio.ios(), counters(fixture).submissions], [[], ENOUGH + 10]);
});

testCached("a blocking wait has lone reads executed likewise", async (fixture) => {
  const { aio } = fixture;
  await readAlone(fixture, ENOUGH);
  const { ref, view, ret } = startRead(fixture, 100);
  aio.waitSync(ref);
  assertEquals(ret.result.status, "ok");
  assertEquals(new Uint8Array(view), fileContent(100, view.byteLength));
  assertEquals(counters(fixture).synchronousByMethod, 1);
});

testCached("several buffers are filled without the ring, too", async (fixture) => {
  const { aio, file } = fixture;
  await readAlone(fixture, ENOUGH);
  const views = [aio.alloc(100), aio.alloc(1), aio.alloc(4000)];
  assertEquals(await file.readAt(views, 7), 4101);
  assertEquals(new Uint8Array(views[0]!), fileContent(7, 100));
  assertEquals(new Uint8Array(views[1]!), fileContent(107, 1));
  assertEquals(new Uint8Array(views[2]!), fileContent(108, 4000));
  assertEquals(counters(fixture).synchronousByMethod, 1);
});

testCached("a read that is not in memory goes through the ring", async (fixture) => {
  const { aio } = fixture;
  await readAlone(fixture, ENOUGH);
  {
    using _ = replace(backendOf(aio).libc, "preadvCached", () => -1);
    assertEquals(await readAlone(fixture, 1), 0);
  }
  // The next ones do so as well, until reads are known to be in memory again.
  assertEquals(await readAlone(fixture, ENOUGH - 1), 0);
  assertEquals(await readAlone(fixture, 2), 2);
});

testCached("a read of which a part is in memory goes through the ring", async (fixture) => {
  const { aio } = fixture;
  await readAlone(fixture, ENOUGH);
  using _ = replace(backendOf(aio).libc, "preadvCached", () => READ_BYTES / 2);
  assertEquals(await readAlone(fixture, 1), 0);
});

testCached("a read over the end of the file goes through the ring", async (fixture) => {
  const { aio, file } = fixture;
  await readAlone(fixture, ENOUGH);
  const view = aio.alloc(READ_BYTES);
  assertEquals(await file.readAt(view, FILE_BYTES - 10), 10);
  assertEquals(new Uint8Array(view.subarray(0, 10)), fileContent(FILE_BYTES - 10, 10));
  assertEquals(counters(fixture).synchronousByMethod, 0);
});

testCached("a read beside another IO goes through the ring", async (fixture) => {
  const { aio } = fixture;
  await readAlone(fixture, ENOUGH);
  using pipe = await Pipe.open();
  const { ref } = startRawRead(fixture, pipe.fd);
  assertEquals(await readAlone(fixture, 3), 0);
  pipe.write();
  await aio.wait(ref);
  assertEquals(await readAlone(fixture, 3), 3);
});

testCached("writes and flushes go through the ring", async (fixture) => {
  const { aio, file } = fixture;
  await readAlone(fixture, ENOUGH);
  const view = aio.alloc(READ_BYTES);
  view.set(fileContent(0, READ_BYTES));
  assertEquals(await file.writeAt(view, 0), READ_BYTES);
  await file.sync();
  assertEquals(counters(fixture).synchronousByMethod, 0);
});

testCached("direct reads always go through the ring", async (fixture) => {
  const { aio } = fixture;
  await readAlone(fixture, ENOUGH);
  await using dir = await tempDir();
  await Deno.writeFile(dir.join("one"), fileContent(0, FILE_BYTES));
  await using direct = await aio.openFile(dir.join("one"), { direct: "optional" });
  const view = aio.alloc(READ_BYTES);
  for (let i = 0; i < 2 * ENOUGH; i++) await direct.readAt(view, 0);
  assertEquals([direct.direct, counters(fixture).synchronousByMethod], [true, 0]);
});

testEachForm("reads too long for the event loop go through the ring", async (form) => {
  const method = createIoUringMethod(form, { ...DEFAULT_TUNING, inlineBytesMax: READ_BYTES - 1 });
  await using fixture = await openUring(form, {}, method);
  assertEquals(await readAlone(fixture, 3 * ENOUGH), 0);
});
