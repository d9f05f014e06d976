/**
 * sentinel_program.ts: several threads issue IO into all kinds of memory, forget it, and some of
 * them end; all memory that becomes free is filled with sentinels; only then is the IO performed,
 * by the main thread. Before, a canary points an IO at plain memory by force, so that it must be
 * found. Prints {@linkcode SentinelReports} as JSON.
 *
 * Arguments: the path of the file, a seed, how many rounds.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import { Aio } from "../../../mod.ts";
import type { AioFile } from "../../../mod.ts";
import { writeIovec } from "../../../core/io/operation.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { IOVEC_WORDS } from "../../../ffi/layout.ts";
import { fromWords } from "../../../ffi/memory.ts";
import { HeldMethod } from "../held_method.ts";
import { contentAt, Prng } from "../prng.ts";
import {
  collect,
  type Ending,
  FILE_SEED,
  issueAndForget,
  type SentinelAnswer,
  type SentinelOrder,
  type SentinelReport,
  type SentinelReports,
  Sentinels,
} from "./sentinel.ts";

const ENDINGS: readonly Ending[] = ["close", "terminate", "selfClose"];
/** Of each size, twice in each round: in all rounds. */
const SENTINEL_BYTES = 12 * 1_048_576;
const CANARY_BYTES = 65_536;
const COLLECT_EVERY_BYTES = 16 * 1_048_576;
const CANARY_BYTES_MAX = 256 * 1_048_576;

class Sentinel {
  readonly #aio: Aio;
  readonly #file: AioFile;
  readonly #held: HeldMethod;
  readonly #random: Prng;
  readonly #sentinels = new Sentinels();
  #performed = 0;
  #verified = 0;
  #changedElsewhere = 0;

  constructor(aio: Aio, file: AioFile, held: HeldMethod, seed: number) {
    this.#aio = aio;
    this.#file = file;
    this.#held = held;
    this.#random = new Prng(seed);
  }

  report(): SentinelReport {
    collect();
    return {
      performed: this.#performed,
      verified: this.#verified,
      sentinelBytes: this.#sentinels.bytes,
      changed: this.#sentinels.changed() + this.#changedElsewhere,
    };
  }

  /** One Worker of each ending. */
  async round(sentinelBytes: number): Promise<void> {
    const workers = await Promise.all(ENDINGS.map((ending) => this.#startWorker(ending)));
    const { plain } = issueAndForget(this.#aio, this.#file, this.#random, 2);
    this.#aio.submitStaged();
    this.#sentinels.addOfEachSize(sentinelBytes);
    await this.#endSome(workers);
    collect();
    // What the dead ones had is free by now, as far as it will ever be.
    this.#sentinels.addOfEachSize(sentinelBytes);
    this.#performAll();
    backendOf(this.#aio).reapDead();
    await Promise.all(plain);
    await this.#endOthers(workers);
  }

  #startWorker(ending: Ending): Promise<Worker> {
    const url = new URL("./sentinel_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module" });
    const order: SentinelOrder = {
      token: this.#aio.token,
      file: this.#file.token,
      seed: this.#random.uint32(),
      ending,
    };
    return answerOf<void>(worker, order).then(() => worker);
  }

  /** Ends two of three, whose threads are gone afterwards. */
  async #endSome(workers: readonly Worker[]): Promise<void> {
    for (const [i, ending] of ENDINGS.entries()) {
      if (ending === "terminate") workers[i]!.terminate();
      else if (ending === "selfClose") workers[i]!.postMessage("selfClose");
    }
    const { libc } = backendOf(this.#aio);
    const living = () =>
      this.#aio.backends().filter(({ threadId }) => libc.isThreadAlive(threadId)).length;
    while (living() > 2) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  async #endOthers(workers: readonly Worker[]): Promise<void> {
    for (const [i, ending] of ENDINGS.entries()) {
      if (ending !== "close") continue;
      const { changed } = await answerOf<SentinelAnswer>(workers[i]!, "end");
      this.#changedElsewhere += changed;
      workers[i]!.terminate();
    }
  }

  /** Whatever is held, of all threads, with collections in between. */
  #performAll(): void {
    for (const index of this.#held.held(this.#aio)) {
      const handle = backendOf(this.#aio).handleOf(index);
      const { offset, length } = handle.operationData;
      const view = this.#viewOf(index);
      // A Worker that finds a dead one may be faster.
      if (!this.#held.tryPerform(this.#aio, index)) continue;
      this.#performed++;
      if (this.#random.chance(1, 4)) collect();
      if (view === null) continue;
      const expected = contentAt(FILE_SEED, offset, length);
      if (!view.every((byte, i) => byte === expected[i])) throw new Error(`IO ${index} is wrong`);
      this.#verified++;
    }
  }

  /** The memory of an IO, if it is in the arena; that of other threads is not known here. */
  #viewOf(index: number): Uint8Array | null {
    const { control, memory } = backendOf(this.#aio);
    const { words } = control;
    const at = control.iovecAt(index);
    const address = fromWords(words[at + IOVEC_WORDS.baseLow]!, words[at + IOVEC_WORDS.baseHigh]!);
    return memory.viewAt(address, words[at + IOVEC_WORDS.lengthLow]!);
  }

  /**
   * Points a held read at plain memory that was let go, once a sentinel is there: any other place
   * would be somebody else's.
   *
   * @returns whether one came there
   */
  canary(): boolean {
    const aio = this.#aio;
    const handle = aio.acquire();
    handle.setIovec(aio.alloc(CANARY_BYTES));
    this.#file.startReadv(handle, 0);
    const address = this.#findReused();
    if (address === null) return false;
    const { control } = backendOf(aio);
    writeIovec(control.words, control.iovecAt(handle.index), address, CANARY_BYTES);
    control.words[handle.base + HANDLE.length] = CANARY_BYTES;
    this.#held.perform(aio, handle.index);
    this.#performed++;
    return true;
  }

  /** Where plain memory was let go, and a sentinel of the same size is now. */
  #findReused(): number | null {
    const { libc } = backendOf(this.#aio);
    const forgotten = new Set<number>();
    while (this.#sentinels.bytes < CANARY_BYTES_MAX) {
      forgotten.add(this.#addressOfForgotten());
      if (this.#sentinels.bytes % COLLECT_EVERY_BYTES === 0) collect();
      const address = libc.addressOf(this.#sentinels.add(CANARY_BYTES));
      if (forgotten.has(address)) return address;
    }
    return null;
  }

  /** In a function of its own, so that no variable holds it. */
  #addressOfForgotten(): number {
    return backendOf(this.#aio).libc.addressOf(new Uint8Array(CANARY_BYTES));
  }
}

function answerOf<T>(worker: Worker, message: SentinelOrder | "end"): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.postMessage(message);
  return promise;
}

/** Runs one thing with an Aio of its own. */
async function report(
  path: string,
  seed: number,
  run: (sentinel: Sentinel) => Promise<void>,
): Promise<SentinelReport> {
  const held = new HeldMethod();
  const options = { method: "held", arenaBytes: 32 * 1_048_576, maxBackends: 8 };
  const aio = await Aio.open(options, [held]);
  const file = await aio.openFile(path);
  const sentinel = new Sentinel(aio, file, held, seed);
  await run(sentinel);
  const found = sentinel.report();
  await file.close();
  await aio.close();
  return found;
}

async function main(): Promise<void> {
  const [path, seed, rounds] = Deno.args;
  const canary = await report(path!, 1, (sentinel) => {
    if (!sentinel.canary()) throw new Error("No sentinel came where the memory had been");
    return Promise.resolve();
  });
  const threads = await report(path!, Number(seed), async (sentinel) => {
    for (let round = 0; round < Number(rounds); round++) {
      await sentinel.round(SENTINEL_BYTES / Number(rounds));
    }
  });
  const reports: SentinelReports = { threads, canary };
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(reports)));
}

if (import.meta.main) await main();
