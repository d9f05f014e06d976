/**
 * fuzz_program.ts: a random program of the whole core interface in one thread: steps, and rests
 * between them in which promises settle. It ends when all that was started is over, and everything
 * is back.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import { AioReturn } from "../../../core/io/result.ts";
import type { Aio } from "../../../storage/aio.ts";
import { hangs } from "../patience.ts";
import { describeSeed, type Prng } from "../prng.ts";
import type { FuzzBoard } from "./fuzz_board.ts";
import { reentry, trace } from "./fuzz_callbacks.ts";
import { FuzzFile, type FuzzFiles } from "./fuzz_files.ts";
import type { RandomlyHeld } from "./fuzz_held.ts";
import { FuzzModel } from "./fuzz_model.ts";
import { FuzzSteps } from "./fuzz_steps.ts";

const STEPS_PER_REST = 30;
const FILES_MAX = 5;
/**
 * More turns of the event loop than it takes until all waiters for IO that is over hear of it.
 */
const IDLE_TURNS_MAX = 1000;
/** How many of the last steps an error shows. */
const STEPS_TOLD = 25;

/** What a program works on. */
export interface FuzzProgramParts {
  readonly aio: Aio;
  readonly prng: Prng;
  readonly content: FuzzFiles;
  /** The method, where it is `held`. */
  readonly held: RandomlyHeld | null;
  /** The messages of `onWarning`, in order. */
  readonly warnings: string[];
  /** Null: there is one thread only. */
  readonly board: FuzzBoard | null;
  /** Files that other threads have, too. */
  readonly shared: readonly FuzzFile[];
}

/** What was run. */
export interface FuzzReport {
  readonly steps: number;
  /** IOs that were started. */
  readonly started: number;
  /** IOs whose outcome was compared. */
  readonly checked: number;
}

/**
 * Runs a random program. The caller closes the Aio.
 *
 * @param sabotage breaks a rule, until it is disposed of
 * @throws if anything is not as the model has it, with the seed and the last steps
 */
export async function runProgram(
  parts: FuzzProgramParts,
  steps: number,
  sabotage?: (aio: Aio) => Disposable,
): Promise<FuzzReport> {
  trace.length = 0;
  const program = new FuzzProgram(parts);
  try {
    using uncaught = new Uncaught();
    using _ = sabotage?.(parts.aio);
    await Promise.race([program.run(steps).then(() => program.end()), uncaught.first]);
  } catch (error) {
    if (error instanceof Error) {
      error.message += ` (${describeSeed(parts.prng.seed)})\nThe last steps:\n${program.story()}`;
    }
    throw error;
  } finally {
    reentry.attempt = null;
    program.leave();
  }
  const { started, checkedIos: checked } = program.model;
  return { steps, started, checked };
}

/**
 * Keeps what the event loop throws, where no step can catch it: a fault of the program.
 */
class Uncaught implements Disposable {
  /** Rejects with the first. */
  readonly first: Promise<never>;
  readonly #stop = new AbortController();

  constructor() {
    const { promise, reject } = Promise.withResolvers<never>();
    this.first = promise;
    promise.catch(() => {}); // There need not be any.
    const { signal } = this.#stop;
    const keep = (event: Event, error: unknown) => {
      event.preventDefault();
      reject(error);
    };
    addEventListener("error", (event) => keep(event, event.error), { signal });
    addEventListener("unhandledrejection", (event) => keep(event, event.reason), { signal });
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}

/** One program. */
class FuzzProgram {
  readonly model: FuzzModel;
  readonly #parts: FuzzProgramParts;
  readonly #aio: Aio;
  readonly #prng: Prng;
  readonly #files: FuzzFile[];
  readonly #steps: FuzzSteps;
  readonly #story: string[] = [];
  readonly #served: number[] = [];
  #enqueued = 0;
  #free = 0;

  constructor(parts: FuzzProgramParts) {
    this.#parts = parts;
    this.#aio = parts.aio;
    this.#prng = parts.prng;
    this.#files = [...parts.shared];
    this.model = new FuzzModel(parts.aio, parts.content);
    this.#steps = new FuzzSteps({ ...parts, model: this.model, files: this.#files });
  }

  /** The last steps. */
  story(): string {
    return this.#story.slice(-STEPS_TOLD).join("\n");
  }

  #tell(what: string): void {
    if (what !== "nothing") this.#story.push(`${this.#story.length}: ${what}`);
  }

  async run(steps: number): Promise<void> {
    this.#free = backendOf(this.#aio).arena.freeBytes;
    await this.#openFile();
    await this.#openFile();
    for (let i = 0; i < steps; i++) {
      this.#tell(this.#steps.step());
      if (this.#prng.below(STEPS_PER_REST) === 0) await this.#rest();
    }
  }

  /** Once more by its path, or as another user of an open file. */
  async #openFile(): Promise<void> {
    const open = this.#files.filter(({ isClosed }) => !isClosed);
    if (open.length > 0 && this.#prng.chance(1, 4)) {
      const other = this.#prng.pick(open);
      other.isShared = true;
      const file = this.#aio.attachFile(other.file.token);
      this.#files.push(new FuzzFile(file, other.isWritten, true));
      return;
    }
    const isWritten = this.#files.length === 0 || this.#prng.chance(1, 2);
    this.#files.push(await this.#parts.content.open(this.#aio, isWritten, this.#prng));
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
      const { held } = this.#parts;
      if (held !== null && !isSo()) this.#letSomeGo(held);
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
    // With the only handle in hand, this thread would let them wait for ever.
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
    assertEquals(this.model.queued, 0, "how many queue after all were served");
    return `${count} queued${isAborting ? ", some aborted" : ""}`;
  }

  #countQueue(): void {
    this.model.queued = backendOf(this.#aio).acquireQueue.length;
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
    // Its handle is released as soon as it returns.
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
    const left = this.model.live().filter(({ asked }) => asked?.file === file && !file.isShared);
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
    // Awaits everything, as nothing else looks for IO that nobody waits for.
    await Promise.all(
      model.live().map(({ ref }) => this.#aio.wait(ref)).concat(this.#until(
        () => model.live().length === 0 && this.#steps.isAllTold,
      )),
    );
    for (const io of model.ios.values()) model.collect(io);
    this.#steps.tidy();
    model.verify();
    const left = this.#aio.ios().filter(({ backendId }) => backendId === this.#aio.backendId);
    assertEquals(left, [], "IOs at the end");
    assertEquals(backendOf(this.#aio).idleCount, this.#aio.options.maxConcurrency, "idle handles");
    assertEquals(backendOf(this.#aio).waiting.awaited, 0, "handles that are awaited");
    for (const { file } of this.#files.splice(0)) await file.close();
    const lost = this.#parts.content.lostSectors();
    assertEquals(lost, [], "sectors that were written and are not there");
    this.#steps.hooks.check();
    if (this.#parts.board !== null) return;
    assertEquals(backendOf(this.#aio).files.count, 0, "files at the end");
    assertEquals(backendOf(this.#aio).arena.freeBytes, this.#free, "arena at the end");
  }

  /** Leaves the Aio in a state in which it can be closed. */
  leave(): void {
    this.#steps.hooks.detachAll();
    const { options } = this.#aio;
    const backend = backendOf(this.#aio);
    for (let local = 0; local < options.maxConcurrency; local++) {
      const handle = backend.handleOf(backend.id * options.maxConcurrency + local);
      if (handle.state === "handedOut") handle.release();
    }
    this.#aio.errorCleanup();
    const { held } = this.#parts;
    for (const index of held?.held(this.#aio) ?? []) held!.tryPerform(this.#aio, index);
  }
}
