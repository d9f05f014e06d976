/**
 * open_pool.ts: how a thread gets a pool: it makes one in the arena, or finds the one that a token
 * names.
 *
 * @module
 */

import {
  type ArenaRun,
  type Backend,
  checkToken,
  identityOf,
  layersOf,
  LAYOUT_VERSION,
  shown,
} from "../../core/inside.ts";
import type { AioCore } from "../../core/mod.ts";
import type { MemoryUser } from "../file/transfer.ts";
import { endUse, tryUse } from "../run_users.ts";
import { awaitedCalls, blockingCalls } from "./calls.ts";
import { endPage, makePage, type Page, type PageHost } from "./page.ts";
import { makePool, type PagePool, type PoolHost, type PoolToken } from "./pool.ts";
import type { AttachOpening } from "./pool_files.ts";
import { poolLayer } from "./pool_layer.ts";
import { initPool, POOL, poolBytes, PoolMemory, serialAt } from "./pool_memory.ts";
import { makeParts, partsToLeave, type PoolParts, PoolThread } from "./pool_thread.ts";

/** Most pages of a pool: a buffer's number has 24 bits. */
const PAGES_MAX = 2 ** 23;

/** What a thread adds to a pool. */
export interface AttachPoolOptions {
  /**
   * Called before this thread writes a changed page, to make a log durable. The page is locked,
   * shared; do not release it. If it returns a promise, calls that block the thread throw `Busy`.
   */
  readonly beforeWrite?: ((page: Page) => void | Promise<void>) | undefined;
}

/** What a pool is made with. */
export interface OpenPoolOptions extends AttachPoolOptions {
  /** How many pages: 16 to 8388608, as far as the arena has room for them. */
  readonly pages: number;
  /** Bytes of a page: a power of two from 512 to 65536. Default: `aio.options.pageSize`. */
  readonly pageSize?: number | undefined;
  /** The name of a verifier of a layer or of `callbackModules`, which looks at each page read. */
  readonly verify?: string | undefined;
  /** Whether no other thread may attach. Default: false. */
  readonly privateToThread?: boolean | undefined;
}

/** What opening needs of the thread. */
export interface PoolOpener {
  readonly aio: AioCore;
  readonly backend: Backend;
  /** The user's transfers. */
  readonly transfers: MemoryUser;
  readonly attach: AttachOpening;
  /** Keeps the pool until it is closed. */
  readonly pools: Set<PagePool>;
}

/** Makes a pool. */
export function openPool(opener: PoolOpener, options: OpenPoolOptions): PagePool {
  const { aio, backend } = opener;
  const { pages, pageSize = aio.options.pageSize } = options;
  checkPages(pages);
  checkPageSize(pageSize);
  const { host: { runs, arena, verifiers } } = layersOf(backend).partsOf(poolLayer);
  const shape = {
    pages,
    pageBytes: pageSize,
    fileCount: Math.min(aio.options.maxFiles, 1024),
    verifier: options.verify === undefined ? 0 : verifiers.idOf(options.verify),
    owner: options.privateToThread === true ? backend.id : -1,
    serial: crypto.getRandomValues(new Int32Array(1))[0]! | 1,
  };
  const bytes = poolBytes(shape);
  const run = runs.tryTake(bytes, (run) => {
    initPool(arena, run, shape);
    new Int32Array(arena.buffer, run.offset, POOL.size)[POOL.users] = 1 << backend.id;
  });
  if (run === null) {
    throw new Deno.errors.Busy(
      `Cannot open a pool of ${pages} pages of ${pageSize} bytes: the arena has no run of ` +
        `${bytes} free bytes; raise the option "arenaBytes", now ${arena.bytes}`,
    );
  }
  return poolIn(opener, run, options);
}

/** Uses the pool that a token names. */
export function attachPool(
  opener: PoolOpener,
  token: PoolToken,
  options: AttachPoolOptions = {},
): PagePool {
  const { backend } = opener;
  checkToken("attach a pool", token, "deno-aio pool");
  const [low, high] = identityOf(backend.control);
  if (token.identity?.[0] !== low || token.identity[1] !== high) {
    throw new TypeError("Cannot attach a pool whose token is of another aio: open one in this aio");
  }
  for (const { token: { serial } } of opener.pools) {
    if (serial !== token.serial) continue;
    throw new Deno.errors.Busy("Cannot attach a pool that this thread has already: use that");
  }
  const { host: { arena, runs } } = layersOf(backend).partsOf(poolLayer);
  const run = { offset: token.offset, bytes: 0 };
  const isThere = () => serialAt(arena, token.offset) === token.serial;
  const closed = () => new Deno.errors.BadResource("Cannot attach a pool that was closed");
  if (!isThere()) throw closed();
  const words = new Int32Array(arena.buffer, token.offset, POOL.size);
  // Of a pool that has come there since, that is no concern of the caller's.
  if (words[POOL.owner] !== 0 && isThere()) {
    throw new Deno.errors.Busy(
      'Cannot attach a pool that is another thread\'s own: open it without "privateToThread"',
    );
  }
  if (!tryUse({ runs, run, words, at: POOL.users }, backend.id, isThere)) throw closed();
  return poolIn(opener, run, options);
}

function checkPages(pages: number): void {
  if (Number.isInteger(pages) && pages >= 16 && pages <= PAGES_MAX) return;
  throw new RangeError(
    `Cannot open a pool of ${shown(pages)} pages: an integer from 16 to ${PAGES_MAX}`,
  );
}

function checkPageSize(bytes: number): void {
  const isPower = Number.isInteger(bytes) && bytes > 0 && (bytes & bytes - 1) === 0;
  if (isPower && bytes >= 512 && bytes <= 65536) return;
  throw new RangeError(
    `Cannot open a pool with pages of ${shown(bytes)} bytes: a power of two from 512 to 65536`,
  );
}

function poolIn(opener: PoolOpener, run: ArenaRun, { beforeWrite }: AttachPoolOptions): PagePool {
  const { aio, backend, transfers, attach, pools } = opener;
  const { host: { arena, runs } } = layersOf(backend).partsOf(poolLayer);
  const memory = new PoolMemory(arena, run);
  let now: PageHost;
  const before = beforeWrite === undefined ? null : (buffer: number) => {
    const { pins } = now.awaited;
    // A pin of its own, as the hook may go on where the write does not.
    pins.again(buffer);
    pins.toWork(buffer);
    const page = makePage(now, buffer, "written");
    const end = () => {
      endPage(page);
      pins.endWork(buffer);
    };
    let done: void | Promise<void>;
    try {
      done = beforeWrite(page);
    } catch (error) {
      end();
      throw error;
    }
    if (typeof done?.then !== "function") return end();
    return Promise.resolve(done).finally(end);
  };
  const giveBack = () => runs.giveBack(run, () => serialAt(arena, run.offset) === memory.serial);
  const parts = partsOrLeave(backend, memory, giveBack, () => {
    return makeParts(aio, backend, memory, transfers, attach, before);
  });
  const use = (parts: PoolParts): PageHost =>
    now = {
      awaited: new PoolThread(parts, awaitedCalls(aio, backend, parts.end), false),
      blocking: new PoolThread(parts, blockingCalls(aio, backend), true),
    };
  const host: PoolHost = {
    ...use(parts),
    leave: () => use(partsToLeave(parts)).awaited,
    token: {
      kind: "deno-aio pool",
      version: LAYOUT_VERSION,
      identity: identityOf(backend.control),
      offset: run.offset,
      serial: memory.serial,
    },
    onClosed(isLast) {
      pools.delete(pool);
      if (isLast) giveBack();
    },
  };
  const pool = makePool(host);
  pools.add(pool);
  return pool;
}

/** Makes the parts of a thread that is a user already. Where that fails, nobody would leave. */
function partsOrLeave(
  { id }: Backend,
  { words }: PoolMemory,
  giveBack: () => void,
  make: () => PoolParts,
): PoolParts {
  try {
    return make();
  } catch (error) {
    if (endUse(words, POOL.users, id)) giveBack();
    throw error;
  }
}
