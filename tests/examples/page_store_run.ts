/**
 * page_store_run.ts: Workers of examples/page_store.ts, what a store must hold of their rows, and
 * the test that page_store_test.ts has with few rows and page_store_long_test.ts with many.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { ROW_BYTES } from "../../examples/page_store/rows.ts";
import type { WorkerOrder } from "../../examples/page_store/worker.ts";
import { PageStore, type StoreToken } from "../../examples/page_store.ts";
import { describeSeed, Prng, testSeed } from "../support/prng.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** Workers at a time. */
export const WORKERS = 4;
const WORKER_URL = new URL("../../examples/page_store/worker.ts", import.meta.url);
const CHILD = new URL("./fixtures/page_store_child.ts", import.meta.url).href;
/** Rows that a Worker commits at once: see examples/page_store/worker.ts. */
const ROWS_A_COMMIT = 100;

/** One of them. */
export interface StoreWorker {
  readonly worker: Worker;
  /** Resolves once it has left the store. */
  readonly done: Promise<void>;
}

/**
 * Starts Workers that put so many rows each.
 *
 * @param onCommitted hears how many of its rows a Worker has committed
 */
export function startWorkers(
  token: StoreToken,
  count: number,
  onCommitted: (first: number, committed: number) => void,
): StoreWorker[] {
  return Array.from({ length: WORKERS }, (_, first) => {
    const worker = new Worker(WORKER_URL, { type: "module" });
    const done = new Promise<void>((resolve) => {
      worker.onmessage = ({ data }: MessageEvent<number | "done">) => {
        if (data === "done") resolve();
        else onCommitted(first, data);
      };
    });
    worker.postMessage({ token, first, step: WORKERS, count } satisfies WorkerOrder);
    return { worker, done };
  });
}

/** Checks that a store has what was committed, and that no other row is half of one. */
export async function checkRows(
  store: PageStore,
  committed: readonly number[],
  count: number,
  message: string,
): Promise<void> {
  for (let id = 0; id < WORKERS * count; id++) {
    const row = await store.get(id);
    const isCommitted = Math.floor(id / WORKERS) < committed[id % WORKERS]!;
    const put = new Uint8Array(ROW_BYTES).fill(id);
    if (isCommitted) assertEquals(row, put, `row ${id}; ${message}`);
    const isWhole = row === null || row.every((byte) => byte === row[0]);
    assert(isWhole && (!row || row[0] === 0 || row[0] === put[0]), `row ${id}; ${message}`);
  }
}

/** Runs the program until it has said so many lines, and kills it. @returns what was committed */
async function runAndKill(dir: TempDir, rows: number, lines: number): Promise<number[]> {
  const args = ["run", "--no-lock", "--no-check", "-A", CHILD, dir.join("store"), String(rows)];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped" }).spawn();
  const committed = new Array<number>(WORKERS).fill(0);
  let text = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.split("\n").length > lines) break;
  }
  child.kill("SIGKILL");
  await child.status;
  for (const line of text.split("\n").slice(0, -1)) {
    const [first, rows] = line.split(" ").map(Number) as [number, number];
    committed[first] = rows;
  }
  return committed;
}

/** Registers the test: a store whose Workers put so many rows each is killed, again and again. */
export function testKilled(rounds: number, rows: number): void {
  Deno.test(`PageStore keeps what is committed when a program of ${rows} rows a Worker is killed`, async () => {
    await using dir = await tempDir();
    const seed = testSeed();
    const random = new Prng(seed);
    for (let round = 0; round < rounds; round++) {
      const committed = await runAndKill(dir, rows, random.between(1, 3 * rows / ROWS_A_COMMIT));
      await using store = await PageStore.open(dir.join("store"));
      await checkRows(store, committed, rows, describeSeed(seed));
    }
  });
}
