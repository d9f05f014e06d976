/**
 * The program: ties its files together, from the command line to the exit status.
 * `../pg_checksums.ts` loads it, and says what is in which file.
 *
 * @module
 */

import { Aio } from "../../mod.ts";
import { checkFiles } from "./check_files.ts";
import { type Cluster, openCluster } from "./cluster.ts";
import { CheckFailure, errorLine } from "./failure.ts";
import { type CheckOptions, HELP, parseCommand, UsageError } from "./options.ts";
import { type Part, PartsInOrder } from "./part.ts";
import {
  type Circumstances,
  type Figures,
  JsonReport,
  type Outcome,
  type Report,
  TextReport,
} from "./report.ts";
import { type DataFile, statFile } from "./scan.ts";
import { streamPageBytes } from "./streamed_file.ts";
import { Work } from "./work.ts";
import type { Workers } from "./workers.ts";
import { writeText } from "../terminal/output.ts";
import { NO_PROGRESS, type Progress, startProgress } from "../terminal/progress.ts";

/** One read has so many bytes, and one thread so many in flight or verified. */
const READ_BYTES = 512 * 1024;
const POOL_BYTES = 4 * 1024 * 1024;
/** Pages that a read has at most. */
const READ_PAGES_MAX = 128;

const EXIT_STATUS = { intact: 0, damaged: 1, failed: 1, interrupted: 130 } as const;
const EXIT_USAGE = 2;

/** One check, from the command line to the verdict. */
class Check {
  readonly #options: CheckOptions;
  readonly #workers: Workers;
  readonly #report: Report;
  readonly #interrupt: AbortSignal;
  readonly #figures: Figures = {
    filesScanned: 0,
    blocksScanned: 0,
    badChecksums: 0,
    bytesScanned: 0,
  };
  #circumstances: Circumstances | undefined;

  constructor(options: CheckOptions, workers: Workers, interrupt: AbortSignal) {
    this.#options = options;
    this.#workers = workers;
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
    const { direct, jobs, method } = this.#options;
    this.#workers.adjust(jobs - 1);
    await using aio = await openAio(method, jobs, this.#pageBytes(cluster));
    const circumstances = { method: aio.method, direct, seconds: 0 };
    this.#circumstances = circumstances;
    const search = cluster.search(this.#interrupt);
    const searchFailure = await failureOf(search.run());
    const { files } = search;
    const progress = await this.#startProgress(files);
    try {
      await this.#checkFiles(cluster, files, { aio, progress });
    } finally {
      progress.stop();
      circumstances.seconds = (performance.now() - startedAt) / 1000;
    }
    // What was found before is checked all the same.
    if (searchFailure !== undefined) throw searchFailure;
  }

  async #checkFiles(
    { control }: Cluster,
    files: DataFile[],
    { aio, progress }: { aio: Aio; progress: Progress },
  ): Promise<void> {
    const { direct, jobs } = this.#options;
    const { blockSize } = control;
    const pages = jobs * POOL_BYTES / blockSize;
    await using pool = this.#withPool
      ? await aio.openPool({ pages, pageSize: blockSize })
      : undefined;
    const work = new Work(files.length);
    const stop = () => work.stopBehind(-1);
    this.#interrupt.addEventListener("abort", stop);
    if (this.#interrupt.aborted) stop();
    let failure: string | undefined;
    const parts = new PartsInOrder((part) => {
      this.#count(files[part.file]!, part, blockSize, progress);
      failure ??= part.failure;
    });
    const order = { aio: aio.token, pool: pool?.token, files, work: work.memory, control, direct };
    const onParts = (found: Part[]) => {
      for (const part of found) {
        progress.advance(part.blockCount * blockSize);
        parts.add(part);
      }
    };
    await Promise.all([
      this.#workers.check(order, onParts),
      checkFiles(aio, pool, order, onParts),
    ]);
    this.#interrupt.removeEventListener("abort", stop);
    if (this.#interrupt.aborted) return;
    if (failure !== undefined) throw new CheckFailure(failure);
    if (parts.fileCount < files.length) throw new Error("Not all files were checked");
  }

  /** A pool pays only past the page cache, and only if several threads share it. */
  get #withPool(): boolean {
    return this.#options.direct && this.#options.jobs > 1;
  }

  /** The bytes of a page of the streams that read the files. */
  #pageBytes({ control: { blockSize } }: Cluster): number {
    return this.#withPool ? blockSize : streamPageBytes(blockSize);
  }

  #count({ path }: DataFile, part: Part, blockSize: number, progress: Progress): void {
    this.#figures.blocksScanned += part.blockCount;
    this.#figures.bytesScanned += part.blockCount * blockSize;
    this.#figures.badChecksums += part.badPages.length;
    if (part.isLast) this.#figures.filesScanned++;
    if (part.failure === undefined) this.#circumstances!.direct &&= part.direct;
    this.#report.badPages(path, part.badPages, progress);
  }

  async #startProgress(files: readonly DataFile[]): Promise<Progress> {
    if (!Deno.stderr.isTerminal() || this.#interrupt.aborted) return NO_PROGRESS;
    const bytes = files.reduce((sum, { path }) => sum + statFile(path).size, 0);
    return await startProgress("pg_checksums", bytes);
  }
}

async function failureOf(done: Promise<void>): Promise<CheckFailure | undefined> {
  try {
    await done;
    return undefined;
  } catch (error) {
    if (error instanceof CheckFailure) return error;
    throw error;
  }
}

async function openAio(method: string, jobs: number, pageBytes: number): Promise<Aio> {
  const readPages = Math.min(READ_BYTES / pageBytes, READ_PAGES_MAX);
  try {
    return await Aio.open({
      method,
      maxBackends: jobs,
      ioCombineLimit: readPages,
      ioMaxCombineLimit: readPages,
      // A stream with pages of its own takes a quarter of it at most.
      arenaBytes: 4 * jobs * POOL_BYTES,
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CheckFailure(`could not read with method "${method}": ${reason}`, { cause: error });
  }
}

/** Checks a cluster; the first Ctrl-C ends the check in good order, the second at once. */
async function check(options: CheckOptions, workers: Workers): Promise<number> {
  const interrupt = new AbortController();
  const onInterrupt = () => {
    Deno.removeSignalListener("SIGINT", onInterrupt);
    interrupt.abort();
  };
  Deno.addSignalListener("SIGINT", onInterrupt);
  try {
    return EXIT_STATUS[await new Check(options, workers, interrupt.signal).run()];
  } finally {
    if (!interrupt.signal.aborted) Deno.removeSignalListener("SIGINT", onInterrupt);
  }
}

/**
 * Runs the program.
 *
 * @param args The arguments after the program's name.
 * @param workers The threads beside this one that were started already.
 * @returns The exit status.
 */
export async function main(args: string[], workers: Workers): Promise<number> {
  try {
    const command = parseCommand(args);
    if (command.kind === "check") return await check(command.options, workers);
    writeText(Deno.stdout, HELP);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    writeText(Deno.stderr, errorLine(error.message));
    writeText(Deno.stderr, `pg_checksums: hint: Try "pg_checksums --help" for more information.\n`);
    return EXIT_USAGE;
  }
}
