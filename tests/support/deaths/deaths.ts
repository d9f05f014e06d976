/**
 * deaths.ts: Workers that end without `close()`, each in its way and in the middle of something:
 * one by one, or as a load of one main thread and several of them at a time that issue, await and
 * complete each other's IO. The main thread takes part in it, so that somebody always lives.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import type { AioToken, FileToken } from "../../../mod.ts";
import type { IoMethod } from "../../../core/io/method.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { type Fixture, openFixture } from "../core.ts";
import { createIoUringMethod } from "../../../methods/io_uring.ts";
import { createLinuxAioMethod } from "../../../methods/linux_aio.ts";
import { LANES, Load, Mailbox, MAIN_LANE } from "./death_load.ts";
import { DEFAULT_TUNING } from "../../../methods/io_uring/tuning.ts";
import { HeldMethod } from "../held_method.ts";
import { becomes, until } from "../patience.ts";
import { Prng } from "../prng.ts";
import { type RefusedEvents, refuseEvents } from "../refused_events.ts";
import { ONE_WORKER, poolUp } from "../workers/worker_pool.ts";

/** How a Worker ends. */
export const WAYS = ["selfClose", "throw", "terminate"] as const;
export type Way = typeof WAYS[number];

/** What it is in the middle of; "anything": whatever its next atomic operations belong to. */
export const HOLDINGS = [
  "nothing",
  "handle",
  "batch",
  "arenaLock",
  "filesLock",
  "claim",
  "stageCallback",
  "ownCallback",
  "foreignCallback",
  "localCallback",
  "attach",
  "anything",
] as const;
/** "reap": while it takes over from another one that died. */
export type Holding = typeof HOLDINGS[number] | "reap";

/** What becomes of one Worker. */
export interface Fate {
  readonly way: Way;
  readonly holding: Holding;
  /** How many IOs of its own it has done by then. */
  readonly afterIos: number;
  readonly seed: number;
}

/** The order of a Worker. */
export interface DeathOrder extends Fate {
  readonly token: AioToken;
  readonly file: FileToken;
  /** Which Worker it is of those that live at the same time. */
  readonly lane: number;
  readonly mailbox: SharedArrayBuffer;
  /** Whether it takes over from others that died. */
  readonly reaps: boolean;
  /** If there: it takes no part in a load, but reads once into this memory, and ends. */
  readonly view: Uint8Array | null;
}

/** What a Worker says when it may be terminated. */
export const TERMINATE = "terminate";

/** The message of an uncaught exception that is planned. */
export const THE_END = "The end of this Worker, as planned";

const READ_BYTES = 64;
/** Tasks of the main thread: more than it has handles, so that some wait for one. */
const MAIN_TASKS = 18;
const HANDLES = 16;
/** All threads of the load, and a slot that is not taken over yet. */
const BACKENDS = LANES + 2;
const RANDOM_MOMENT_MS_MAX = 40;
const WORKER_URL = new URL("./death_worker.ts", import.meta.url);

/** Methods for such Workers. */
export type MortalMethod = "held" | "io_uring" | "linux_aio";

/** One in so many IOs of linux_aio is the pool's after all. */
const REFUSED_EVERY = 10;
let refused: RefusedEvents | null = null;

/**
 * The methods that a thread of them knows: io_uring with all IO in flight for a while, linux_aio
 * with whatever the kernel takes.
 */
export function mortalMethods(method: string, held: HeldMethod): readonly IoMethod[] {
  if (method === "held") return [held];
  if (method === "linux_aio") {
    refused ??= refuseEvents(REFUSED_EVERY);
    return [createLinuxAioMethod(false, true)];
  }
  return [createIoUringMethod(null, { ...DEFAULT_TUNING, inlineBytesMax: 0 })];
}

/**
 * Opens an Aio for such Workers: with the callback that ends a thread, and IO that any thread
 * completes, for linux_aio also one IO Worker.
 */
export async function openMortal(
  method: MortalMethod = "held",
  maxBackends = BACKENDS,
): Promise<Fixture> {
  const held: HeldMethod = new HeldMethod({
    onWaitOne: (_backend, handle) => {
      held.tryPerform(fixture.aio, handle.index);
    },
  });
  const callbackModules = [new URL("./death_callbacks.ts", import.meta.url)];
  const options = {
    method,
    maxBackends,
    maxConcurrency: HANDLES,
    callbackModules,
    workers: ONE_WORKER,
  };
  const fixture = await openFixture(options, mortalMethods(method, held), held);
  await poolUp(fixture.aio);
  return fixture;
}

/**
 * Every way to end in the middle of everything, each about as often, in random order. If the count
 * is that of the things, each thing comes once, and so does each way.
 */
export function randomFates(
  count: number,
  random: Prng,
  holdings: readonly Holding[] = HOLDINGS,
): Fate[] {
  const fates = Array.from({ length: count }, (_, i) => {
    const [turn, thing] = [Math.floor(i / holdings.length), i % holdings.length];
    const way = WAYS[(turn + thing) % WAYS.length]!;
    return { way, holding: holdings[thing]!, afterIos: random.below(40), seed: random.uint32() };
  });
  return random.shuffled(fates);
}

/** One such Worker, seen from the main thread. */
export class MortalWorker {
  /** What should not have happened to it. */
  readonly faults: string[] = [];
  readonly #worker: Worker;
  readonly #mailbox: Mailbox;
  readonly #fate: Fate;
  readonly #lane: number;
  #hasFailed = false;

  /** @param settings the parts of its order beside its fate */
  constructor(
    fixture: Fixture,
    fate: Fate,
    settings: { mailbox: Mailbox; lane: number; reaps?: boolean; view?: Uint8Array },
  ) {
    const { mailbox, lane, reaps = true, view = null } = settings;
    this.#fate = fate;
    this.#mailbox = mailbox;
    this.#lane = lane;
    mailbox.begin(lane);
    this.#worker = new Worker(WORKER_URL, { type: "module", name: this.name });
    this.#worker.onmessage = ({ data }: MessageEvent<typeof TERMINATE>) => {
      if (data === TERMINATE) this.terminate();
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const isMeant = event.message.includes(THE_END) || mailbox.isCut(lane);
      if (!isMeant) this.faults.push(`${this.name}: ${event.message}`);
      this.#hasFailed = true;
    };
    const { token } = fixture.aio;
    const file = fixture.file.token;
    const order: DeathOrder = { ...fate, token, file, lane, mailbox: mailbox.buffer, reaps, view };
    this.#worker.postMessage(order);
  }

  /** How it ends, in words. */
  get name(): string {
    return `${this.#fate.way} ${this.#fate.holding}`;
  }

  /** Whether it is in the middle of what it must end in, or was when it ended. */
  get isHolding(): boolean {
    return this.#mailbox.isHolding(this.#lane);
  }

  /** Its thread's id; 0 before it runs. */
  get threadId(): number {
    return this.#mailbox.threadId(this.#lane);
  }

  /** Resolves when it runs, or failed before. */
  async untilStarted(): Promise<void> {
    await this.#until(() => this.#hasFailed || this.threadId !== 0, "it does not start");
  }

  /** Ends it from outside. */
  terminate(): void {
    this.#worker.terminate();
    this.#mailbox.setTerminated(this.#lane);
  }

  /** Resolves when it is in the middle of that. */
  async untilHolding(): Promise<void> {
    await this.#until(() => this.isHolding, "it never comes to hold anything");
  }

  /** Resolves when its thread has ended. */
  async untilDead(libc: Libc): Promise<void> {
    await this.untilStarted();
    const { threadId } = this;
    await this.#until(() => threadId === 0 || !libc.isThreadAlive(threadId), "it does not end");
    this.#worker.terminate();
  }

  async #until(isSo: () => boolean, fault: string): Promise<void> {
    if (!await becomes(isSo)) this.faults.push(`${this.name}: ${fault}`);
  }
}

/** What a load of such Workers may differ in. */
interface DeathsSettings {
  /** Whether anybody takes over from those that died. */
  readonly reaps?: boolean;
  /** Whether the main thread waits blocking, too. */
  readonly blocks?: boolean;
}

/** The load, seen from the main thread. */
export class Deaths {
  readonly mailbox = Mailbox.make();
  /** What should not have happened. */
  readonly faults: string[] = [];
  /** Workers that died as they should, by way and holding. */
  readonly counts = new Map<string, number>();
  /** The longest that one took to start. */
  longestStartMs = 0;
  readonly load: Load;
  readonly #fixture: Fixture;
  readonly #random: Prng;
  readonly #reaps: boolean;
  readonly #views: Uint8Array[];
  #tasks: Promise<unknown> = Promise.resolve();

  /** The load of a fixture from {@linkcode openMortal}. */
  constructor(
    fixture: Fixture,
    seed: number,
    { reaps = true, blocks = true }: DeathsSettings = {},
  ) {
    const { aio, file, held } = fixture;
    const { mailbox } = this;
    this.#fixture = fixture;
    this.#random = new Prng(seed);
    this.#reaps = reaps;
    const loadSeed = this.#random.uint32();
    this.load = new Load({ aio, file, held, mailbox, lane: MAIN_LANE, seed: loadSeed, blocks });
    // Taken before any Worker lives: this would wait for a lock that one holds until it is
    // terminated.
    this.#views = Array.from({ length: MAIN_TASKS }, () => aio.alloc(READ_BYTES));
  }

  /** The longest wait of any thread until now. */
  get longestWaitMs(): number {
    const lanes = Array.from({ length: LANES + 1 }, (_, lane) => this.mailbox.longestWait(lane));
    return Math.max(...lanes);
  }

  /** Starts the main thread's part. */
  start(): void {
    this.#tasks = this.#run();
  }

  async #run(): Promise<void> {
    const backend = backendOf(this.#fixture.aio);
    const { reapDead } = backend;
    const timed: typeof reapDead = (from) => this.load.timed(() => reapDead(from));
    backend.reapDead = this.#reaps ? timed : () => {};
    let isOver = false;
    const complete = async () => {
      while (!isOver) {
        this.load.turn(1, 4);
        await sleep(1);
      }
    };
    const completing = complete();
    await Promise.all(this.#views.map((view, slot) => this.load.issue(slot, view)));
    isOver = true;
    await completing;
    backend.reapDead = reapDead;
  }

  /** Ends the main thread's part: resolves once its IO is done. */
  async end(): Promise<void> {
    this.load.stop();
    await this.#tasks;
    for (const view of this.#views) this.#fixture.aio.free(view);
  }

  /** Lets Workers live and die, so many at a time. */
  async run(fates: readonly Fate[], lanes = LANES): Promise<void> {
    const left = [...fates];
    const runLane = async (lane: number) => {
      for (let fate = left.pop(); fate !== undefined; fate = left.pop()) {
        // It may have been terminated a moment before or after it was in the middle of that.
        if (!await this.#live(lane, fate)) left.push({ ...fate, seed: this.#random.uint32() });
      }
    };
    await Promise.all(Array.from({ length: lanes }, (_, lane) => runLane(lane)));
  }

  /** @returns whether it died in the middle of what its fate says */
  async #live(lane: number, fate: Fate): Promise<boolean> {
    const settings = { mailbox: this.mailbox, lane, reaps: this.#reaps };
    const at = performance.now();
    const worker = new MortalWorker(this.#fixture, fate, settings);
    await worker.untilStarted();
    this.longestStartMs = Math.max(this.longestStartMs, performance.now() - at);
    if (fate.way === "terminate" && fate.holding === "nothing") {
      await sleep(this.#random.below(RANDOM_MOMENT_MS_MAX));
      worker.terminate();
    }
    await worker.untilDead(backendOf(this.#fixture.aio).libc);
    this.faults.push(...worker.faults);
    if (!worker.isHolding) return worker.faults.length > 0;
    this.counts.set(worker.name, (this.counts.get(worker.name) ?? 0) + 1);
    return true;
  }
}

/** Waits until all dead threads are taken over from, and only the main thread is left. */
export async function untilReaped({ aio }: Fixture): Promise<void> {
  await until(() => {
    backendOf(aio).reapDead();
    return aio.backends().length === 1;
  }, "every dead thread is taken over from");
}

/** Sleeps without blocking. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
