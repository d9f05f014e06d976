/**
 * read_outcome.ts: what a read of several pages tells about those that were not right, in the 23
 * bits that a result has for it, as PostgreSQL packs them; and in PostgreSQL's words.
 *
 * @module
 */

const COUNT_BITS = 7;
const COUNT_MAX = (1 << COUNT_BITS) - 1;
const ZEROED = 1;
const IGNORED = 2;
const WRONG_SHIFT = 2;
const IGNORED_SHIFT = WRONG_SHIFT + COUNT_BITS;
const FIRST_SHIFT = IGNORED_SHIFT + COUNT_BITS;

/** What was found. */
export interface ReadOutcome {
  /** Pages that were filled with zeros, or that are the error. */
  wrong: number;
  /** Whether they were filled with zeros. */
  isZeroed: boolean;
  /** Pages whose wrong checksum was ignored. */
  ignored: number;
  /** The first wrong page, or else the first ignored one, counted from the first that was read. */
  first: number;
}

/** Packs it. */
export function packOutcome({ wrong, isZeroed, ignored, first }: ReadOutcome): number {
  return (isZeroed ? ZEROED : 0) | (ignored > 0 ? IGNORED : 0) |
    Math.min(wrong, COUNT_MAX) << WRONG_SHIFT | Math.min(ignored, COUNT_MAX) << IGNORED_SHIFT |
    Math.min(first, COUNT_MAX) << FIRST_SHIFT;
}

/** Unpacks it. */
export function unpackOutcome(errorData: number): ReadOutcome {
  return {
    isZeroed: (errorData & ZEROED) !== 0,
    wrong: errorData >> WRONG_SHIFT & COUNT_MAX,
    ignored: errorData >> IGNORED_SHIFT & COUNT_MAX,
    first: errorData >> FIRST_SHIFT & COUNT_MAX,
  };
}

/**
 * Puts it into words.
 *
 * @param block the first block of the read
 * @param count how many blocks it was
 * @param file the file, in words
 */
export function describeOutcome(
  outcome: ReadOutcome,
  block: number,
  count: number,
  file: string,
): string {
  const { wrong, isZeroed, ignored, first } = outcome;
  const range = `among blocks ${block}..${block + count - 1} of ${file}`;
  const one = `in block ${block + first} of ${file}`;
  if (isZeroed && ignored > 0) {
    return `zeroing ${wrong} page(s) and ignoring ${ignored} checksum failure(s) ${range}`;
  }
  if (isZeroed) {
    if (wrong === 1) return `invalid page ${one}; zeroing out page`;
    return `zeroing out ${wrong} invalid pages ${range}; ` +
      `block ${block + first} held the first zeroed page`;
  }
  if (wrong > 0) {
    if (wrong === 1) return `invalid page ${one}`;
    return `${wrong} invalid pages ${range}; block ${block + first} held the first invalid page`;
  }
  if (ignored === 1) return `ignoring checksum failure ${one}`;
  return `ignoring ${ignored} checksum failures ${range}; ` +
    `block ${block + first} held the first ignored page`;
}
