/**
 * CRC-32C (Castagnoli), the checksum of pg_control. `control_file.ts` is its only user; data pages
 * have another checksum, in `page.ts`.
 *
 * @module
 */

/** The Castagnoli polynomial, its bits in reverse. */
const POLYNOMIAL = 0x82f63b78;

/** The CRC of each byte on its own. */
const BYTE_CRCS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) {
    crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
  }
  return crc;
});

/**
 * The CRC-32C of some bytes.
 *
 * @param bytes What to sum.
 * @returns An unsigned 32-bit number.
 */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ BYTE_CRCS[(crc ^ byte) & 0xff]!;
  return (crc ^ 0xffffffff) >>> 0;
}
