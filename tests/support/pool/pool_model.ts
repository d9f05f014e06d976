/**
 * pool_model.ts: random work on a pool by several threads, some of which die, against a model: how
 * often each block was changed.
 *
 * Each page says which block it is and how often it was changed, in all of its words. Whoever has
 * its lock knows what it must say: a count that all threads share is moved with the lock held. A
 * thread that dies with the exclusive lock leaves a torn page, which the next reader mends. The
 * file grows meanwhile: a new page is zeros, which count as -1, and is given to one thread only.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { Aio, type AioFile, type PagePool } from "../../../mod.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import { backendOf } from "../../../core/inside.ts";
import { goesOn, until } from "../patience.ts";
import { BUFFER } from "../../../storage/pool/pool_memory.ts";
import { tempDir } from "../temp.ts";
import { memoryOf } from "./pool_fixture.ts";
import { runMortal } from "../threads/mortal_worker.ts";
import { METHODS_FOR_TESTS, ONE_WORKER } from "../workers/worker_pool.ts";

/** Bytes of a page. */
export const PAGE_BYTES = 4096;
/** Blocks of the file: more than the pool has pages. */
const BLOCKS = 200;
/** Blocks that the file may get. */
const BLOCKS_MAX = 2000;
const PAGES = 64;
/** Deaths after which a thread is left alone. */
const DEATHS_A_THREAD = 4;

/** What breaks a rule of the pool, which the model must find. */
export type Sabotage = "lostPin" | "missedWriteBack";

/** What is done. */
export interface PoolModelPlan {
  readonly method: IoMethodName;
  readonly seed: number;
  readonly threads: number;
  /** Steps of each thread. */
  readonly steps: number;
  /** Tasks of each thread. */
  readonly tasks: number;
  /** Whether threads die. */
  readonly dies: boolean;
  /** Whether threads block in place of awaiting. */
  readonly isBlocking: boolean;
  readonly sabotage?: Sabotage;
}

/** What a Worker is sent. */
export interface PoolModelAsk extends Omit<PoolModelPlan, "threads"> {
  readonly token: Aio["token"];
  readonly pool: PagePool["token"];
  readonly file: AioFile["token"];
  /** How often each block was changed; -1: it is new, or not there yet. */
  readonly changes: Int32Array<SharedArrayBuffer>;
  /** How often each block was given to a thread that made the file longer. */
  readonly given: Int32Array<SharedArrayBuffer>;
  /** One word: how many blocks there are for sure. */
  readonly blocks: Int32Array<SharedArrayBuffer>;
  /** One word: how many steps all threads did. */
  readonly done: Int32Array<SharedArrayBuffer>;
}

/** What a Worker answers. */
export type PoolModelAnswer = "done" | "dies" | { readonly error: string };

/** What a page says after so many changes. */
export function fillPage(bytes: Uint8Array, block: number, count: number): void {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  if (count < 0) return void words.fill(0);
  words.fill(wordOf(block, count));
  words[0] = block;
  words[1] = count;
}

/** How often a page was changed. Throws if it is another block's, or changed in part. */
export function countOf(bytes: Uint8Array, block: number): number {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const [own, said] = words;
  const isNew = own === 0 && said === 0 && block >= BLOCKS;
  if (!isNew) assertEquals(own, block, "a page is another block's");
  const count = isNew ? -1 : said!;
  const word = isNew ? 0 : wordOf(block, count);
  for (let i = 2; i < words.length; i++) {
    if (words[i] !== word) throw new Error(`Block ${block} is changed in part: word ${i}`);
  }
  return count;
}

function wordOf(block: number, count: number): number {
  return Math.imul(block + 1, 0x9e3779b1) + count | 0;
}

/**
 * Does it, and checks the file at the end.
 *
 * @returns how many threads died
 */
export async function runPoolModel(plan: PoolModelPlan): Promise<number> {
  await using dir = await tempDir();
  const path = dir.join("file");
  const content = new Uint8Array(BLOCKS * PAGE_BYTES);
  for (let block = 0; block < BLOCKS; block++) fillPage(blockOf(content, block), block, 0);
  await Deno.writeFile(path, content);
  const changes = sharedWords(BLOCKS_MAX).fill(0, 0, BLOCKS).fill(-1, BLOCKS);
  const given = sharedWords(BLOCKS_MAX);
  const blocks = sharedWords(1).fill(BLOCKS);
  const options = { method: plan.method, arenaBytes: 4 * 1024 * 1024, workers: ONE_WORKER };
  await using aio = await Aio.open(options, METHODS_FOR_TESTS);
  await using file = await aio.openFile(path, { read: true, write: true });
  const pool = await aio.openPool({ pages: PAGES, pageSize: PAGE_BYTES });
  // From the first page on this thread keeps the file open for the pool.
  (await pool.read(file, 0)).release();
  const ask = { ...plan, token: aio.token, pool: pool.token, file: file.token };
  const board = { changes, given, blocks, done: sharedWords(1) };
  const threads = Array.from(
    { length: plan.threads },
    (_, i) => runThread({ ...ask, ...board }, i),
  );
  const died = await goesOn(
    Promise.all(threads),
    () => Atomics.load(board.done, 0),
    () => describe(aio, pool),
  );
  const deaths = died.reduce((sum, died) => sum + died, 0);
  await until(() => {
    backendOf(aio).reapDead();
    return aio.backends().length === 1;
  }, "every dead thread is taken over from");
  const count = Math.ceil(await file.size() / PAGE_BYTES);
  assert(count >= blocks[0]!, `the file has ${count} blocks, and had ${blocks[0]}`);
  await mendAll(pool, file, changes, count);
  await pool.flush();
  assertEquals(pool.pages().filter(isLeft), [], "something is left of threads that are gone");
  const written = await Deno.readFile(path);
  assertEquals(written.length, count * PAGE_BYTES);
  for (let block = 0; block < count; block++) {
    assertEquals(countOf(blockOf(written, block), block), changes[block], `block ${block}`);
  }
  await pool.close();
  return deaths;
}

/** What is under way, where nothing goes on, with the words of each page's descriptor. */
function describe(aio: Aio, pool: PagePool): string {
  const memory = memoryOf(aio, pool);
  const pages = pool.pages().filter(isLeft).map((row) => {
    const at = memory.at(row.buffer);
    return { ...row, words: Array.from(memory.words.subarray(at, at + BUFFER.size)) };
  });
  return JSON.stringify({ pages, ios: aio.ios(), backends: aio.backends() }, null, 1);
}

function blockOf(bytes: Uint8Array, block: number): Uint8Array {
  return bytes.subarray(block * PAGE_BYTES, (block + 1) * PAGE_BYTES);
}

function isLeft({ pinningBackends, io, isTorn }: ReturnType<PagePool["pages"]>[number]): boolean {
  return pinningBackends.length > 0 || io !== null || isTorn;
}

function sharedWords(count: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(4 * count));
}

/** Mends torn pages. */
async function mendAll(
  pool: PagePool,
  file: AioFile,
  changes: Int32Array,
  count: number,
): Promise<void> {
  for (let block = 0; block < count; block++) {
    try {
      (await pool.read(file, block)).release();
    } catch (error) {
      assert(error instanceof Deno.errors.InvalidData, String(error));
    }
    await mend(pool, file, block, changes);
  }
}

/** Mends a page, if it is torn: what its last change was to make of it, it makes. */
export async function mend(
  pool: PagePool,
  file: AioFile,
  block: number,
  changes: Int32Array,
): Promise<void> {
  try {
    await pool.repair(file, block, (bytes) => {
      fillPage(bytes, block, Atomics.load(changes, block));
    });
  } catch (error) {
    // It is not torn, or another thread was faster.
    assert(error instanceof TypeError, String(error));
  }
}

/** Runs one thread after another, as they die. @returns how many did */
async function runThread(ask: Omit<PoolModelAsk, "threads">, number: number): Promise<number> {
  let deaths = 0;
  for (let left = ask.steps; left > 0;) {
    const dies = ask.dies && deaths < DEATHS_A_THREAD;
    const steps = dies ? Math.ceil(ask.steps / (2 * DEATHS_A_THREAD)) : left;
    const seed = ask.seed + 1000 * number + deaths >>> 0;
    const answer = await runWorker({ ...ask, dies, steps, seed });
    if (typeof answer === "object") throw new Error(answer.error);
    if (answer === "dies") deaths++;
    left -= steps;
  }
  return deaths;
}

function runWorker(ask: Omit<PoolModelAsk, "threads">): Promise<PoolModelAnswer> {
  const url = new URL("./pool_model_worker.ts", import.meta.url);
  return runMortal<PoolModelAnswer>(url, ask, (answer) => answer === "dies" ? "dies" : "last");
}
