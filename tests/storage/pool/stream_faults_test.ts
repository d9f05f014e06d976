/**
 * stream_faults_test.ts: a read stream through a pool when something is wrong: a block that cannot
 * be read, the end of the file, a page that its verifier refuses. Pages before it come, the error
 * names the block, and the stream can be reset.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { PoolStreamOptions } from "../../../mod.ts";
import {
  checkPage,
  leftIn,
  PAGE_BYTES,
  type PoolCase,
  testPoolCase,
} from "../../support/pool/pool_case.ts";
import { until } from "../../support/patience.ts";
import { brokenDisk } from "../../support/pool/pool_faults.ts";
import { BAD_CHECKSUM, INVALID } from "../fixtures/page_verifiers.ts";

const MODULE = new URL("../fixtures/page_verifiers.ts", import.meta.url);
const EIO = 5;
const NEEDS = { options: { ioCombineLimit: 8, effectiveIoConcurrency: 4 } } as const;
const VERIFIED = {
  verify: "firstByte",
  options: { ...NEEDS.options, callbackModules: [MODULE] },
} as const;

/** A stream, and how its pages are taken. */
function streamOf({ pool, file }: PoolCase, options: PoolStreamOptions, isBlocking: boolean) {
  const stream = pool.readStream(file, options);
  return { stream, next: async () => isBlocking ? stream.nextSync() : await stream.next() };
}

/** Takes pages up to an error. @returns their blocks, and the error */
async function untilError(
  next: () => Promise<{ block: number; bytes: Uint8Array } | null>,
): Promise<{ blocks: number[]; error: Error }> {
  const blocks: number[] = [];
  const error = await assertRejects(async () => {
    for (let page = await next(); page !== null; page = await next()) {
      checkPage(page);
      blocks.push(page.block);
    }
  }, Error);
  return { blocks, error };
}

function upTo(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}

for (const isBlocking of [false, true]) {
  const how = isBlocking ? "blocking" : "awaiting";

  testPoolCase(`${how}: the pages before each block that cannot be read come`, async (it) => {
    for (const bad of [0, 1, 9, 15, 16, 17, 22, it.blocks - 1]) {
      const { stream, next } = streamOf(it, { full: true }, isBlocking);
      {
        using _disk = brokenDisk(it.aio, (block) => block === bad, EIO);
        const { blocks, error } = await untilError(next);
        assertEquals(blocks, upTo(bad));
        assert(error.message.startsWith(`could not read blocks ${bad}..`), error.message);
        assertEquals([Reflect.get(error, "code"), Reflect.get(error, "offset")], [
          "EIO",
          bad * PAGE_BYTES,
        ]);
        assertEquals(await assertRejects(next), error, "until it is reset");
        assertEquals(it.pool.pages().filter((row) => row.pinningBackends.length > 0), []);
      }
      stream.reset();
      for (let block = 0; block < it.blocks; block++) {
        const page = await next();
        assertEquals(page!.block, block);
        checkPage(page!);
      }
      assertEquals(await next(), null);
      await it.pool.invalidate(it.file);
    }
  }, NEEDS);

  testPoolCase(`${how}: a stream downward tells of a block that cannot be read`, async (it) => {
    for (const bad of [it.blocks - 1, 30, 24, 23, 0]) {
      let block = it.blocks;
      const down = { full: true, next: () => block > 0 ? --block : null };
      const { stream, next } = streamOf(it, down, isBlocking);
      {
        using _disk = brokenDisk(it.aio, (block) => block === bad, EIO);
        const { blocks, error } = await untilError(next);
        assertEquals(blocks, upTo(blocks.length, it.blocks - blocks.length).reverse());
        // The system reads upward: a read that meets the block ends there, whatever is above it.
        assert(it.blocks - blocks.length - 1 - bad < 8, `${blocks.length} pages before ${bad}`);
        assert(error.message.startsWith(`could not read blocks ${bad}..`), error.message);
      }
      block = it.blocks;
      stream.reset();
      for (let i = it.blocks - 1; i >= 0; i--) assertEquals((await next())!.block, i);
      await stream.close();
      await it.pool.invalidate(it.file);
    }
  }, NEEDS);

  testPoolCase(`${how}: the pages before the end of the file come`, async (it) => {
    for (const from of [it.blocks - 1, it.blocks - 5, it.blocks - 12, it.blocks - 16, it.blocks]) {
      const { stream, next } = streamOf(it, { from, until: 60, full: true }, isBlocking);
      const { blocks, error } = await untilError(next);
      assertEquals(blocks, upTo(it.blocks - from, from));
      assert(error instanceof Deno.errors.UnexpectedEof, error.message);
      assert(error.message.startsWith(`could not read block ${it.blocks} in `), error.message);
      await stream.close();
      await it.pool.invalidate(it.file);
    }
  }, NEEDS);

  testPoolCase(`${how}: a file that is cut meanwhile ends with an error`, async (it) => {
    const { stream, next } = streamOf(it, {}, isBlocking);
    for (let block = 0; block < 3; block++) checkPage((await next())!);
    const ahead = stream.inspect().pinnedBuffers;
    await it.file.truncate(30 * PAGE_BYTES + 50);
    const { blocks, error } = await untilError(next);
    // What was read before the cut is as it was.
    assert(3 + ahead < 30);
    assertEquals(blocks, upTo(27, 3));
    assert(error instanceof Deno.errors.UnexpectedEof, error.message);
    assert(error.message.startsWith("could not read block 30 in "), error.message);
    await it.file.truncate(0);
    await it.pool.invalidate(it.file);
    stream.reset();
    await assertRejects(next, Deno.errors.UnexpectedEof, "could not read block 0 in");
  }, { ...NEEDS, isBuffered: true });

  testPoolCase(`${how}: the pages before one that its verifier refuses come`, async (it) => {
    const { next } = streamOf(it, { full: true }, isBlocking);
    const { blocks, error } = await untilError(next);
    assertEquals(blocks, upTo(21));
    assertEquals(error.message, `invalid page in block 21 of ${it.name}`);
    await it.pool.invalidate(it.file);
    const other = streamOf(it, { full: true, mode: "zeroOnError" }, isBlocking);
    const zeroed: number[] = [];
    for (let page = await other.next(); page !== null; page = await other.next()) {
      if (page.bytes.every((byte) => byte === 0)) zeroed.push(page.block);
      else checkPage(page);
    }
    assertEquals(zeroed, [21, 33, 34]);
    const messages = it.warnings.map((text) => text.replace(/ (of|among) .*/, ""));
    assertEquals(messages, ["invalid page in block 21", "zeroing out 2 invalid pages"]);
  }, { ...VERIFIED, wrong: { 21: INVALID, 33: INVALID, 34: INVALID } });

  testPoolCase(`${how}: wrong checksums of a scan are ignored on request`, async (it) => {
    const { stream, next } = streamOf(it, { full: true, ignoreChecksums: true }, isBlocking);
    const blocks: number[] = [];
    for (let page = await next(); page !== null; page = await next()) {
      assertEquals(page.bytes[1], (page.block + 1) % 251);
      blocks.push(page.block);
    }
    assertEquals(blocks, upTo(it.blocks));
    assertEquals(it.warnings.map((text) => text.slice(0, 27)), [
      "ignoring 3 checksum failure",
      "ignoring checksum failure i",
    ]);
    await stream.close();
    await it.pool.invalidate(it.file);
    const strict = await untilError(streamOf(it, { full: true }, isBlocking).next);
    assertEquals(strict.blocks, [0]);
    assert(strict.error.message.startsWith("3 invalid pages among blocks 0..7"));
    assert(strict.error.message.endsWith("block 1 held the first invalid page"));
    await it.pool.invalidate(it.file);
  }, {
    ...VERIFIED,
    wrong: { 1: BAD_CHECKSUM, 5: BAD_CHECKSUM, 6: BAD_CHECKSUM, 30: BAD_CHECKSUM },
  });
}

testPoolCase("a stream that failed, and one beside it, leave nothing pinned", async (it) => {
  using _disk = brokenDisk(it.aio, (block) => block === 20, EIO);
  const outcomes = await Promise.all(
    upTo(3).map(() => untilError(streamOf(it, {}, false).next)),
  );
  for (const { blocks } of outcomes) assertEquals(blocks, upTo(20));
  assertEquals(leftIn(it.pool).filter((block) => block < 20), []);
  await it.pool.invalidate(it.file);
}, { ...NEEDS, pages: 16 });

for (const isBlocking of [false, true]) {
  const how = isBlocking ? "blocking" : "awaiting";

  testPoolCase(`${how}: a consumer that stops early leaves IO that ends by itself`, async (it) => {
    const { stream, next } = streamOf(it, { full: true }, isBlocking);
    for (let block = 0; block < 9; block++) checkPage((await next())!);
    stream[Symbol.dispose]();
    (await it.pool.startRead(it.file, it.blocks - 1, 1))[Symbol.dispose]();
    assertEquals(it.pool.pages().filter((row) => row.pinningBackends.length > 0), []);
    await until(() => leftIn(it.pool).length === 0, "each read is over");
    for (let block = 0; block < it.blocks; block++) {
      using page = it.pool.tryRead(it.file, block);
      if (page !== null) checkPage(page);
    }
  }, NEEDS);
}
