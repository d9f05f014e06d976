/**
 * verify_test.ts: {@linkcode PageVerifier} finds bad pages, in its own memory and elsewhere.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { PageVerifier } from "../../../examples/pg_checksums/verify.ts";
import { PAGE_BYTES, withChecksum } from "./program.ts";

const BLOCKS_BEFORE = 262_144;
/** As an Aio's. */
const SHARED = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
const CHECKSUM_OFFSET = 8;
const UPPER_OFFSET = 14;

/** A page with its right checksum. */
function page(block: number): Uint8Array {
  const bytes = Uint8Array.from({ length: PAGE_BYTES }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
  return withChecksum(bytes, BLOCKS_BEFORE + block);
}

function field(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint16(offset, true);
}

Deno.test("PageVerifier.verify() finds a page bad that is another block's", () => {
  const verifier = new PageVerifier(PAGE_BYTES, PAGE_BYTES, SHARED);
  const [right, other] = [page(77), page(78)];
  assertEquals(verifier.verify(right, 77, BLOCKS_BEFORE), []);
  assertEquals(verifier.verify(other, 77, BLOCKS_BEFORE), [{
    block: 77,
    calculated: field(right, CHECKSUM_OFFSET),
    stored: field(other, CHECKSUM_OFFSET),
  }]);
});

Deno.test("PageVerifier.verify() reads pages in shared memory and leaves them as they are", () => {
  const verifier = new PageVerifier(PAGE_BYTES, 2 * PAGE_BYTES, SHARED);
  const shared = new Uint8Array(new SharedArrayBuffer(2 * PAGE_BYTES));
  const pages = new Uint8Array([...page(5), ...page(6)]);
  shared.set(pages);
  assertEquals(verifier.verify(shared, 5, BLOCKS_BEFORE), []);
  assertEquals(shared.slice(), pages);
  shared[2 * PAGE_BYTES - 1]! ^= 1;
  assertEquals(verifier.verify(shared, 5, BLOCKS_BEFORE).map(({ block }) => block), [6]);
});

Deno.test("PageVerifier.verify() finds the bad ones among an Aio's pages, and writes nothing", () => {
  const verifier = new PageVerifier(PAGE_BYTES, 2 * PAGE_BYTES, SHARED);
  const shared = new Uint8Array(SHARED.buffer, 3 * PAGE_BYTES, 2 * PAGE_BYTES);
  const pages = new Uint8Array([...page(5), ...page(6)]);
  shared.set(pages);
  assertEquals(verifier.verify(shared, 5, BLOCKS_BEFORE), []);
  assertEquals(shared.slice(), pages);
  shared[CHECKSUM_OFFSET]! ^= 1;
  const [stored, calculated] = [field(shared, CHECKSUM_OFFSET), field(pages, CHECKSUM_OFFSET)];
  assertEquals(verifier.verify(shared, 5, BLOCKS_BEFORE), [{ block: 5, calculated, stored }]);
});

Deno.test("PageVerifier.verify() lets a new page pass, whatever is in it", () => {
  const bytes = page(0);
  bytes.fill(0, UPPER_OFFSET, UPPER_OFFSET + 2);
  assertEquals(new PageVerifier(PAGE_BYTES, PAGE_BYTES, SHARED).verify(bytes, 1, 0), []);
});

Deno.test("PageVerifier.verifyFirst() finds the bad ones among pages in its memory", () => {
  const verifier = new PageVerifier(PAGE_BYTES, 64 * PAGE_BYTES, SHARED);
  const count = verifier.memory.length / PAGE_BYTES;
  for (let block = 0; block < count; block++) verifier.memory.set(page(block), block * PAGE_BYTES);
  const bad = [0, 3, count - 1];
  for (const block of bad) verifier.memory[(block + 1) * PAGE_BYTES - 1]! ^= 1;
  const found = verifier.verifyFirst(count, 0, BLOCKS_BEFORE);
  assertEquals(found.map(({ block }) => block), bad);
});
