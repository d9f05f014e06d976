/**
 * memory.ts: addresses as numbers, alignment, and entries of `poll(2)` in memory.
 *
 * An address of user space has at most 52 bits, so a Number holds it exactly and no BigInt is
 * needed to put it into an `iovec`. The address itself comes from {@linkcode Libc.addressOf}.
 *
 * @module
 */

import { POLLFD_WORDS, POLLIN } from "./layout.ts";

const TWO_POW_32 = 4294967296;
const TWO_POW_MINUS_32 = 1 / TWO_POW_32;

/** The low 32 bits of an address or offset, as the Int32 that a word of shared memory holds. */
export function lowWord(value: number): number {
  return value | 0;
}

/** The high 32 bits of an address or offset below 2^53. */
export function highWord(value: number): number {
  return (value * TWO_POW_MINUS_32) | 0;
}

/** The number whose two halves are given; exact below 2^53. */
export function fromWords(low: number, high: number): number {
  return (high >>> 0) * TWO_POW_32 + (low >>> 0);
}

/** Whether a value is a multiple of an alignment; for values beyond 32 bits too. */
export function isAligned(value: number, alignment: number): boolean {
  return value % alignment === 0;
}

/** The least multiple of an alignment that is not below a value. */
export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

/** Whether a value is a power of two. */
export function isPowerOfTwo(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && 2 ** Math.round(Math.log2(value)) === value;
}

/** Of the word of a `pollfd` that has the events, too. */
const REVENTS_SHIFT = 16;

/** Fills an entry. The system skips a negative descriptor. */
export function setPollfd(pollfds: Int32Array, at: number, fd: number): void {
  pollfds[at + POLLFD_WORDS.fd] = fd;
  pollfds[at + POLLFD_WORDS.events] = POLLIN;
}

/** Whether the last poll found something at an entry. */
export function isPollfdReady(pollfds: Int32Array, at: number): boolean {
  return pollfds[at + POLLFD_WORDS.events]! >>> REVENTS_SHIFT !== 0;
}
