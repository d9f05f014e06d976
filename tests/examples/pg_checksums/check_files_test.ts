/**
 * check_files_test.ts: a thread that finds all files taken helps with those that others have taken,
 * also where they are not opened yet.
 *
 * @module
 */

import { assert, assertEquals, assertFalse, assertRejects } from "@std/assert";
import { checkFiles, type Order } from "../../../examples/pg_checksums/check_files.ts";
import type { Part } from "../../../examples/pg_checksums/part.ts";
import { SMALL_BYTES_MAX } from "../../../examples/pg_checksums/small_file.ts";
import { Work } from "../../../examples/pg_checksums/work.ts";
import { Aio } from "../../../mod.ts";
import { tempDir } from "../../support/temp.ts";
import { PAGE_BYTES, withChecksum } from "./program.ts";

const BLOCKS = 2 * SMALL_BYTES_MAX / PAGE_BYTES;

async function writeLarge(path: string): Promise<void> {
  const content = new Uint8Array(BLOCKS * PAGE_BYTES);
  for (let block = 0; block < BLOCKS; block++) {
    const page = new Uint8Array(PAGE_BYTES).fill(block | 1);
    content.set(withChecksum(page, block), block * PAGE_BYTES);
  }
  await Deno.writeFile(path, content);
}

function orderFor(aio: Aio, paths: string[], work: Work): Order {
  return {
    aio: aio.token,
    pool: undefined,
    files: paths.map((path) => ({ path, segmentNumber: 0 })),
    work: work.memory,
    control: {
      catalogVersion: 0,
      blockSize: PAGE_BYTES,
      blocksPerSegment: 131_072,
      dataChecksumVersion: 1,
    },
    direct: false,
  };
}

/** A file of the others, taken and not opened; what a thread makes of it that comes then. */
async function help(becomes: (work: Work) => void): Promise<Part[]> {
  await using dir = await tempDir();
  const path = dir.join("file");
  await writeLarge(path);
  await using aio = await Aio.open();
  const work = new Work(1);
  assertEquals(work.takeFiles(), { from: 0, until: 1 });
  const order = orderFor(aio, [path], work);
  const parts: Part[] = [];
  const helped = checkFiles(aio, undefined, order, (found) => parts.push(...found));
  becomes(work);
  // As other threads do, it keeps the event loop alive.
  const others = setInterval(() => {}, 1000);
  await helped.finally(() => clearInterval(others));
  return parts;
}

Deno.test("checkFiles() helps with a large file that is opened after all files were taken", async () => {
  const parts = await help((work) => {
    work.offerBlocks(0, BLOCKS);
    work.settle(1);
  });
  assertEquals(parts.flatMap(({ badPages }) => badPages), []);
  assertEquals(parts.reduce((sum, { blockCount }) => sum + blockCount, 0), BLOCKS);
});

Deno.test("checkFiles() ends where a file that was taken turns out to be small", async () => {
  assertEquals(await help((work) => work.settle(1)), []);
});

Deno.test("checkFiles() ends where others stop before they have opened what they took", async () => {
  const parts = await help((work) => {
    work.stopBehind(-1);
    work.offerBlocks(0, BLOCKS);
    work.settle(1);
  });
  assertEquals(parts, []);
});

Deno.test("checkFiles() that throws lets no other thread wait for what it had taken", async () => {
  await using dir = await tempDir();
  const path = dir.join("file");
  await writeLarge(path);
  await using aio = await Aio.open();
  const work = new Work(3);
  const order = orderFor(aio, [path, path, path], work);
  await using file = await aio.openFile(path);
  aio.openFileSync = () => file;
  file.sizeSync = () => {
    assertFalse(work.isAllKnown);
    throw new Error("its size cannot be asked for");
  };
  const checking = checkFiles(aio, undefined, order, () => {});
  await assertRejects(() => checking, Error, "its size cannot be asked for");
  assert(work.isAllKnown);
});
