/**
 * fairness.ts: what else a program does, beside tasks that read: whether they let the event loop
 * serve sockets, timers, signals and Deno's own file operations.
 *
 * For each service, alone and beside 1 and 32 tasks that await direct reads of 4 KiB at random,
 * with dozes and without (`dozeMicroseconds: 0`): the time of a step in µs, the median and the 99th
 * in a hundred, over all rounds; and the reads in thousands a second. All are in one process and
 * run in turn.
 *
 * Run: deno task bench:fairness [--rounds N] [--seconds S] [--dir DIR] [--method NAME]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Aio, type AioFile } from "../mod.ts";
import { BLOCK_BYTES, withFile } from "./batches.ts";
import { describeMachine } from "./machine.ts";
import { figures, ROUND_OPTIONS } from "./rounds.ts";
import { type Service, SERVICES } from "./fairness/services.ts";

const FILE_BYTES = 256 * 1024 * 1024;

/** What runs beside a service. */
interface Load {
  readonly name: string;
  readonly tasks: number;
  readonly file: AioFile | null;
}

/** What was measured of one service beside one load. */
interface Measured {
  readonly steps: number[];
  readonly readRates: number[];
}

/** Reads until it is to end. */
class Readers {
  #isOver = false;
  #reads = 0;
  readonly #tasks: Promise<void>[];

  constructor(aio: Aio | null, { file, tasks }: Load) {
    this.#tasks = Array.from({ length: tasks }, () => this.#read(aio!, file!));
  }

  async #read(aio: Aio, file: AioFile): Promise<void> {
    using buffer = aio.alloc(BLOCK_BYTES);
    while (!this.#isOver) {
      await file.readAt(buffer, Math.floor(Math.random() * FILE_BYTES / BLOCK_BYTES) * BLOCK_BYTES);
      this.#reads++;
    }
  }

  async end(): Promise<number> {
    this.#isOver = true;
    await Promise.all(this.#tasks);
    return this.#reads;
  }
}

async function runOnce(
  service: Service,
  aio: Aio | null,
  load: Load,
  seconds: number,
  into: Measured,
): Promise<void> {
  const readers = new Readers(aio, load);
  const start = performance.now();
  const end = start + seconds * 1000;
  while (performance.now() < end) into.steps.push(await service.step());
  const tookMs = performance.now() - start;
  into.readRates.push(await readers.end() / tookMs);
}

function rowOf({ steps, readRates }: Measured): Record<string, string | number> {
  const sorted = steps.sort((a, b) => a - b);
  const microseconds = (part: number) =>
    Math.round(sorted[Math.floor(sorted.length * part)]! * 1000);
  const meanMs = steps.reduce((sum, ms) => sum + ms, 0) / steps.length;
  return {
    "mean µs": Math.round(meanMs * 1000),
    "median µs": microseconds(0.5),
    "99 % µs": microseconds(0.99),
    "k reads/s": Number(figures(readRates).median.toFixed(1)),
  };
}

/** What is measured. */
interface Plan {
  readonly path: string;
  readonly dir: string;
  readonly method: string;
  readonly rounds: number;
  readonly seconds: number;
}

async function measure({ path, dir, method, rounds, seconds }: Plan): Promise<void> {
  await using dozing = await Aio.open({ method });
  await using awake = await Aio.open({ method, dozeMicroseconds: 0 });
  await using file = await dozing.openFile(path, { direct: "required" });
  await using other = await awake.openFile(path, { direct: "required" });
  const loads: (Load & { aio: Aio | null })[] = [
    { name: "alone", tasks: 0, file: null, aio: null },
    ...[1, 32].flatMap((tasks) => [
      { name: `${tasks} readers`, tasks, file, aio: dozing },
      { name: `${tasks}, no dozes`, tasks, file: other, aio: awake },
    ]),
  ];
  for (const [name, open] of Object.entries(SERVICES)) {
    const service = await open(dir);
    const measured = loads.map((): Measured => ({ steps: [], readRates: [] }));
    for (let round = 0; round < rounds; round++) {
      for (const [i, load] of loads.entries()) {
        await runOnce(service, load.aio, load, seconds, measured[i]!);
      }
    }
    await service.close();
    console.log(`\n${name}`);
    console.table(Object.fromEntries(loads.map((load, i) => [load.name, rowOf(measured[i]!)])));
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...ROUND_OPTIONS,
      rounds: { type: "string", default: "5" },
      method: { type: "string", default: "io_uring" },
    },
  });
  const { dir, method } = values;
  console.log(await describeMachine(dir));
  await withFile(dir, async (path, cache) => {
    cache.drop();
    const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
    await measure({ path, dir, method, rounds, seconds });
  }, FILE_BYTES);
}

if (import.meta.main) await main();
