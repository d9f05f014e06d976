/**
 * fuzz_threads.ts: random programs in several threads at once, on one Aio. Each has the model of
 * its own backend; they share the files, leave wait references for each other, complete each
 * other's IO where the method does so, and attach and detach while the others go on.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Aio, AioToken, FileToken } from "../../../mod.ts";
import { HANG_MS, settles } from "../patience.ts";
import { describeSeed } from "../prng.ts";
import { tempDir } from "../temp.ts";
import { FuzzBoard } from "./fuzz_board.ts";
import { FuzzFile } from "./fuzz_files.ts";
import { type FuzzReport, runProgram } from "./fuzz_program.ts";
import { openFuzzed } from "./fuzz_run.ts";

/** How many threads, with the one that opens. */
const THREADS = 3;
/** Keeps each thread's program apart from the others'. */
const SEED_STEP = 0x1000_0000;

/** The order of a thread. */
export interface FuzzThreadOrder {
  readonly token: AioToken;
  readonly files: readonly { readonly token: FileToken; readonly isWritten: boolean }[];
  readonly paths: { readonly read: string; readonly written: string };
  readonly contentSeed: number;
  readonly board: SharedArrayBuffer;
  readonly number: number;
  readonly threads: number;
  readonly seed: number;
  /** How often it attaches. */
  readonly rounds: number;
  /** Of each round. */
  readonly steps: number;
}

/** What it says at the end. */
export interface FuzzThreadAnswer {
  readonly reports: readonly FuzzReport[];
  readonly fault: string | null;
}

/** What to run. */
export interface FuzzThreadsPlan {
  /** `"held"`, or a method of this version. */
  readonly method: string;
  readonly seed: number;
  /** Of each thread, in all rounds. */
  readonly steps: number;
  readonly rounds: number;
  /** Breaks a rule in the opener's thread, for canaries, until it is disposed of. */
  readonly sabotage?: (aio: Aio) => Disposable;
}

/** The Workers that run such programs beside the opener, one program after the other. */
export class FuzzWorkers implements Disposable, AsyncDisposable {
  readonly #workers = Array.from(
    { length: THREADS - 1 },
    () => new Worker(new URL("./fuzz_worker.ts", import.meta.url), { type: "module" }),
  );

  /** Gives each its order; resolves with what they say at the end. */
  run(orders: readonly FuzzThreadOrder[]): Promise<FuzzThreadAnswer[]> {
    return Promise.all(this.#workers.map((worker, i) => answerOf(worker, orders[i]!)));
  }

  [Symbol.dispose](): void {
    for (const worker of this.#workers) worker.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve(this[Symbol.dispose]());
  }
}

function answerOf(worker: Worker, order: FuzzThreadOrder): Promise<FuzzThreadAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<FuzzThreadAnswer>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(`thread ${order.number} has ended: ${event.message}`));
  };
  worker.postMessage(order);
  return promise;
}

/**
 * Runs random programs in three threads.
 *
 * @param shared Workers that outlive it; null: it starts and ends some of its own
 * @throws what any of them finds, with its seed and steps
 */
export async function fuzzThreads(
  plan: FuzzThreadsPlan,
  shared: FuzzWorkers | null = null,
): Promise<FuzzReport> {
  await using dir = await tempDir();
  const { parts, end } = await openFuzzed(dir, plan);
  const { aio, prng, content } = parts;
  const free = backendOf(aio).arena.freeBytes;
  try {
    // Those stay open until all threads have attached to them for the last time.
    const files = [
      await content.open(aio, true, prng),
      await content.open(aio, false, prng),
    ];
    const board = new SharedArrayBuffer(FuzzBoard.bytes(THREADS));
    const order = {
      token: aio.token,
      files: files.map(({ file, isWritten }) => ({ token: file.token, isWritten })),
      paths: { read: dir.join("read"), written: dir.join("written") },
      contentSeed: plan.seed,
      board,
      threads: THREADS,
      rounds: plan.rounds,
      steps: Math.ceil(plan.steps / plan.rounds),
    };
    using ownWorkers = shared === null ? new FuzzWorkers() : null;
    const others = (shared ?? ownWorkers)!.run(
      Array.from({ length: THREADS - 1 }, (_, i) => {
        const seed = (plan.seed + (i + 1) * SEED_STEP) >>> 0;
        return { ...order, number: i + 1, seed };
      }),
    );
    const own = runProgram(
      {
        ...parts,
        board: new FuzzBoard(board, 0, THREADS, prng),
        shared: files.map(({ file, isWritten }) =>
          new FuzzFile(aio.attachFile(file.token), isWritten, true)
        ),
      },
      plan.steps,
      plan.sabotage,
    );
    const answers = await answersOf(aio, own, others);
    const faults = answers.flatMap(({ fault }) => fault ?? []);
    assertEquals(faults, [], describeSeed(plan.seed));
    for (const { file } of files) await file.close();
    assertEquals(aio.ios(), [], "IOs at the end");
    assertEquals(aio.backends().length, 1, "threads that are attached");
    assertEquals(backendOf(aio).files.count, 0, "files at the end");
    assertEquals(backendOf(aio).arena.freeBytes, free, "arena at the end");
    return sumOf([await own, ...answers.flatMap(({ reports }) => reports)]);
  } finally {
    await end();
  }
}

/** Waits for all of them; throws if that takes too long, as with IO that none of them can end. */
async function answersOf(
  aio: Aio,
  own: Promise<FuzzReport>,
  others: Promise<FuzzThreadAnswer[]>,
): Promise<FuzzThreadAnswer[]> {
  const answers = Promise.all([own, others]);
  const isOver = await settles(answers);
  const state = () => JSON.stringify([aio.ios(), aio.backends()]);
  assert(isOver, `Not over in ${HANG_MS / 1000} s: ${isOver ? "" : state()}`);
  return (await answers)[1];
}

function sumOf(reports: readonly FuzzReport[]): FuzzReport {
  const sum = (count: (report: FuzzReport) => number) =>
    reports.reduce((total, report) => total + count(report), 0);
  return {
    steps: sum(({ steps }) => steps),
    started: sum(({ started }) => started),
    checked: sum(({ checked }) => checked),
  };
}
