/**
 * log_threads.ts: threads append to one log, and some die at any atomic step. Each record whose
 * promise resolved is in the log, whole, once, where that said; of each thread that lives, in the
 * order of its calls. What is there beside, was begun by a thread that died. A follower may read
 * along, and give up what it has read.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, Log, LogRecord, LogToken } from "../../../mod.ts";
import { backendOf } from "../../../core/inside.ts";
import { openAio } from "../methods.ts";
import { goesOn, until } from "../patience.ts";
import { tempDir } from "../temp.ts";
import { type Life, type LifeAnswer, runLives, runMortal } from "../threads/mortal_worker.ts";

/** What is done. */
export interface LogPlan {
  readonly method: IoMethodName;
  readonly seed: number;
  readonly threads: number;
  /** Records of each thread. */
  readonly records: number;
  /** How often each thread dies. */
  readonly deaths: number;
  /** The option of the log. */
  readonly direct: boolean | undefined;
  /** Whether the log is followed meanwhile, and given up behind the follower. */
  readonly follows?: boolean;
  /** Whether a thread tells of records that it has not appended, as a canary. */
  readonly lies?: boolean;
}

/** What a Worker is sent. */
export interface LogAsk extends Life {
  readonly token: Aio["token"];
  readonly log: LogToken;
  readonly thread: number;
  readonly lies: boolean;
  /** Where each record of this thread begins, plus 1; 0: it is not known to be durable. */
  readonly told: Float64Array<SharedArrayBuffer>;
}

/** So many words say which record it is, and of which thread; others repeat the number. */
const HEAD_WORDS = 2;
/** A follower gives up what it has read once in so many records. */
const GIVE_UP_EVERY = 50;

/** The record of a thread with a number, of so many words. */
export function threadRecord(thread: number, number: number, words: number): Uint8Array {
  const record = new Int32Array(HEAD_WORDS + words).fill(number);
  record[0] = thread;
  return new Uint8Array(record.buffer);
}

/** Does it. @returns how many threads died */
export async function runLogThreads(plan: LogPlan): Promise<number> {
  const { method, threads, records, direct, follows = false } = plan;
  await using dir = await tempDir();
  await using aio = await openAio(method, { arenaBytes: 4 * 1024 * 1024 });
  const options = { segmentBytes: 262_144, bufferBytes: 262_144, direct };
  const directory = dir.join("log");
  const log = await aio.openLog(directory, options);
  const follower = follows ? new Follower(log) : null;
  const told = Array.from(
    { length: threads },
    () => new Float64Array(new SharedArrayBuffer(8 * records)),
  );
  const ask = { token: aio.token, log: log.token };
  const lives = told.map((mine, thread) => runThread(plan, { ...ask, thread, told: mine }));
  const count = () => told.flatMap((mine) => [...mine]).reduce((sum, at) => sum + Math.sign(at), 0);
  const deaths = await goesOn(Promise.all(lives), count, () => JSON.stringify(aio.ios(), null, 1));
  await until(() => {
    backendOf(aio).reapDead();
    return aio.backends().length === 1;
  }, "every dead thread is taken over from");
  // Those that a thread inserted and died before it told are counted, too.
  assert(log.stats().records >= count());
  const last = await log.append(threadRecord(threads, 0, 1));
  const found = follower === null
    ? await Array.fromAsync(log.read())
    : await follower.readUpTo(last);
  check(found, told);
  await log.close();
  await using again = await aio.openLog(directory, options);
  assertEquals(again.recovery.end, log.end);
  const kept = await Array.fromAsync(again.read({ from: again.start }));
  assertEquals(kept, found.filter(({ position }) => position >= again.start));
  if (follows) assert(again.start > 0, "something was given up");
  await again.close();
  assertEquals(aio.ios(), []);
  return deaths.reduce((sum, died) => sum + died, 0);
}

/** Reads a log while threads append to it, and gives up what it has read, now and then. */
class Follower {
  readonly #log: Log;
  readonly #records: LogRecord[] = [];
  readonly #end = new AbortController();
  readonly #following: Promise<void>;

  constructor(log: Log) {
    this.#log = log;
    this.#following = this.#follow();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#end;
    try {
      for await (const { position, data } of this.#log.read({ follow: true, signal })) {
        this.#records.push({ position, data: data.slice() });
        if (this.#records.length % GIVE_UP_EVERY === 0) await this.#log.truncateBefore(position);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** All records, once that of a position was read. */
  async readUpTo(position: number): Promise<readonly LogRecord[]> {
    const hasRead = until(() => this.#records.at(-1)?.position === position, "it has read all");
    await Promise.race([hasRead, this.#following]);
    await hasRead;
    this.#end.abort();
    await this.#following;
    return this.#records;
  }
}

function check(records: readonly LogRecord[], told: readonly Float64Array[]): void {
  const found = new Map<string, number>();
  const last: number[] = told.map(() => -1);
  for (const { position, data } of records) {
    const words = new Int32Array(data.slice().buffer);
    const [thread, number] = words;
    assert(
      words.subarray(1).every((word) => word === number),
      `the record at ${position} is whole`,
    );
    const name = `${thread}:${number}`;
    assert(!found.has(name), `record ${name} is there once`);
    found.set(name, position);
    if (thread! < told.length) last[thread!] = Math.max(last[thread!]!, number!);
  }
  for (const [thread, mine] of told.entries()) {
    for (const [number, at] of mine.entries()) {
      if (at > 0) assertEquals(found.get(`${thread}:${number}`), at - 1, `${thread}:${number}`);
    }
  }
}

/** Runs one thread after another, as they die. @returns how many did */
function runThread(
  { records, deaths, seed, lies = false }: LogPlan,
  ask: Pick<LogAsk, "token" | "log" | "thread" | "told">,
): Promise<number> {
  const url = new URL("./log_threads_worker.ts", import.meta.url);
  const lives = { thread: ask.thread, records, deaths, seed, stepsARecord: 3 };
  return runLives(lives, (life) =>
    runMortal<LifeAnswer>(
      url,
      { ...ask, ...life, lies } satisfies LogAsk,
      (heard) => "isDead" in heard && heard.isDead ? "dies" : "last",
    ));
}
