/**
 * fuzz_worker.ts: one of the threads of fuzz_threads.ts. It attaches, runs a random program and
 * detaches, again and again, and then says how many IOs there were.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio } from "../../../storage/aio.ts";
import { Prng } from "../prng.ts";
import { FuzzBoard } from "./fuzz_board.ts";
import { FuzzFile, FuzzFiles } from "./fuzz_files.ts";
import { type FuzzReport, runProgram } from "./fuzz_program.ts";
import { randomMethod } from "./fuzz_run.ts";
import type { FuzzThreadAnswer, FuzzThreadOrder } from "./fuzz_threads.ts";

async function runRound(order: FuzzThreadOrder, prng: Prng): Promise<FuzzReport> {
  const warnings: string[] = [];
  const { held, method } = randomMethod(order.token.method, prng);
  const onWarning = (message: string) => void warnings.push(message);
  const aio = await Aio.attach(order.token, { onWarning }, [method]);
  try {
    const content = new FuzzFiles(order.paths, order.contentSeed);
    const shared = order.files.map(({ token, isWritten }) =>
      new FuzzFile(aio.attachFile(token), isWritten, true)
    );
    const board = new FuzzBoard(order.board, order.number, order.threads, prng);
    const parts = { aio, prng, content, held, warnings, board, shared };
    return await runProgram(parts, order.steps);
  } finally {
    await aio.close();
  }
}

async function runRounds(order: FuzzThreadOrder): Promise<FuzzThreadAnswer> {
  const reports: FuzzReport[] = [];
  for (let round = 0; round < order.rounds; round++) {
    const prng = new Prng((order.seed + round) >>> 0);
    try {
      reports.push(await runRound(order, prng));
    } catch (error) {
      return { reports, fault: `thread ${order.number}: ${error}\n${(error as Error).stack}` };
    }
  }
  return { reports, fault: null };
}

self.onmessage = async ({ data }: MessageEvent<FuzzThreadOrder>) => {
  self.postMessage(await runRounds(data));
};
