/**
 * The checksum of one data page, as PostgreSQL computes it since version 9.3.
 *
 * A page is read as rows of 32 words of 32 bits. Each of the 32 columns is hashed on its own with a
 * variant of FNV-1a, each from its own starting value, then the 32 hashes are folded into one, the
 * block number is mixed in, and the result is squeezed into 1..65535. `verify.ts` is the caller;
`simd_hash.ts` hashes the columns faster where the machine can.
 *
 * Words are in the machine's byte order, as in the server: little-endian wherever Deno runs.
 *
 * @module
 */

/** The words that the page checksum takes as one row. */
const ROW_WORDS = 32;
export const FNV_PRIME = 16777619;
/** By how many bits a hash is shifted in each round. */
export const HASH_SHIFT = 17;

/** Starting values of the 32 columns: part of the on-disk format. */
export const COLUMN_SEEDS = new Uint32Array([
  // deno-fmt-ignore
  0x5b1f36e9,
  0xb8525960,
  0x02ab50aa,
  0x1de66d2a,
  0x79ff467a,
  0x9bb9f8a3,
  0x217e7cd2,
  0x83e13d2c,
  // deno-fmt-ignore
  0xf8d4474f,
  0xe39eb970,
  0x42c6ae16,
  0x993216fa,
  0x7b093b5d,
  0x98daff3c,
  0xf718902a,
  0x0b1c9cdb,
  // deno-fmt-ignore
  0xe58f764b,
  0x187636bc,
  0x5d7b3bb1,
  0xe73de7de,
  0x92bec979,
  0xcca6c0b2,
  0x304a0979,
  0x85aa43d4,
  // deno-fmt-ignore
  0x783125bb,
  0x6ca8eaa2,
  0xe407eac6,
  0x4b5cfc3e,
  0x9fbf8c76,
  0x15ca20be,
  0xf2ca9fd3,
  0x959bd756,
]);

/** Word of the page header with pd_checksum in its low half and pd_flags in its high half. */
export const CHECKSUM_WORD = 2;
/** The bits of that word that the hash takes in. */
export const NOT_CHECKSUM = 0xffff0000;
/** Word of the page header with pd_lower in its low half and pd_upper in its high half. */
const UPPER_WORD = 3;

/**
 * Whether a page was added to its relation but never written: pd_upper is zero. Such a page has no
 * checksum, whatever else it holds.
 *
 * @param words The words of one or more pages.
 * @param start The index of the page's first word.
 */
export function isNewPage(words: Uint32Array, start: number): boolean {
  return words[start + UPPER_WORD]! >>> 16 === 0;
}

/**
 * The checksum that a page carries in its header.
 *
 * @param words The words of one or more pages.
 * @param start The index of the page's first word.
 */
export function storedChecksum(words: Uint32Array, start: number): number {
  return words[start + CHECKSUM_WORD]! & 0xffff;
}

/**
 * The checksum that a page ought to carry.
 *
 * @param words The words of one or more pages.
 * @param start The index of the page's first word.
 * @param pageWords The words of a page.
 * @param blockNumber The page's number in its relation (not in its segment file).
 * @param hash Hashes the page: {@linkcode hashColumns}, or something faster.
 */
export function pageChecksum(
  words: Uint32Array,
  start: number,
  pageWords: number,
  blockNumber: number,
  hash: PageHash = hashColumns,
): number {
  return (((hash(words, start, pageWords) ^ blockNumber) >>> 0) % 0xffff) + 1;
}

/**
 * Hashes the 32 columns of a page, and folds the hashes into one. The field that holds the checksum
 * counts as zero.
 */
export type PageHash = (words: Uint32Array, start: number, pageWords: number) => number;

/** {@linkcode PageHash} as plain JavaScript: the field is zero in `words` while this runs. */
export function hashColumns(words: Uint32Array, start: number, pageWords: number): number {
  const checksumWord = words[start + CHECKSUM_WORD]!;
  words[start + CHECKSUM_WORD] = checksumWord & NOT_CHECKSUM;
  let hash = 0;
  for (let column = 0; column < ROW_WORDS; column += 2) {
    hash ^= hashTwoColumns(words, start, start + pageWords, column);
  }
  words[start + CHECKSUM_WORD] = checksumWord;
  return hash;
}

/**
 * The hashes of two neighbouring columns, folded into one. Two at a time is what V8 runs fastest:
 * one alone waits for its multiplications, and with more the sums leave the registers.
 */
function hashTwoColumns(words: Uint32Array, start: number, end: number, column: number): number {
  let first: number = COLUMN_SEEDS[column]!;
  let second: number = COLUMN_SEEDS[column + 1]!;
  for (let index = start + column; index < end; index += ROW_WORDS) {
    first = mix(first ^ words[index]!);
    second = mix(second ^ words[index + 1]!);
  }
  // Two more rounds with nothing, so that the last row's bits spread too.
  return mix(mix(first)) ^ mix(mix(second));
}

function mix(hash: number): number {
  return Math.imul(hash, FNV_PRIME) ^ (hash >>> HASH_SHIFT);
}
