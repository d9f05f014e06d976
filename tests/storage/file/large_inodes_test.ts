/**
 * large_inodes_test.ts: files whose inodes are above 2^53 and follow one another, as those of CIFS,
 * NTFS and overlays may be. Rounded to a number two of them are one.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import type { Aio, AioFile } from "../../../mod.ts";
import { testsOnFuse } from "../../support/disks/on_fuse.ts";
import { openAio } from "../../support/methods.ts";

/** What each file of the server holds. */
const FILE_BYTES = 1024 * 1024;
const PAGE_BYTES = 8192;
const WRITE = { read: true, write: true } as const;

const testOnFuse = testsOnFuse();

/** Two files whose inodes are neighbours. */
interface Neighbours {
  readonly aio: Aio;
  readonly first: AioFile;
  readonly second: AioFile;
}

function testNeighbours(name: string, use: (files: Neighbours) => Promise<void>): void {
  testOnFuse(name, async (server, method) => {
    const paths = [server.join("one"), server.join("two")] as const;
    // The server numbers them as they are asked for.
    for (const path of paths) await Deno.stat(path);
    await using aio = await openAio(method);
    await using first = await aio.openFile(paths[0], WRITE);
    await using second = await aio.openFile(paths[1], WRITE);
    await use({ aio, first, second });
  });
}

testNeighbours(
  "append() to files whose large inodes are neighbours keeps an end for each",
  async ({ aio, first, second }) => {
    assertEquals(await first.append(new Uint8Array(100)), FILE_BYTES);
    assertEquals(await second.append(new Uint8Array(10)), FILE_BYTES);
    assertEquals(await first.append(new Uint8Array(10)), FILE_BYTES + 100);
    // A second opening is of the same file all the same.
    await using again = await aio.openFile(second.path, WRITE);
    assertEquals(await again.append(new Uint8Array(10)), FILE_BYTES + 10);
  },
);

testNeighbours(
  "copyRangeTo() between files whose large inodes are neighbours is none within a file",
  async ({ aio, first, second }) => {
    assertEquals(await first.copyRangeTo(second, 0, 0, 100), 100);
    await using again = await aio.openFile(first.path, WRITE);
    await assertRejects(() => first.copyRangeTo(again, 0, 0, 100), RangeError, "overlap");
  },
);

testNeighbours(
  "openPool() has pages for each of files whose large inodes are neighbours",
  async ({ aio, first, second }) => {
    await using pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES });
    for (const file of [first, second]) (await pool.read(file, 0)).release();
    assertEquals(pool.stats().reads, 2);
  },
);
