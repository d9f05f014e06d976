/**
 * crc32c_stripes.ts: what the code of crc32c_blocks.ts looks up, in a memory of its own: what a
 * byte does to the CRCs of the stripes, and what those become by the zeros that stand for the
 * stripes behind them.
 *
 * @module
 */

/** Stripes of a block: lanes of a vector. */
export const LANES = 16;
/** Bytes of a word. */
export const WORD_BYTES = 4;
/** Bytes of a stripe, of long blocks and of short ones. */
export const STRIPE_BYTES = { long: 256, short: LANES } as const;
/** Of which blocks. */
export type Size = keyof typeof STRIPE_BYTES;

/** The memory of the tables: both halves of the one of a byte. */
export const HALVES_AT = 0;
/** What a CRC becomes by zeros, by halves of its bytes: of one stripe, and of two. */
export const PAIRS_AT = { long: 256, short: 1280 } as const;
export const PAIR_BYTES = 512;
/** The same by its bytes: of twelve stripes, of eight, and of four. */
export const FOURS_AT = { long: 4096, short: 16_384 } as const;
export const FOUR_BYTES = 4096;
export const BYTE_TABLE_BYTES = 1024;
export const TABLE_PAGES = 1;
/** The memory of the tables is free from here on. */
export const TABLES_END = FOURS_AT.short + 3 * FOUR_BYTES;

/** Writes what the code looks up. */
export function fillTables({ buffer }: WebAssembly.Memory, table: Int32Array): void {
  const bytes = new Uint8Array(buffer);
  const words = new Int32Array(buffer);
  /** The table of each plane for one half of a byte. */
  const fillHalves = (at: number, sumOf: (half: number) => number) => {
    for (let half = 0; half < 16; half++) {
      const sum = sumOf(half);
      for (let plane = 0; plane < 4; plane++) bytes[at + LANES * plane + half] = sum >>> 8 * plane;
    }
  };
  fillHalves(HALVES_AT, (half) => table[half]!);
  fillHalves(HALVES_AT + 4 * LANES, (half) => table[half << 4]!);
  for (const size of ["long", "short"] as const) {
    for (const stripes of [1, 2]) {
      const bits = bitsBy(table, stripes * STRIPE_BYTES[size]);
      const at = PAIRS_AT[size] + PAIR_BYTES * (stripes - 1);
      for (let half = 0; half < 8; half++) {
        fillHalves(at + 4 * LANES * half, (value) => movedBy(bits, value << 4 * half));
      }
    }
    for (let lane = 0; lane < 3; lane++) {
      const bits = bitsBy(table, 4 * (3 - lane) * STRIPE_BYTES[size]);
      const at = (FOURS_AT[size] + FOUR_BYTES * lane) / WORD_BYTES;
      for (let i = 0; i < FOUR_BYTES / WORD_BYTES; i++) {
        words[at + i] = movedBy(bits, (i & 0xff) << 8 * (i >> 8));
      }
    }
  }
}

/** What each bit of a CRC becomes by zeros: by one of them, by two, four, and so on. */
export function bitsBy(table: Int32Array, zeros: number): Int32Array {
  let bits = Int32Array.from({ length: 32 }, (_, bit) => 1 << bit);
  let power = bits.map((sum) => (sum >>> 8) ^ table[sum & 0xff]!);
  for (let left = zeros; left > 0; left >>= 1) {
    if ((left & 1) !== 0) bits = bits.map((sum) => movedBy(power, sum));
    power = power.map((sum) => movedBy(power, sum));
  }
  return bits;
}

/** What a CRC becomes: as that is linear, what its bits become is added. */
export function movedBy(bits: Int32Array, sum: number): number {
  let moved = 0;
  for (let left = sum; left !== 0; left &= left - 1) moved ^= bits[31 - Math.clz32(left & -left)]!;
  return moved;
}
