/**
 * crc32c_test.ts: the checksum of pg_control, on values from RFC 3720, appendix B.4.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { crc32c } from "../../../examples/pg_checksums/crc32c.ts";

Deno.test("crc32c() of 32 zeros, 32 ones, and 32 bytes up and down is as published", () => {
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assertEquals(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assertEquals(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assertEquals(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c);
});

Deno.test("crc32c() of nothing is zero", () => {
  assertEquals(crc32c(new Uint8Array()), 0);
});
