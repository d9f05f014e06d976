/**
 * stream_page.ts: a page of a file, as a read stream delivers it, and the error of one that it
 * cannot deliver.
 *
 * @module
 */

import { shown, systemError } from "../../core/inside.ts";

/** A page of a file, as a stream delivers it. */
export class StreamPage<T = undefined> {
  /** Its number in the file. */
  readonly block: number;
  /**
   * Its bytes, in the arena: valid until the next call of the stream. Fewer than `pageSize` where
   * the file ends within the page.
   */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** What the callback was given for it: valid likewise. */
  readonly data: T;

  /** @ignore */
  constructor(block: number, bytes: Uint8Array<SharedArrayBuffer>, data: T) {
    this.block = block;
    this.bytes = bytes;
    this.data = data;
  }
}

/** Why pages of a read are not there. */
export interface Failure {
  /** The system's error number; 0: the file ends before them. */
  readonly errno: number;
  /** The first block of the read. */
  readonly firstBlock: number;
  /** How many it had. */
  readonly count: number;
}

/** The error of a page that is not there. */
export function missingPage(
  path: string,
  block: number,
  pageSize: number,
  { errno, firstBlock, count }: Failure,
): Error {
  const what = `Cannot read block ${block} of ${shown(path)}`;
  const offset = block * pageSize;
  if (errno === 0) {
    const error = new Deno.errors.UnexpectedEof(`${what}: the file ends before it`);
    return Object.assign(error, { path, offset, block });
  }
  const whole = count === 1 ? "" : `, read with blocks ${firstBlock} to ${firstBlock + count - 1}`;
  const fields = { syscall: "preadv", path, offset, length: pageSize };
  return Object.assign(systemError(errno, `${what}${whole}`, fields), { block });
}
