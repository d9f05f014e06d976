/** wal_target_test.ts: IO on segments of a log is named by the segment. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Aio } from "../../../mod.ts";
import { segmentOf } from "../../../storage/log/wal_target.ts";
import { POINT } from "../../support/flush_failures.ts";
import { BUFFER_BYTES, recordOf, SEGMENT_BYTES, testLog } from "../../support/log/log_fixture.ts";
import { keeping, type Line } from "../../support/log_lines.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { tempDir } from "../../support/temp.ts";

const RECORD = recordOf(1, 100);

/** Does something, and says what all IO was about that ended meanwhile. */
async function targetsOf(
  aio: Aio,
  isCounted: (operation: string) => boolean,
  work: () => Promise<unknown>,
): Promise<Set<string>> {
  const seen = new Set<string>();
  aio.attachInjectionPoint(POINT, (handle) => {
    if (!isCounted(handle.operation)) return;
    seen.add(`${handle.targetName}: ${handle.describeTarget().replace(/^bytes [0-9.]+ in /, "")}`);
  });
  await work();
  aio.detachInjectionPoint(POINT);
  return seen;
}

testLog("appends and flushes have the target wal", async ({ aio, log, directory }) => {
  const seen = await targetsOf(aio, () => true, async () => {
    await log.append(RECORD);
    await log.append(recordOf(2, SEGMENT_BYTES));
  });
  const of = `of log ${JSON.stringify(directory)}`;
  for (const number of [0, 1]) assert(seen.has(`wal: segment ${number} ${of}`), [...seen].join());
  for (const one of seen) assert(/^wal: segment [0-9]/.test(one) && one.endsWith(of), one);
}, { sync: "fdatasync" });

testLog("reading a log has the target wal", async ({ aio, log, directory }) => {
  await log.append(RECORD);
  const until = log.flushed;
  // The ring has it no more.
  for (let bytes = 0; bytes < BUFFER_BYTES; bytes += RECORD.length) await log.append(RECORD);
  const isRead = (operation: string) => operation === "readv";
  const seen = await targetsOf(aio, isRead, () => Array.fromAsync(log.read({ until })));
  assertEquals([...seen], [`wal: segment 0 of log ${JSON.stringify(directory)}`]);
});

testLog("aio.ios() shows a log's IO as that of a segment", async ({ aio, log, directory }) => {
  const rows: unknown[] = [];
  aio.attachInjectionPoint(POINT, ({ id }) => {
    const { target, targetDesc } = aio.ios().find(({ ioId }) => ioId === id)!;
    // The next segment is made meanwhile.
    if (targetDesc?.includes("segment 1") !== true) rows.push([target, targetDesc]);
  });
  const position = await log.append(RECORD);
  aio.detachInjectionPoint(POINT);
  const bytes = `bytes ${position}..${log.flushed - 1}`;
  assertEquals(rows[0], ["wal", `${bytes} in segment 0 of log ${JSON.stringify(directory)}`]);
}, { direct: false });

testLog("a write that fails names the segment", async ({ aio, log, directory }) => {
  aio.attachInjectionPoint(POINT, ({ operation }) => operation === "writev" ? -5 : undefined);
  const words = `of segment 0 of log ${JSON.stringify(directory)}: Input/output error (EIO)`;
  await assertRejects(() => log.append(RECORD), Error, words);
  aio.detachInjectionPoint(POINT);
  await assertRejects(() => log.close());
});

testEachMethod("the lines about a log's IO name the target wal", async (method) => {
  const lines: Line[] = [];
  await using dir = await tempDir();
  await using aio = await openAio(method, keeping(lines, "debug4"));
  await using log = await aio.openLog(dir.join("log"), {
    segmentBytes: SEGMENT_BYTES,
    bufferBytes: BUFFER_BYTES,
  });
  await log.append(RECORD);
  const writes = lines.filter(([line]) => line.includes("|op writev|"));
  assert(writes.some(([line]) => line.includes("|target wal |")), writes.join("\n"));
});

Deno.test("segmentOf() names segments, those that are made, and what was closed", () => {
  assertEquals(segmentOf("/a/0000000000000012.log"), 'segment 12 of log "/a"');
  assertEquals(segmentOf("/a/0000000000000012.log.x-y.new"), 'segment 12 of log "/a"');
  assertEquals(segmentOf("/0000000000000000.log"), 'segment 0 of log "/"');
  assertEquals(segmentOf("0000000000000003.log"), 'segment 3 of log "."');
  assertEquals(segmentOf("b/000000000000000x.log"), "a segment that was closed");
  assertEquals(segmentOf(null), "a segment that was closed");
});
