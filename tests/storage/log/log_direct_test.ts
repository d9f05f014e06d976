/**
 * log_direct_test.ts: a log that is opened without `direct` writes past the page cache where that
 * can be, and through it elsewhere.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { LOG_FLAGS, LogMemory } from "../../../storage/log/log_memory.ts";
import type { Aio, Log } from "../../../mod.ts";
import { directUnitHere } from "../../support/disks/direct_io.ts";
import { mountOverlay, overlayAvailable } from "../../support/disks/mounted.ts";
import {
  recordOf,
  recordsOf,
  SEGMENT_BYTES,
  SMALL,
  testLog,
} from "../../support/log/log_fixture.ts";
import { testSharedAios } from "../../support/methods.ts";
import { shareAmongTests } from "../../support/shared.ts";

const RECORD = recordOf(1, 700);
const overlayOnRamfs = shareAmongTests(() => mountOverlay({}, "ramfs"), overlayAvailable());
const unit = await directUnitHere();

function isDirect(aio: Aio, log: Log): boolean {
  const { arena } = backendOf(aio);
  const { flags } = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  return (flags & LOG_FLAGS.direct) !== 0;
}

testLog("a log is direct where the file system allows it", async ({ aio, log, open }) => {
  assertEquals(isDirect(aio, log), unit !== null && SEGMENT_BYTES % unit === 0);
  await log.append(RECORD);
  await log.close();
  await using again = await open({ direct: false });
  assertEquals([isDirect(aio, again), (await recordsOf(again)).records], [false, [RECORD]]);
});

testSharedAios("a log is buffered where direct I/O is refused", async (aio, method) => {
  const directory = overlayOnRamfs().join(`log_${method}`);
  {
    await using log = await aio.openLog(directory, SMALL);
    assertEquals(isDirect(aio, log), false);
    await log.append(RECORD);
    assertEquals((await recordsOf(log)).records, [RECORD]);
  }
  const refused = () => aio.openLog(directory, { ...SMALL, direct: true });
  await assertRejects(refused, Deno.errors.NotSupported, "for direct I/O");
}, { isPossible: overlayAvailable() });
