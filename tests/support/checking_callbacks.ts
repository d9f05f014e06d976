/**
 * checking_callbacks.ts: a module of callbacks that checks pages as a buffer manager does when it
 * has read them, for the option `callbackModules`: every thread loads it.
 *
 * ```text
 * page        │ magic 4 │ block 4 │ checksum 4 │ content 500 │     all zeros: a new page, valid too
 * handle data   the block number of each buffer: one page a buffer
 * data byte     CHECK_FLAGS, as the issuer had them when it started the IO
 * error data    │ invalid pages 8 │ index of the first 7 │ zeroed 1 │
 * ```
 *
 * The file's own layer (`fileReadv`) runs first: its errors are handed on, and of a short read the
 * pages that came are checked.
 *
 * @module
 */

import { type AioCallbacks, type CallbackHandle, defineCallbacks } from "../../core/io/callback.ts";
import { FILE_TARGET } from "../../core/io/target.ts";
import type { AioResult } from "../../core/io/result.ts";
import { fromWords } from "../../ffi/memory.ts";
import { contentAt } from "./prng.ts";

/** The option `callbackModules` of whoever wants this one. */
export const CHECKING_MODULES: readonly URL[] = [new URL(import.meta.url)];
/** Bytes of a page. */
export const PAGE_BYTES = 512;
/** The flags that an IO is registered with, so that any thread may complete it. */
export const CHECK_FLAGS = { zeroOnError: 1, zeroDamagedPages: 2 } as const;
/** What is set in this thread, as PostgreSQL's setting of that name is in a session. */
export const settings = { zeroDamagedPages: false };

const PAGE_MAGIC = 0x50a6_e001;
const HEADER = { magic: 0, block: 4, checksum: 8, size: 12 } as const;
const CONTENT_SEED = 512;

/** The pages of an IO that were not valid. */
export class InvalidPagesError extends Error {
  /**
   * Made by `report`.
   *
   * @param message which, in which file
   */
  constructor(message: string) {
    super(message);
    this.name = "InvalidPagesError";
  }
}

/** The byte to register the callback with: what this IO wants, and what is set in this thread. */
export function checkFlags(zeroOnError: boolean): number {
  return (zeroOnError ? CHECK_FLAGS.zeroOnError : 0) |
    (settings.zeroDamagedPages ? CHECK_FLAGS.zeroDamagedPages : 0);
}

/** The page that a block should hold. */
export function makePage(block: number): Uint8Array<ArrayBuffer> {
  const page = contentAt(CONTENT_SEED, block * PAGE_BYTES, PAGE_BYTES);
  const view = new DataView(page.buffer);
  view.setUint32(HEADER.magic, PAGE_MAGIC);
  view.setUint32(HEADER.block, block);
  view.setUint32(HEADER.checksum, checksumOf(page, block));
  return page;
}

/** Whether a page is that of a block, or was never written. */
export function isValidPage(page: Uint8Array, block: number): boolean {
  const view = new DataView(page.buffer, page.byteOffset, PAGE_BYTES);
  if (view.getUint32(HEADER.magic) !== PAGE_MAGIC) return page.every((byte) => byte === 0);
  return view.getUint32(HEADER.block) === block &&
    view.getUint32(HEADER.checksum) === checksumOf(page, block);
}

/** FNV-1a over the content, begun with the block. */
function checksumOf(page: Uint8Array, block: number): number {
  let hash = 0x811c9dc5 ^ block;
  for (let i = HEADER.size; i < PAGE_BYTES; i++) hash = Math.imul(hash ^ page[i]!, 0x01000193);
  return hash >>> 0;
}

/**
 * The files of this thread's IOs in words, by slot and generation: `report` is given only these.
 */
const fileNames = new Map<string, string>();

function fileKey(targetData: Int32Array): string {
  return `${targetData[FILE_TARGET.slot]}:${targetData[FILE_TARGET.slotGeneration]}`;
}

function rememberFile(handle: CallbackHandle): void {
  const name = handle.describeTarget().replace(/^bytes \d+\.\.\d+ in /, "");
  fileNames.set(fileKey(handle.targetData), name);
}

function checkPages(handle: CallbackHandle, prior: AioResult, flags: number): AioResult {
  if (prior.status === "error") return prior;
  const blocks = handle.handleData();
  const count = prior.status === "ok" ? blocks.length : Math.floor(prior.result / PAGE_BYTES);
  const pages = handle.buffers().slice(0, count);
  const invalid = pages.flatMap((page, i) => isValidPage(page, blocks[i]!) ? [] : [i]);
  const [first] = invalid;
  if (first === undefined) return prior;
  const isZeroing = (flags & (CHECK_FLAGS.zeroOnError | CHECK_FLAGS.zeroDamagedPages)) !== 0;
  if (isZeroing) { for (const i of invalid) pages[i]!.fill(0); }
  prior.status = isZeroing ? "warning" : "error";
  prior.errorData = invalid.length << 8 | first << 1 | Number(isZeroing);
  return prior;
}

function reportPages({ errorData }: AioResult, targetData: Int32Array): InvalidPagesError {
  const count = errorData >> 8;
  const isZeroing = (errorData & 1) !== 0;
  const offset = fromWords(
    targetData[FILE_TARGET.offsetLow]!,
    targetData[FILE_TARGET.offsetHigh]!,
  );
  const begin = offset / PAGE_BYTES;
  const end = begin + targetData[FILE_TARGET.length]! / PAGE_BYTES - 1;
  const first = begin + (errorData >> 1 & 0x7f);
  const file = fileNames.get(fileKey(targetData)) ?? "a file of another thread";
  if (count === 1) {
    const remedy = isZeroing ? "; zeroing out page" : "";
    return new InvalidPagesError(`invalid page in block ${first} of ${file}${remedy}`);
  }
  const what = `${isZeroing ? "zeroing out " : ""}${count} invalid pages`;
  return new InvalidPagesError(
    `${what} among blocks ${begin}..${end} of ${file}: ` +
      `Block ${first} held the first ${isZeroing ? "zeroed" : "invalid"} page.`,
  );
}

/** The callbacks by name. */
export const callbacks: Readonly<Record<string, AioCallbacks>> = {
  checkedPages: defineCallbacks({
    stage: rememberFile,
    completeShared: checkPages,
    report: reportPages,
  }),
};
