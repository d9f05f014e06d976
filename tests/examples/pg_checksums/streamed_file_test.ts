/**
 * streamed_file_test.ts: {@linkcode StreamedFile} is read by a stream, with pages of its own and
 * over a pool, and says where a file ends that has become shorter, and where it cannot be read.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { StreamedFile, type Tools } from "../../../examples/pg_checksums/streamed_file.ts";
import type { Part } from "../../../examples/pg_checksums/part.ts";
import { SMALL_BYTES_MAX } from "../../../examples/pg_checksums/small_file.ts";
import { PageVerifier } from "../../../examples/pg_checksums/verify.ts";
import { Work } from "../../../examples/pg_checksums/work.ts";
import { Aio } from "../../../mod.ts";
import { POINT } from "../../support/flush_failures.ts";
import { tempDir } from "../../support/temp.ts";
import { PAGE_BYTES, withChecksum } from "./program.ts";

const PAGES = 1500;
const EIO = 5;
const LAYOUT = { blockSize: PAGE_BYTES, blocksBefore: 0 };

function page(block: number): Uint8Array {
  return withChecksum(new Uint8Array(PAGE_BYTES).fill(block % 251 + 1), block);
}

/** What happens to a file once it is open. */
interface Change {
  /** It has become shorter. */
  bytesLeft?: number;
  /** One block cannot be read. */
  unreadableBlock?: number;
}

/** Checks a file of some pages. */
async function check(withPool: boolean, badBlocks: number[], change: Change = {}): Promise<Part[]> {
  await using dir = await tempDir();
  const path = dir.join("file");
  const content = new Uint8Array(PAGES * PAGE_BYTES);
  for (let block = 0; block < PAGES; block++) content.set(page(block), block * PAGE_BYTES);
  for (const block of badBlocks) content[block * PAGE_BYTES + 100]! ^= 1;
  await Deno.writeFile(path, content);

  await using aio = await Aio.open({ maxBackends: 1 });
  await using pool = withPool ? await aio.openPool({ pages: 256 }) : undefined;
  const tools: Tools = {
    aio,
    pool,
    verifier: new PageVerifier(PAGE_BYTES, SMALL_BYTES_MAX, aio.memory),
    work: new Work(1),
    direct: false,
  };
  using file = new StreamedFile(0, path, LAYOUT, tools);
  const { bytesLeft = PAGES * PAGE_BYTES, unreadableBlock = Infinity } = change;
  await Deno.truncate(path, bytesLeft);
  aio.attachInjectionPoint(POINT, ({ operationData: { offset, length } }, result) => {
    const unreadable = unreadableBlock * PAGE_BYTES;
    if (offset + length <= unreadable) return result;
    return offset < unreadable ? unreadable - offset : -EIO;
  });
  const parts = await Array.fromAsync(file.parts());
  for (const part of parts) {
    if (part.failure !== undefined) part.failure = part.failure.replace(path, "FILE");
  }
  return parts;
}

for (const withPool of [false, true]) {
  const where = withPool ? "over a pool" : "with pages of its own";

  Deno.test(`StreamedFile.parts() finds bad pages ${where}`, async () => {
    const parts = await check(withPool, [0, 1023, 1024, PAGES - 1]);
    assertEquals(parts.map(({ firstBlock, blockCount }) => [firstBlock, blockCount]), [
      [0, 1024],
      [1024, PAGES - 1024],
    ]);
    const bad = parts.flatMap(({ badPages }) => badPages.map(({ block }) => block));
    assertEquals(bad, [0, 1023, 1024, PAGES - 1]);
    assertEquals(parts.map(({ isLast }) => isLast), [false, true]);
  });

  for (const rest of [0, 1000]) {
    Deno.test(`StreamedFile.parts() fails where the file ends, ${where}, rest ${rest}`, async () => {
      const parts = await check(withPool, [1099], { bytesLeft: 1100 * PAGE_BYTES + rest });
      const { failure, isLast, badPages } = parts.at(-1)!;
      const sentence = `could not read block 1100 in file "FILE": read ${rest} of ${PAGE_BYTES}`;
      assertEquals([failure, isLast], [sentence, false]);
      assertEquals(badPages.map(({ block }) => block), [1099]);
    });
  }

  Deno.test(`StreamedFile.parts() fails at a block that cannot be read, ${where}`, async () => {
    const parts = await check(withPool, [1101, 1102, 1104], { unreadableBlock: 1103 });
    const { failure, firstBlock, blockCount, badPages } = parts.at(-1)!;
    const sentence = 'could not read block 1103 in file "FILE": Input/output error';
    assertEquals([failure, firstBlock + blockCount], [sentence, 1103]);
    assertEquals(badPages.map(({ block }) => block), [1101, 1102]);
  });
}
