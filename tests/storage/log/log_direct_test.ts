/**
 * log_direct_test.ts: a log that is opened without `direct` writes past the page cache where that
 * can be, and through it elsewhere.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { backendOf, PAGE_SIZE_BYTES } from "../../../core/inside.ts";
import { OTHER_MAGICS, STATX, STATX_FLAGS } from "../../../ffi/layout.ts";
import { LOG_FLAGS, LogMemory } from "../../../storage/log/log_memory.ts";
import type { Aio, Log } from "../../../mod.ts";
import { directUnitHere } from "../../support/disks/direct_io.ts";
import { mountOverlay, overlayAvailable } from "../../support/disks/mounted.ts";
import { withFileSystem, withStat } from "../../support/disks/said_of_files.ts";
import { recordOf, recordsOf, SMALL } from "../../support/log/log_fixture.ts";
import { testSharedAios } from "../../support/methods.ts";
import { shareAmongTests } from "../../support/shared.ts";
import { tempDir } from "../../support/temp.ts";

const RECORD = recordOf(1, 700);
const DISK_MAJOR = 8;
/** A segment is a multiple of them, and the arena is not. */
const LARGE_BLOCK_BYTES = 65_536;
const overlayOnRamfs = shareAmongTests(() => mountOverlay({}, "ramfs"), overlayAvailable());
const unit = await directUnitHere();

function isDirect(aio: Aio, log: Log): boolean {
  const { arena } = backendOf(aio);
  const { flags } = new LogMemory(arena, { offset: log.token.offset, bytes: 0 });
  return (flags & LOG_FLAGS.direct) !== 0;
}

testSharedAios("a log is direct where the file system allows it", async (aio) => {
  await using dir = await tempDir();
  // The folder for temporary files may be a server's.
  using _type = withFileSystem(backendOf(aio).libc, OTHER_MAGICS.ext4, DISK_MAJOR);
  {
    await using log = await aio.openLog(dir.join("log"), SMALL);
    assertEquals(isDirect(aio, log), true);
    await log.append(RECORD);
  }
  await using again = await aio.openLog(dir.join("log"), { ...SMALL, direct: false });
  assertEquals([isDirect(aio, again), (await recordsOf(again)).records], [false, [RECORD]]);
}, { isPossible: unit !== null && unit <= PAGE_SIZE_BYTES });

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

/** Nothing but that blocks are large, as some systems say of files on a network. */
function haveLargeBlocks(view: DataView): void {
  const mask = view.getUint32(STATX.mask.offset, true);
  view.setUint32(STATX.mask.offset, mask & ~STATX_FLAGS.directAlign, true);
  view.setUint32(STATX.blockSize.offset, LARGE_BLOCK_BYTES, true);
}

testSharedAios("a log is buffered where its memory may not be aligned", async (aio) => {
  await using dir = await tempDir();
  using _blocks = withStat(backendOf(aio).libc, haveLargeBlocks);
  // One of them lies at such a multiple by chance.
  await using log = await aio.openLog(dir.join("log"), SMALL);
  await using other = await aio.openLog(dir.join("other"), SMALL);
  for (const one of [log, other]) {
    await one.append(RECORD);
    assertEquals((await recordsOf(one)).records, [RECORD]);
    assertEquals(isDirect(aio, one), false);
  }
}, { isPossible: unit !== null });

for (const name of ["fuse", "smb2"] as const) {
  testSharedAios(`a log on ${name} is buffered, unless it is to be direct`, async (aio) => {
    await using dir = await tempDir();
    using _type = withFileSystem(backendOf(aio).libc, OTHER_MAGICS[name]);
    for (const direct of [undefined, true]) {
      await using log = await aio.openLog(dir.join("log"), { ...SMALL, direct });
      assertEquals(isDirect(aio, log), direct === true);
      await log.append(RECORD);
    }
  }, { isPossible: unit !== null });
}
