/**
 * worker_deaths.ts: reads that are verified and writes that are read back, while IO Workers die.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioReturn } from "../../../core/mod.ts";
import { Aio, type AioFile } from "../../../mod.ts";
import { poolOf } from "../../../methods/worker.ts";
import { FAULTS } from "../../methods/fixtures/worker_faults.ts";
import { contentAt, describeSeed, Prng, testSeed } from "../prng.ts";
import { tempDir, writeRandomFile } from "../temp.ts";
import { METHODS_FOR_TESTS, poolUp, untilRunning } from "../workers/worker_pool.ts";

const TASKS = 16;
const BLOCK_BYTES = 4096;
const BLOCKS = 64;
const SEED = 77;
const WORKERS = 3;
/** On average, between two deaths. */
const IOS_PER_DEATH = 150;
/** The ways to die. */
export const DEATHS = { bySelf: Object.values(FAULTS), terminate: ["terminate"] } as const;

/** What came of it. */
export interface DeathsOutcome {
  /** IOs that were done. */
  readonly ios: number;
  /** IOs that brought wrong bytes, or failed. */
  readonly wrong: number;
  /** Workers that were made to die. */
  readonly deaths: number;
  /** What was not as before in the end, in words. */
  readonly left: readonly string[];
}

/** Whether two views hold the same. */
function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}

class Deaths {
  ios = 0;
  wrong = 0;
  deaths = 0;
  /** With which IO the next Worker dies. */
  #diesAt: number;
  readonly #aio: Aio;
  readonly #file: AioFile;
  readonly #random: Prng;
  readonly #family: keyof typeof DEATHS;

  constructor(aio: Aio, file: AioFile, random: Prng, family: keyof typeof DEATHS) {
    this.#family = family;
    this.#aio = aio;
    this.#file = file;
    this.#random = random;
    this.#diesAt = 1 + random.below(2 * IOS_PER_DEATH);
  }

  /** One task has blocks of its own to write. */
  async run(task: number, count: number, isSpoilt: boolean): Promise<void> {
    const view = this.#aio.alloc(BLOCK_BYTES);
    for (let i = 0; i < count; i++) {
      const block = task + TASKS * this.#random.below(BLOCKS / TASKS);
      const offset = block * BLOCK_BYTES;
      if (this.#random.below(4) === 0) {
        view.set(contentAt(SEED, offset, BLOCK_BYTES));
        if (isSpoilt) view[0] = view[0]! ^ 1;
        await this.#file.writeAt(view, offset);
      } else {
        view.fill(0);
        await this.#read(view, offset);
        if (!isSame(view, contentAt(SEED, offset, BLOCK_BYTES))) this.wrong++;
      }
      this.ios++;
      if (this.ios < this.#diesAt) continue;
      this.#kill();
      // However the numbers fall, so many IOs are not without a death.
      this.#diesAt += 1 + this.#random.below(2 * IOS_PER_DEATH);
    }
    this.#aio.free(view);
  }

  async #read(view: Uint8Array, offset: number): Promise<void> {
    const bytes = await this.#file.readAt(view, offset);
    if (bytes !== BLOCK_BYTES) this.wrong++;
  }

  #kill(): void {
    const ways = DEATHS[this.#family];
    const way = ways[this.#random.below(ways.length)]!;
    this.deaths++;
    if (way === "terminate") {
      const threads = [...poolOf(backendOf(this.#aio))!.threads.values()];
      if (threads.length > 0) threads[this.#random.below(threads.length)]!.thread.terminate();
      return;
    }
    const handle = this.#aio.tryAcquire(null, new AioReturn());
    if (handle === null) return;
    const view = this.#aio.alloc(1);
    const ref = handle.waitRef();
    handle.registerCallbacks(this.#aio.callbackId("fault"), way);
    handle.setIovec(view);
    this.#file.startReadv(handle, 0);
    this.#aio.wait(ref).then(() => this.#aio.free(view));
  }
}

/**
 * Does so many IOs while Workers die.
 *
 * @param ios how many
 * @param random when, and how
 * @param family of ways to die
 * @param canary `isSpoilt`: what is written is wrong, which must be found
 */
export async function runDeaths(
  ios: number,
  random: Prng,
  family: keyof typeof DEATHS,
  canary: { readonly isSpoilt?: boolean } = {},
): Promise<DeathsOutcome> {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("file"), BLOCKS * BLOCK_BYTES, SEED);
  const options = {
    method: "worker",
    arenaBytes: 1024 * 1024,
    workers: { min: WORKERS, max: WORKERS + 1, launchIntervalMs: 0 },
    callbackModules: [new URL("../../methods/fixtures/worker_faults.ts", import.meta.url)],
    onWarning: () => {},
  };
  await using aio = await Aio.open(options, METHODS_FOR_TESTS);
  await poolUp(aio);
  await using file = await aio.openFile(dir.join("file"), { read: true, write: true });
  const all = new Deaths(aio, file, random, family);
  const tasks = Array.from(
    { length: TASKS },
    (_, task) => all.run(task, Math.ceil(ios / TASKS), canary.isSpoilt === true),
  );
  await Promise.all(tasks);
  aio.setWorkers({ max: WORKERS });
  await untilRunning(aio, WORKERS);
  const left: string[] = [];
  if (aio.ios().length > 0) left.push(`${aio.ios().length} IOs`);
  if (backendOf(aio).idleCount !== aio.options.maxConcurrency) left.push("handles");
  return { ios: all.ios, wrong: all.wrong, deaths: all.deaths, left };
}

/** Registers the check for each family of ways to die, with so many IOs. */
export function testWorkerDeaths(ios: number): void {
  for (const family of ["bySelf", "terminate"] as const) {
    Deno.test(`worker: random deaths of Workers lose no IO and no byte (${family})`, async () => {
      const seed = testSeed();
      const { wrong, left, deaths } = await runDeaths(ios, new Prng(seed), family);
      assertEquals([wrong, left], [0, []], describeSeed(seed));
      assert(deaths >= ios / IOS_PER_DEATH / 4, `only ${deaths} died: ${describeSeed(seed)}`);
    });
  }
}
