/**
 * Verifies every data page of a PostgreSQL cluster that is shut down, as `pg_checksums --check`
 * does: same files, same figures, same verdict, same exit status.
 *
 * ```sh
 * deno run -A examples/pg_checksums.ts /var/lib/postgresql/15/main
 * ```
 *
 * Knows the clusters of PostgreSQL 12 to 18, with pages of any size. In `pg_checksums/`, in the
 * order in which a check comes by: `options.ts` is the command line; `cluster.ts` and
 * `control_file.ts` say whether the cluster may be checked; `scan.ts` which files have pages;
 * `pieces.ts` and `source.ts` read them; `verify_pool.ts`, `verify_worker.ts`, `verify.ts` and
 * `page.ts` tell whether they are right; `report.ts` and `progress.ts` are what the user sees.
 * This file ties them together.
 *
 * @module
 */

import { Aio } from "../mod.ts";
import { type Cluster, openCluster } from "./pg_checksums/cluster.ts";
import type { ControlFile } from "./pg_checksums/control_file.ts";
import { CheckFailure } from "./pg_checksums/failure.ts";
import { type CheckOptions, HELP, parseCommand, UsageError } from "./pg_checksums/options.ts";
import { errorLine, writeText } from "./pg_checksums/output.ts";
import { type Piece, readPieces } from "./pg_checksums/pieces.ts";
import { NO_PROGRESS, type Progress, startProgress } from "./pg_checksums/progress.ts";
import {
  type Circumstances,
  type Figures,
  JsonReport,
  type Outcome,
  type Report,
  TextReport,
} from "./pg_checksums/report.ts";
import { VerifyPool } from "./pg_checksums/verify_pool.ts";

const EXIT_STATUS = { intact: 0, damaged: 1, failed: 1, interrupted: 130 } as const;
const EXIT_USAGE = 2;

/** One check, from the command line to the verdict. */
class Check {
  readonly #options: CheckOptions;
  readonly #report: Report;
  readonly #interrupt: AbortSignal;
  readonly #figures: Figures = {
    filesScanned: 0,
    blocksScanned: 0,
    badChecksums: 0,
    bytesScanned: 0,
  };
  #circumstances: Circumstances | undefined;

  constructor(options: CheckOptions, interrupt: AbortSignal) {
    this.#options = options;
    this.#report = options.json ? new JsonReport() : new TextReport();
    this.#interrupt = interrupt;
  }

  /** Checks the cluster, and reports. */
  async run(): Promise<Outcome["verdict"]> {
    const outcome = await this.#outcome();
    this.#report.finish(outcome, this.#circumstances);
    return outcome.verdict;
  }

  async #outcome(): Promise<Outcome> {
    const figures = this.#figures;
    try {
      const cluster = await openCluster(this.#options.dataDirectory);
      await this.#readAll(cluster);
      if (this.#interrupt.aborted) return { verdict: "interrupted", figures };
      const verdict = figures.badChecksums === 0 ? "intact" : "damaged";
      return { verdict, figures, dataChecksumVersion: cluster.control.dataChecksumVersion };
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error;
      return { verdict: "failed", figures, message: error.message };
    }
  }

  async #readAll(cluster: Cluster): Promise<void> {
    const startedAt = performance.now();
    await using aio = await openAio(this.#options.method);
    using pool = new VerifyPool();
    const { direct } = this.#options;
    const circumstances = { method: aio.method, direct, seconds: 0 };
    this.#circumstances = circumstances;
    const progress = await this.#startProgress(cluster);
    try {
      const options = { aio, pool, control: cluster.control, direct };
      for await (const piece of readPieces(cluster.files(), options)) {
        this.#count(piece, cluster.control, progress);
        circumstances.direct &&= piece.direct;
        if (this.#interrupt.aborted) break;
      }
    } finally {
      progress.stop();
      circumstances.seconds = (performance.now() - startedAt) / 1000;
    }
  }

  #count(piece: Piece, { blockSize }: ControlFile, progress: Progress): void {
    const { file, offset, byteLength, badPages } = piece;
    const pageCount = Math.floor(byteLength / blockSize);
    this.#figures.blocksScanned += pageCount;
    this.#figures.bytesScanned += pageCount * blockSize;
    this.#figures.badChecksums += badPages.length;
    if (piece.isLast) this.#figures.filesScanned++;
    this.#report.badPages(file.path, badPages, progress);
    progress.advance(byteLength);

    const rest = byteLength - pageCount * blockSize;
    if (rest === 0) return;
    throw new CheckFailure(
      `could not read block ${offset / blockSize + pageCount} in file "${file.path}": ` +
        `read ${rest} of ${blockSize}`,
    );
  }

  async #startProgress(cluster: Cluster): Promise<Progress> {
    if (!Deno.stderr.isTerminal()) return NO_PROGRESS;
    let totalBytes = 0;
    for await (const file of cluster.files()) {
      if (this.#interrupt.aborted) return NO_PROGRESS;
      totalBytes += file.size;
    }
    return await startProgress(totalBytes);
  }
}

async function openAio(method: string): Promise<Aio> {
  try {
    return await Aio.open({ method });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CheckFailure(`could not read with method "${method}": ${reason}`, { cause: error });
  }
}

/** Checks a cluster; the first Ctrl-C ends the check in good order, the second at once. */
async function check(options: CheckOptions): Promise<number> {
  const interrupt = new AbortController();
  const onInterrupt = () => {
    Deno.removeSignalListener("SIGINT", onInterrupt);
    interrupt.abort();
  };
  Deno.addSignalListener("SIGINT", onInterrupt);
  try {
    return EXIT_STATUS[await new Check(options, interrupt.signal).run()];
  } finally {
    if (!interrupt.signal.aborted) Deno.removeSignalListener("SIGINT", onInterrupt);
  }
}

async function main(args: string[]): Promise<number> {
  try {
    const command = parseCommand(args);
    if (command.kind === "check") return await check(command.options);
    writeText(Deno.stdout, HELP);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    writeText(Deno.stderr, errorLine(error.message));
    writeText(Deno.stderr, `pg_checksums: hint: Try "pg_checksums --help" for more information.\n`);
    return EXIT_USAGE;
  }
}

if (import.meta.main) Deno.exitCode = await main(Deno.args);
