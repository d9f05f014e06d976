/**
 * A small store of rows of a fixed size, used by any number of threads at once: pages in a buffer
 * pool, a checksum on each, and a log, so that what was committed is there after a crash. After a
 * power cut, too, where the disk writes 4 KiB whole; a page that a disk has torn is found by its
 * checksum, and refused: to rebuild it a log must have the page as it was, as PostgreSQL's does.
 *
 * ```sh
 * deno run -A examples/page_store.ts STORE
 * ```
 *
 * A row is first written to the log, then changed in its page. Pages are written back when a
 * background writer or the pool likes, but not before their log is durable (`beforeWrite`). A page
 * whose thread died while it changed it is made anew from the file and the log. In `page_store/`:
 * `rows.ts` is the layout of pages, `log.ts` the log, `worker.ts` the four Workers that this
 * program has write rows.
 *
 * @module
 */

import { dirname } from "node:path";
import { Aio, type AioFile, type AioToken, type FileToken, type Page } from "../mod.ts";
import type { PagePool, PoolToken } from "../mod.ts";
import { demonstrate } from "./page_store/demonstrate.ts";
import { type LogShared, makeShared, RowLog } from "./page_store/log.ts";
import { checksumOf, HEADER, headerOf, PAGE_BYTES, placeOf, ROW_BYTES } from "./page_store/rows.ts";

/** Pages by which the file grows. */
const GROWTH_PAGES = 64;
const POOL_PAGES = 256;
const READ_WRITE = { read: true, write: true, create: true } as const;

/** For `PageStore.attach()` in another thread; can be posted to Workers. */
export interface StoreToken {
  readonly aio: AioToken;
  readonly file: FileToken;
  readonly log: FileToken;
  readonly shared: LogShared;
  readonly pool: PoolToken;
}

/** What a thread has of the store. */
interface StoreParts {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly log: RowLog;
  readonly pool: PagePool;
}

/** The store, in one thread. */
export class PageStore implements AsyncDisposable {
  readonly #parts: StoreParts;
  #pageCount = 0;

  private constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  /** Opens a store, or makes one, in the files `path` and `path.log`. */
  static async open(path: string): Promise<PageStore> {
    const callbackModules = [new URL("./page_store/rows.ts", import.meta.url)];
    const aio = await Aio.open({ callbackModules });
    const file = await aio.openFile(path, READ_WRITE);
    const log = new RowLog(await aio.openFile(`${path}.log`, READ_WRITE), makeShared());
    // The names of both, if they are new.
    await aio.syncDirectory(dirname(path));
    const beforeWrite = (page: Page) => finishPage(log, page);
    const shape = { pages: POOL_PAGES, pageSize: PAGE_BYTES, verify: "pageStore" };
    const pool = await aio.openPool({ ...shape, beforeWrite });
    const store = new PageStore({ aio, file, log, pool });
    await store.#recover();
    // It ends with the pool.
    pool.startBackgroundWriter();
    return store;
  }

  /** Takes part in a store that another thread has opened. */
  static async attach(token: StoreToken): Promise<PageStore> {
    const aio = await Aio.attach(token.aio);
    const log = new RowLog(aio.attachFile(token.log), token.shared);
    const beforeWrite = (page: Page) => finishPage(log, page);
    const pool = aio.attachPool(token.pool, { beforeWrite });
    return new PageStore({ aio, file: aio.attachFile(token.file), log, pool });
  }

  /** For {@linkcode attach}. */
  get token(): StoreToken {
    const { aio, file, log, pool } = this.#parts;
    const { shared } = log;
    return { aio: aio.token, file: file.token, log: log.file.token, shared, pool: pool.token };
  }

  /** A copy of a row; null if there is none so far up. */
  async get(id: number): Promise<Uint8Array | null> {
    const { block, at } = placeOf(id);
    if (!await this.#hasBlock(block)) return null;
    using page = await this.#read(block);
    using _lock = await page.lock("shared");
    return page.bytes.slice(at, at + ROW_BYTES);
  }

  /** Changes a row. It is sure to be there after a crash once {@linkcode commit} has resolved. */
  async put(id: number, row: Uint8Array): Promise<void> {
    const { log } = this.#parts;
    const { block, at } = placeOf(id);
    await this.#grow(block);
    using page = await this.#read(block);
    using _lock = await page.lock("exclusive");
    await log.append(id, row);
    page.bytes.set(row, at);
    log.mark(page.bytes);
    page.markDirty();
  }

  /** Makes durable what this thread has put. */
  async commit(): Promise<void> {
    await this.#parts.log.sync();
  }

  /** Writes all pages back, so that the log can be forgotten. No other thread may be at work. */
  async checkpoint(): Promise<void> {
    const { file, log, pool } = this.#parts;
    await pool.flush(file);
    await file.sync();
    await log.clear();
  }

  /** Leaves the store. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { aio, file, log, pool } = this.#parts;
    await log.sync();
    // The pool first: it writes back what was changed.
    for (const part of [pool, file, log.file, aio]) await part.close();
  }

  async #hasBlock(block: number): Promise<boolean> {
    // It never becomes shorter.
    if (block >= this.#pageCount) {
      this.#pageCount = Math.floor(await this.#parts.file.size() / PAGE_BYTES);
    }
    return block < this.#pageCount;
  }

  async #grow(block: number): Promise<void> {
    const { file, pool } = this.#parts;
    while (!await this.#hasBlock(block)) {
      for (const page of await pool.extend(file, GROWTH_PAGES)) page.release();
    }
  }

  async #read(block: number): Promise<Page> {
    const { file, pool } = this.#parts;
    try {
      return await pool.read(file, block);
    } catch (error) {
      if (!(error instanceof Deno.errors.InvalidData)) throw error;
      // A thread died while it changed the page; if not, the next line fails as that one did.
      await pool.repair(file, block, (page) => this.#restore(block, page)).catch(() => {});
      return await pool.read(file, block);
    }
  }

  /** Makes a page anew: as it is in the file, with all later changes. */
  async #restore(block: number, page: Uint8Array<SharedArrayBuffer>): Promise<void> {
    const { file, log } = this.#parts;
    await file.readAt(page, block * PAGE_BYTES);
    for await (const { id, row } of log.changes()) {
      const place = placeOf(id);
      if (place.block === block) page.set(row, place.at);
    }
    log.mark(page);
  }

  /** Brings what is in the log into the pages: the last run may have ended anywhere. */
  async #recover(): Promise<void> {
    for await (const { id, row } of this.#parts.log.changes()) {
      const { block, at } = placeOf(id);
      await this.#grow(block);
      using page = await this.#read(block);
      using _lock = await page.lock("exclusive");
      page.bytes.set(row, at);
      page.markDirty();
    }
    await this.checkpoint();
  }
}

/** Before a page is written: its log is durable, and its checksum right. */
async function finishPage(log: RowLog, page: Page): Promise<void> {
  await log.syncFor(page.bytes);
  headerOf(page.bytes)[HEADER.checksum] = checksumOf(page.bytes);
}

if (import.meta.main) {
  const [path] = Deno.args;
  if (path === undefined) throw new TypeError("Usage: page_store.ts STORE");
  await demonstrate(() => PageStore.open(path));
}
