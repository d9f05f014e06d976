/**
 * fuzz_run.ts: a random program of the whole core interface, in one thread: steps, and rests between
 * them in which promises settle. It ends when all that was started is over, and everything is back.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { AioApiError } from "../../../core/errors.ts";
import type { AioHandle } from "../../../core/handle.ts";
import type { IoMethod } from "../../../core/method.ts";
import type { AioOptions } from "../../../core/options.ts";
import { AioReturn } from "../../../core/result.ts";
import { createIoUringMethod } from "../../../methods/io_uring.ts";
import { METHODS } from "../../../methods/registry.ts";
import { DEFAULT_TUNING } from "../../../methods/uring_tuning.ts";
import { createWorkerMethod } from "../../../methods/worker.ts";
import { Aio } from "../../../storage/aio.ts";
import { openDescriptors } from "../belongings.ts";
import { hangs } from "../patience.ts";
import { describeSeed, Prng } from "../prng.ts";
import { tempDir } from "../temp.ts";
import { SMALL_POOL } from "../worker_pool.ts";
import { FUZZ_MODULES, reentry, trace } from "./fuzz_callbacks.ts";
import { type FuzzFile, FuzzFiles } from "./fuzz_files.ts";
import { RandomlyHeld } from "./fuzz_held.ts";
import { FuzzModel } from "./fuzz_model.ts";
import { FuzzSteps } from "./fuzz_steps.ts";

const STEPS_PER_REST = 30;
const FILES_MAX = 5;
/** Turns of the event loop until whoever waits for what is over has been told, with room to spare. */
const IDLE_TURNS_MAX = 1000;
/** How many of the last steps an error tells. */
const STEPS_TOLD = 25;
const HANDLES = [1, 2, 3, 8, 40];

/** What to run. */
export interface FuzzPlan {
  /** `"held"`, or a method of this version. */
  readonly method: string;
  readonly seed: number;
  readonly steps: number;
  /** Breaks a rule, for canaries, until it is disposed of. */
  readonly sabotage?: (aio: Aio) => Disposable;
}

/** What was run. */
export interface FuzzReport {
  readonly steps: number;
  /** IOs that were started. */
  readonly started: number;
  /** IOs whose outcome was compared. */
  readonly checked: number;
}

/** Runs a random program. @throws if anything is not as the model has it, with the last steps */
export async function fuzzCore(plan: FuzzPlan): Promise<FuzzReport> {
  await using dir = await tempDir();
  const prng = new Prng(plan.seed);
  const held = plan.method === "held" ? new RandomlyHeld(new Prng(plan.seed + 1)) : null;
  const warnings: string[] = [];
  const files = new FuzzFiles({ read: dir.join("read"), written: dir.join("written") }, plan.seed);
  files.create();
  trace.length = 0;
  const aio = await Aio.open({
    ...randomOptions(plan.method, prng),
    onWarning: (message) => warnings.push(message),
  }, [held ?? variant(plan.method, prng)]);
  const run = new FuzzRun(aio, prng, files, held, warnings);
  try {
    using _ = plan.sabotage?.(aio);
    await run.run(plan.steps);
    await run.end();
  } catch (error) {
    if (error instanceof Error) {
      error.message += ` (${describeSeed(plan.seed)})\nThe last steps:\n${run.story()}`;
    }
    throw error;
  } finally {
    reentry.attempt = null;
    await run.abandon();
  }
  const left = openDescriptors().filter((path) => path.startsWith(dir.path));
  assertEquals(left, [], "descriptors that are left");
  return { steps: plan.steps, started: run.model.started, checked: run.model.checkedIos };
}

function randomOptions(method: string, prng: Prng): AioOptions {
  return {
    method,
    maxConcurrency: prng.pick(HANDLES),
    maxBackends: 2,
    arenaBytes: 8 * 1024 * 1024,
    ioMaxCombineLimit: prng.pick([1, 4, 16]),
    workers: SMALL_POOL,
    callbackModules: FUZZ_MODULES,
    ...(prng.chance(1, 4) ? { logLevel: "debug4", onLog: () => {} } : {}),
  };
}

/** A method as users have it, or with every IO through its pool or ring. */
function variant(name: string, prng: Prng): IoMethod {
  const isWhole = prng.chance(1, 2);
  if (name === "worker") return createWorkerMethod(!isWhole);
  if (name === "io_uring" && isWhole) {
    return createIoUringMethod(null, { ...DEFAULT_TUNING, cachedReadsMin: Infinity });
  }
  return METHODS.find((method) => method.name === name)!;
}

/** One run. */
class FuzzRun {
  readonly model: FuzzModel;
  readonly #aio: Aio;
  readonly #prng: Prng;
  readonly #content: FuzzFiles;
  readonly #held: RandomlyHeld | null;
  readonly #files: FuzzFile[] = [];
  readonly #steps: FuzzSteps;
  readonly #story: string[] = [];
  readonly #served: number[] = [];
  #enqueued = 0;
  #free = 0;

  constructor(
    aio: Aio,
    prng: Prng,
    content: FuzzFiles,
    held: RandomlyHeld | null,
    warnings: string[],
  ) {
    this.#aio = aio;
    this.#prng = prng;
    this.#content = content;
    this.#held = held;
    this.model = new FuzzModel(aio, content);
    this.#steps = new FuzzSteps({
      model: this.model,
      prng,
      files: this.#files,
      warnings,
      held,
      board: null,
    });
  }

  /** The last steps. */
  story(): string {
    return this.#story.slice(-STEPS_TOLD).join("\n");
  }

  #tell(what: string): void {
    if (what !== "nothing") this.#story.push(`${this.#story.length}: ${what}`);
  }

  async run(steps: number): Promise<void> {
    this.#free = this.#aio.backend.arena.freeBytes;
    await this.#openFile();
    await this.#openFile();
    for (let i = 0; i < steps; i++) {
      this.#tell(this.#steps.step());
      if (this.#prng.below(STEPS_PER_REST) === 0) await this.#rest();
    }
  }

  async #openFile(): Promise<void> {
    const isWritten = this.#files.length === 0 || this.#prng.chance(1, 2);
    this.#files.push(await this.#content.open(this.#aio, isWritten, this.#prng));
    this.model.turned();
  }

  /** Something that takes a turn of the event loop, or many. */
  async #rest(): Promise<void> {
    const rests = [
      () => this.#turn(),
      () => this.#awaitSome(),
      () => this.#awaitSome(),
      () => this.#queue(),
      () => this.#changeFiles(),
      () => this.#refuseClose(),
    ];
    const rest = this.#prng.pick(rests);
    this.#tell(await rest());
    this.model.turned();
    this.model.verify();
    this.#steps.tidy();
  }

  async #turn(): Promise<string> {
    await Promise.resolve();
    this.model.turned();
    await this.#until(() => true);
    return "a turn";
  }

  /** Turns of the event loop until something is so; with `held`, IO is let go meanwhile. */
  async #until(isSo: () => boolean): Promise<void> {
    const isHanging = hangs();
    let idle = 0;
    do {
      await new Promise((resolve) => setTimeout(resolve, 0));
      this.model.turned();
      this.model.verifyUses();
      if (this.#held !== null && !isSo()) this.#letSomeGo(this.#held);
      idle = this.model.live().some(({ stage }) => stage !== "handedOut") ? 0 : idle + 1;
      assert(idle < IDLE_TURNS_MAX, "Nothing is under way, and somebody still waits");
      if (isHanging()) throw new Error(`It hangs: ${JSON.stringify(this.#aio.ios())}`);
    } while (!isSo());
  }

  #letSomeGo(held: RandomlyHeld): void {
    for (const index of held.held(this.#aio)) {
      if (this.#prng.chance(1, 2)) held.tryPerform(this.#aio, index);
    }
  }

  /** Some of those that somebody wants to know of. */
  async #awaitSome(): Promise<string> {
    const wanted = [...this.model.ios.values()]
      .filter(({ isCollected, stage }) => !isCollected && stage !== "handedOut");
    const some = wanted.filter(() => this.#prng.chance(1, 2));
    let told = 0;
    for (const io of some) {
      if (io.stage === "staged") this.model.isSubmitDue = true;
      this.#aio.wait(io.ref).then(() => told++);
    }
    await this.#until(() => told === some.length);
    for (const io of some) {
      assertEquals(io.stage, "over", `${io}, which was awaited`);
      this.model.collect(io);
    }
    return `await ${some.length}`;
  }

  // --- queueing for handles ---

  /** Some queue for a handle, with a signal or without, and are served in order. */
  async #queue(): Promise<string> {
    const count = this.#prng.between(1, 6);
    const controller = new AbortController();
    const outcomes = Array.from({ length: count }, () => this.#enqueue(controller));
    const isAborting = this.#prng.chance(1, 3);
    if (isAborting) {
      controller.abort(new Error("as planned"));
      this.#countQueue();
    }
    // Whoever has the only handle in hand would let them wait for ever.
    const { handed } = this.model;
    if (handed !== null) {
      handed.handle.release();
      this.model.handed = null;
      this.model.gaveBack(handed.io);
    }
    let settled = 0;
    const faults: unknown[] = [];
    for (const outcome of outcomes) {
      outcome.catch((fault) => faults.push(fault)).finally(() => settled++);
    }
    await this.#until(() => settled === count);
    assertEquals(faults, []);
    assertEquals(this.model.queued, 0, "who queues after all were served");
    return `${count} queued${isAborting ? ", some aborted" : ""}`;
  }

  #countQueue(): void {
    this.model.queued = this.#aio.backend.acquireQueue.length;
  }

  async #enqueue(controller: AbortController): Promise<void> {
    const { model } = this;
    const number = this.#enqueued++;
    const signal = this.#prng.chance(1, 2) ? controller.signal : undefined;
    const use = this.#prng.pick(["start", "start", "release", "throw", "leave"] as const);
    const ret = new AioReturn();
    const promise = this.#aio.acquireAsync(
      (handle) => this.#use(handle, ret, use, number),
      null,
      ret,
      signal,
    );
    this.#countQueue();
    if (model.queued > 0) model.isSubmitDue = true;
    const error = await promise.then(() => null, (error: Error) => error);
    this.#countQueue();
    const isServed = this.#served.includes(number);
    if (!isServed) assertEquals(error?.message, "as planned", "whoever left the queue");
    else if (use === "throw") assertEquals(error?.message, "as planned");
    else if (use === "leave") assert(error instanceof AioApiError, `${error}`);
    else assertEquals(error, null);
  }

  #use(handle: AioHandle, ret: AioReturn, use: string, number: number): void {
    const { model } = this;
    const last = this.#served.at(-1) ?? -1;
    this.#served.push(number);
    this.#countQueue();
    model.submittedPerhaps();
    const io = model.took(handle, ret, null);
    assert(number > last, `number ${number} is served after number ${last}`);
    if (use === "start") {
      this.#steps.startTaken(handle, io);
      if (io.stage === "staged") model.stagedInMicrotask(io);
      return;
    }
    if (use === "release") handle.release();
    // Its handle is taken back as soon as it returns.
    model.gaveBack(io);
    if (use === "throw") throw new Error("as planned");
  }

  // --- files ---

  async #changeFiles(): Promise<string> {
    if (this.#files.length < FILES_MAX && this.#prng.chance(1, 2)) {
      await this.#openFile();
      return "open a file";
    }
    const file = this.#prng.pick(this.#files);
    const isLast = this.#files.every((one) => one === file || one.isClosed);
    if (isLast) return "nothing";
    this.#files.splice(this.#files.indexOf(file), 1);
    let isOver = false;
    const closing = file.file.close().then(() => isOver = true);
    file.isClosed = true;
    await this.#until(() => isOver);
    await closing;
    const left = this.model.live().filter(({ asked }) => asked?.file === file);
    assertEquals(left.map(String), [], "on a file that is closed");
    return "close a file";
  }

  async #refuseClose(): Promise<string> {
    if (this.model.handed === null) return "nothing";
    await assertRejects(() => this.#aio.close(), AioApiError, "while a handle is handed out");
    return "close with a handle in hand";
  }

  // --- the end ---

  /** Everything is waited for, and everything is back. */
  async end(): Promise<void> {
    const { model } = this;
    this.#steps.hooks.detachAll();
    if (model.handed !== null) {
      model.handed.handle.release();
      model.gaveBack(model.handed.io);
      model.handed = null;
    }
    for (const owner of model.owners) {
      if (owner.isReleased) continue;
      owner.owner.release({ onError: true });
      model.released(owner, false);
    }
    this.#aio.errorCleanup();
    model.isInBatch = false;
    model.submittedAll();
    // Nobody else looks for what nobody waits for.
    await Promise.all(
      model.live().map(({ ref }) => this.#aio.wait(ref)).concat(this.#until(
        () => model.live().length === 0 && this.#steps.isAllTold,
      )),
    );
    for (const io of model.ios.values()) model.collect(io);
    this.#steps.tidy();
    model.verify();
    assertEquals(this.#aio.ios(), [], "IOs at the end");
    assertEquals(this.#aio.backend.idleCount, this.#aio.options.maxConcurrency, "idle handles");
    assertEquals(this.#aio.backend.waiting.awaited, 0, "handles that are awaited");
    for (const { file } of this.#files.splice(0)) await file.close();
    assertEquals(this.#aio.backend.files.count, 0, "files at the end");
    assertEquals(this.#aio.backend.arena.freeBytes, this.#free, "arena at the end");
    assertEquals(this.#content.lostSectors(), [], "sectors that were written and are not there");
    this.#steps.hooks.check();
  }

  /** Closes it, in whatever state it is. */
  async abandon(): Promise<void> {
    this.#steps.hooks.detachAll();
    const { backend } = this.#aio;
    for (let local = 0; local < this.#aio.options.maxConcurrency; local++) {
      const handle = backend.handleOf(backend.id * this.#aio.options.maxConcurrency + local);
      if (handle.state === "handedOut") handle.release();
    }
    this.#aio.errorCleanup();
    this.#held?.performAll(this.#aio);
    await this.#aio.close();
  }
}
