/**
 * rows.ts: how `page_store.ts` keeps rows in pages and in its log, and the verifier of its pages.
 * It is a callback module: each thread that completes reads imports it.
 *
 * @module
 */

import { crc32 } from "node:zlib";

/** Bytes of a page. */
export const PAGE_BYTES = 4096;
/** Bytes of a row. */
export const ROW_BYTES = 56;
/** Bytes of a record of the log: a checksum, the number of the row, the row. */
export const RECORD_BYTES = 64;
/**
 * The words of a page's header: its checksum, and which run of the store changed it last, after how
 * many flushes of the log had begun.
 */
export const HEADER = { checksum: 0, run: 1, epoch: 2, size: 4 } as const;
const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;
const HEADER_BYTES = HEADER.size * WORD_BYTES;
const ROWS_PER_PAGE = Math.floor((PAGE_BYTES - HEADER_BYTES) / ROW_BYTES);

/** Where a row is: its block, and the byte in it. */
export function placeOf(id: number): { block: number; at: number } {
  const at = HEADER_BYTES + id % ROWS_PER_PAGE * ROW_BYTES;
  return { block: Math.floor(id / ROWS_PER_PAGE), at };
}

/** The header of a page. */
export function headerOf({ buffer, byteOffset }: Uint8Array<SharedArrayBuffer>): Int32Array {
  return new Int32Array(buffer, byteOffset, HEADER.size);
}

/** The checksum of a page, without the word that holds it. */
export function checksumOf(page: Uint8Array): number {
  return crc32(page.subarray(WORD_BYTES)) | 0;
}

/** A record of the log. */
export function recordOf(id: number, row: Uint8Array): Uint8Array {
  const record = new Uint8Array(RECORD_BYTES);
  const view = new DataView(record.buffer);
  view.setUint32(WORD_BYTES, id);
  record.set(row, RECORD_BYTES - ROW_BYTES);
  view.setInt32(0, checksumOf(record));
  return record;
}

/** What a record says; null: it never was written, or not whole. */
export function rowOf(record: Uint8Array): { id: number; row: Uint8Array } | null {
  const view = new DataView(record.buffer, record.byteOffset, RECORD_BYTES);
  if (view.getInt32(0) !== checksumOf(record)) return null;
  return { id: view.getUint32(WORD_BYTES), row: record.subarray(RECORD_BYTES - ROW_BYTES) };
}

/** Looks at each page that is read. */
export const verifiers = {
  pageStore(page: Uint8Array<SharedArrayBuffer>): "ok" | "badChecksum" {
    const isRight = headerOf(page)[HEADER.checksum] === checksumOf(page);
    return isRight || page.every((byte) => byte === 0) ? "ok" : "badChecksum";
  },
};
