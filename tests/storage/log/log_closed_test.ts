/** log_closed_test.ts: what a log is good for once it was closed. */

import { assertEquals } from "@std/assert";
import { BUFFER_BYTES, recordOf, SEGMENT_BYTES, testLog } from "../../support/log/log_fixture.ts";

testLog("a closed log says where it was, whatever has its memory then", async (fixture) => {
  const { aio, log, directory } = fixture;
  const figures = () => [log.start, log.end, log.flushed, log.stats().records, log.stats().bytes];
  const positions = await log.append([1, 2, 3].map((number) => recordOf(number, 10_000)));
  await log.truncateBefore(positions[1]!);
  const before = figures();
  await log.close();
  const options = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES };
  await using other = await aio.openLog(`${directory}_other`, options);
  assertEquals(other.token.offset, log.token.offset);
  await other.append(recordOf(1, 60_000));
  assertEquals(figures(), before);
});
