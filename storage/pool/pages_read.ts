/**
 * pages_read.ts: {@linkcode PagesRead}, a read of several pages that one call begins and another
 * waits for.
 *
 * @module
 */

import { shown, type Steps } from "../../core/inside.ts";
import { makePage, type Page, type PageHost } from "./page.ts";
import { NO_BUFFER } from "./pool_memory.ts";
import type { PoolThread } from "./pool_thread.ts";
import { READ_FLAG } from "../stream/page_source.ts";
import { PageRead } from "./read_operation.ts";

/** How a page is read. */
export interface PageReadOptions {
  /**
   * What is done about a page that its verifier refuses, or that is behind the end of the file.
   * `"normal"` (default): an error. `"zeroOnError"`: it is filled with zeros, with a warning.
   * `"zero"`, only for `pool.read()` and `pool.readSync()`: nothing is read, as the page is about
   * to be written anew; it is zeros, unless it is there already.
   */
  readonly mode?: "normal" | "zero" | "zeroOnError" | undefined;
  /** Whether a wrong checksum is only a warning. Default: false. */
  readonly ignoreChecksums?: boolean | undefined;
}

/** The operation that reads some blocks. */
export function operationOf(
  { files }: Pick<PoolThread, "files">,
  file: number,
  block: number,
  count: number,
  options: PageReadOptions | undefined,
): PageRead {
  const op = new PageRead();
  op.file = file;
  op.use = files.useOf(file);
  op.block = block;
  op.count = count;
  op.buffers = new Int32Array(count).fill(NO_BUFFER);
  op.flags = flagsOfRead(options ?? {});
  return op;
}

/** What is done about pages that are not right, as bits; the mode `"zero"` reads none. */
export function flagsOfRead({ mode, ignoreChecksums }: PageReadOptions): number {
  if (mode === "zero") {
    throw new TypeError(
      'Cannot read several pages with the mode "zero": call pool.read() for each',
    );
  }
  if (mode !== undefined && mode !== "normal" && mode !== "zeroOnError") {
    throw new TypeError(
      `Cannot read pages with the mode ${shown(mode)}: "normal", "zero" or "zeroOnError"`,
    );
  }
  return (mode === "zeroOnError" ? READ_FLAG.zeroOnError : 0) |
    (ignoreChecksums === true ? READ_FLAG.ignoreChecksumFailures : 0);
}

let makePagesRead: (host: PageHost, op: PageRead, isToWait: boolean) => PagesRead;
let takeOperation: (read: PagesRead) => { readonly host: PageHost; readonly op: PageRead };

/** Several pages whose reading has begun. From `pool.startRead()`. */
export class PagesRead implements Disposable {
  /** The first block. */
  readonly block: number;
  /** How many blocks it is. */
  readonly count: number;
  /** Whether an IO is waited for; false: the page was there. */
  readonly isToWait: boolean;
  readonly #host: PageHost;
  #op: PageRead | null;

  /** @ignore */
  private constructor(host: PageHost, op: PageRead, isToWait: boolean) {
    this.#host = host;
    this.#op = op;
    this.block = op.block;
    this.count = op.count;
    this.isToWait = isToWait;
  }

  static {
    makePagesRead = (host, op, isToWait) => new PagesRead(host, op, isToWait);
    takeOperation = (read) => {
      const op = read.#op;
      if (op === null) throw new TypeError(`Cannot wait for ${shown(read)} twice`);
      read.#op = null;
      return { host: read.#host, op };
    };
  }

  /** Gives up: the pages are not pinned any more, and the IO ends by itself. */
  [Symbol.dispose](): void {
    const op = this.#op;
    this.#op = null;
    if (op === null) return;
    unpinFrom(this.#host, op, 0);
    // It ends without anybody who waits for it.
    if (op.isIssued) this.#host.awaited.backend.pump.start();
  }
}

function unpinFrom({ awaited }: PageHost, { buffers }: PageRead, from: number): void {
  for (let i = from; i < buffers.length; i++) {
    if (buffers[i] !== NO_BUFFER) awaited.pins.unpin(buffers[i]!);
    buffers[i] = NO_BUFFER;
  }
}

/** Waits for the one page of a read. */
export function* waitPage(host: PageHost, pool: PoolThread, op: PageRead): Steps<Page> {
  const { pins, reads } = pool;
  try {
    yield* reads.wait(op);
  } catch (error) {
    pins.unpin(op.buffers[0]!);
    throw error;
  }
  return pageOf(host, pool, op);
}

/** The one page of a read that is over. */
export function pageOf(
  host: PageHost,
  pool: PoolThread,
  { buffers, file, block }: Pick<PageRead, "file" | "block"> & { buffers: ArrayLike<number> },
): Page {
  const buffer = buffers[0]!;
  if (pool.isTorn(buffer)) {
    pool.pins.unpin(buffer);
    throw pool.tornError(file, block);
  }
  return makePage(host, buffer);
}

/** Begins a read. */
export function* startPages(host: PageHost, op: PageRead): Steps<PagesRead> {
  try {
    const isToWait = yield* host.awaited.reads.start(op);
    // Those that it could not begin with are another call's.
    unpinFrom(host, op, op.count);
    return makePagesRead(host, op, isToWait);
  } catch (error) {
    unpinFrom(host, op, 0);
    throw error;
  }
}

/** Waits for it. */
export function* waitPages(read: PagesRead): Steps<Page[]> {
  const { host, op } = takeOperation(read);
  try {
    if (read.isToWait) yield* host.awaited.reads.wait(op);
    for (let i = 0; i < op.count; i++) {
      if (!host.awaited.isTorn(op.buffers[i]!)) continue;
      throw host.awaited.tornError(op.file, op.block + i);
    }
  } catch (error) {
    unpinFrom(host, op, 0);
    throw error;
  }
  return Array.from({ length: op.count }, (_, i) => makePage(host, op.buffers[i]!));
}
