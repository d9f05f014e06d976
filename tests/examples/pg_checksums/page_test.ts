/**
 * page_test.ts: the page checksum, on made-up pages. The expected values are those that the
 * pg_checksums of PostgreSQL 15 printed for files with these pages.
 *
 * @module
 */

import { assert, assertEquals, assertFalse, assertNotEquals } from "@std/assert";
import { isNewPage, pageChecksum, storedChecksum } from "../../../examples/pg_checksums/page.ts";

const PAGE_BYTES = 8192;
const PAGE_WORDS = PAGE_BYTES / 4;
const UPPER_OFFSET = 14;
const CHECKSUM_WORD = 2;
const BLOCKS_PER_SEGMENT = 131_072;

/** A page with byte `i` as the function says. */
function page(byteAt: (i: number) => number): Uint8Array {
  return Uint8Array.from({ length: PAGE_BYTES }, (_, i) => byteAt(i));
}

function words(...pages: Uint8Array[]): Uint32Array {
  const bytes = new Uint8Array(pages.length * PAGE_BYTES);
  for (const [index, page] of pages.entries()) bytes.set(page, index * PAGE_BYTES);
  return new Uint32Array(bytes.buffer);
}

/** A page that looks random, another for each factor. */
function patterned(factor: number): Uint8Array {
  return page((i) => (i * factor + (i >> 8)) & 0xff);
}

Deno.test("pageChecksum() is the server's, and another for each block number", () => {
  const pages = words(patterned(7));
  assertEquals(pageChecksum(pages, 0, PAGE_WORDS, 0), 0x3e33);
  assertEquals(pageChecksum(pages, 0, PAGE_WORDS, 1), 0x3e32);
  assertEquals(pageChecksum(pages, 0, PAGE_WORDS, 2 * BLOCKS_PER_SEGMENT), 0x3e37);
});

Deno.test("pageChecksum() is the server's for a page among others", () => {
  const pages = words(patterned(7), patterned(255), patterned(31));
  assertEquals(pageChecksum(pages, PAGE_WORDS, PAGE_WORDS, 2 * BLOCKS_PER_SEGMENT + 1), 0x6dda);
  assertEquals(pageChecksum(pages, 2 * PAGE_WORDS, PAGE_WORDS, 2), 0xf555);
});

Deno.test("pageChecksum() is the server's for a page of ones and a page of almost nothing", () => {
  const almostNothing = page((i) => i === UPPER_OFFSET ? 1 : 0);
  const pages = words(almostNothing, page(() => 0xff));
  assertEquals(pageChecksum(pages, 0, PAGE_WORDS, 0), 0x5467);
  assertEquals(pageChecksum(pages, PAGE_WORDS, PAGE_WORDS, 1), 0x0e1d);
});

Deno.test("pageChecksum() leaves the page as it was, and its stored checksum out", () => {
  const pages = words(patterned(7));
  const before = pages.slice();
  const checksum = pageChecksum(pages, 0, PAGE_WORDS, 0);
  assertEquals(pages, before);
  pages[CHECKSUM_WORD]! ^= 0xffff;
  assertEquals(pageChecksum(pages, 0, PAGE_WORDS, 0), checksum);
});

Deno.test("pageChecksum() changes with any bit outside the stored checksum", () => {
  const pages = words(patterned(7));
  const checksum = pageChecksum(pages, 0, PAGE_WORDS, 0);
  for (let bit = 0; bit < PAGE_BYTES * 8; bit += 13) {
    const word = bit >>> 5;
    if (word === CHECKSUM_WORD && bit % 32 < 16) continue;
    pages[word]! ^= 1 << (bit % 32);
    assertNotEquals(pageChecksum(pages, 0, PAGE_WORDS, 0), checksum, `bit ${bit}`);
    pages[word]! ^= 1 << (bit % 32);
  }
});

Deno.test("storedChecksum() is what the page's header says", () => {
  assertEquals(storedChecksum(words(patterned(7), patterned(31)), PAGE_WORDS), 0x17f8);
});

Deno.test("isNewPage() looks at pd_upper alone", () => {
  const garbage = page((i) => i === UPPER_OFFSET || i === UPPER_OFFSET + 1 ? 0 : 0xff);
  const pages = words(garbage, page((i) => i === UPPER_OFFSET + 1 ? 0x20 : 0));
  assert(isNewPage(pages, 0));
  assertFalse(isNewPage(pages, PAGE_WORDS));
});
