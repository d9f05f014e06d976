/**
 * fuzz_steps.ts: what the random tests do to one backend: a step is one call or a few, and after
 * each the model is compared. Nothing is awaited in a step; `FuzzProgram` rests between them.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import { AioReturn, reportResult } from "../../../core/io/result.ts";
import type { HeldMethod } from "../held_method.ts";
import type { Prng } from "../prng.ts";
import type { FuzzBoard } from "./fuzz_board.ts";
import type { FuzzFile } from "./fuzz_files.ts";
import { FuzzHooks } from "./fuzz_hooks.ts";
import type { FuzzIo, FuzzWaiter } from "./fuzz_io.ts";
import { misuse } from "./fuzz_misuse.ts";
import { type FuzzModel, isTold } from "./fuzz_model.ts";
import type { FuzzOwner } from "./fuzz_owner.ts";
import { FuzzScopes } from "./fuzz_scopes.ts";
import { FuzzStarter } from "./fuzz_start.ts";

/** What the steps work on. */
export interface FuzzStepsParts {
  readonly model: FuzzModel;
  readonly prng: Prng;
  /** Those that are open, or were closed by a step. */
  readonly files: FuzzFile[];
  /** The messages of `onWarning`, in order. */
  readonly warnings: string[];
  /** Ends held IO; null: the method is another one. */
  readonly held: HeldMethod | null;
  /** What several threads leave for each other; null: there is one thread only. */
  readonly board: FuzzBoard | null;
}

/** The steps. */
export class FuzzSteps {
  readonly #parts: FuzzStepsParts;
  readonly #model: FuzzModel;
  readonly #prng: Prng;
  readonly #starter: FuzzStarter;
  readonly #scopes: FuzzScopes;
  readonly hooks: FuzzHooks;
  /** By weight. */
  readonly #steps: readonly (() => string)[];

  constructor(parts: FuzzStepsParts) {
    this.#parts = parts;
    this.#model = parts.model;
    this.#prng = parts.prng;
    this.#starter = new FuzzStarter(parts.model, parts.prng, () => parts.files);
    this.#scopes = new FuzzScopes(parts, {
      acquireFor: (owner) => this.#acquire(owner),
      startFor: (owner) => this.#startFor(owner),
      enterBatch: () => this.#batch(),
    });
    this.hooks = new FuzzHooks(parts.model, parts.prng.seed);
    const weights: readonly (readonly [number, () => string])[] = [
      [30, () => this.#start()],
      [1, () => this.#take()],
      [8, () => this.#useTaken()],
      [4, () => this.#batch()],
      [1, () => this.#batchOf()],
      [2, () => this.#scopes.cleanUp()],
      [2, () => this.#scopes.makeOwner()],
      [2, () => this.#scopes.releaseOwner()],
      [1, () => this.#scopes.withOwner()],
      [4, () => this.#waitSync()],
      [3, () => this.#look()],
      [3, () => this.#whenDone()],
      [2, () => this.#giveUp()],
      [6, () => this.#misuse()],
      [1, () => this.#closingFd()],
      [1, () => this.hooks.change(this.#prng)],
      [1, () => this.#report()],
      [parts.held === null ? 0 : 8, () => this.#letGo()],
      [parts.board === null ? 0 : 6, () => this.#foreign()],
    ];
    this.#steps = weights.flatMap(([weight, step]) => Array.from({ length: weight }, () => step));
  }

  /** Does one, and compares. @returns what it did, in words */
  step(): string {
    const done = this.#prng.pick(this.#steps)();
    this.hooks.check();
    this.#model.verify();
    this.tidy();
    return done;
  }

  /** Gives memory back that no IO uses any more. */
  tidy(): void {
    for (const [io, block] of this.#starter.blocks) {
      if (!io.isCollected || io.stage !== "over") continue;
      this.#starter.blocks.delete(io);
      this.#model.aio.free(block);
    }
    for (const io of this.#model.ios.values()) {
      if (io.isCollected && io.stage === "over") this.#model.collect(io);
    }
  }

  /** Those of which somebody still wants to know. */
  #wanted(): FuzzIo[] {
    return [...this.#model.ios.values()]
      .filter(({ isCollected, stage }) => !isCollected && stage !== "handedOut");
  }

  // --- handles ---

  #acquire(owner: FuzzOwner | null): { handle: AioHandle; io: FuzzIo } | null {
    const model = this.#model;
    const { aio, staged } = model;
    const ret = new AioReturn();
    const isTrying = this.#prng.chance(1, 3);
    if (staged.size >= 32) model.submittedAll();
    const handle = isTrying
      ? aio.tryAcquire(owner?.owner ?? null, ret)
      : aio.acquire(owner?.owner ?? null, ret);
    // It may have had to wait, and so to submit.
    if (!isTrying) model.submittedPerhaps();
    if (handle === null) return null;
    return { handle, io: model.took(handle, ret, owner) };
  }

  #start(): string {
    if (this.#model.handed !== null) return "nothing";
    const taken = this.#acquire(this.#scopes.pickOwner());
    if (taken === null) return "tryAcquire: none";
    const { handle, io } = taken;
    this.startTaken(handle, io);
    return `start ${io}`;
  }

  /** Starts a handle that was just taken; for whoever queues for one, too. */
  startTaken(handle: AioHandle, io: FuzzIo): void {
    this.#starter.start(handle, io);
    if (io.asked !== null) this.#parts.board?.publish(io.ref);
  }

  #take(): string {
    if (this.#model.handed !== null) return "nothing";
    const taken = this.#acquire(this.#scopes.pickOwner());
    if (taken === null) return "tryAcquire: none";
    this.#model.handed = taken;
    return `take ${taken.io}`;
  }

  #useTaken(): string {
    const { handed } = this.#model;
    if (handed === null) return "nothing";
    this.#model.handed = null;
    if (this.#prng.chance(1, 2)) {
      handed.handle.release();
      this.#model.gaveBack(handed.io);
      return `release ${handed.io}`;
    }
    this.startTaken(handed.handle, handed.io);
    return `start the taken ${handed.io}`;
  }

  // --- batches ---

  #batch(): string {
    const model = this.#model;
    if (model.isInBatch) {
      model.aio.exitBatchmode();
      model.isInBatch = false;
      model.submittedAll();
      return "exitBatchmode";
    }
    if (this.#prng.chance(1, 3)) {
      model.aio.submitStaged();
      model.submittedAll();
      return "submitStaged";
    }
    model.aio.enterBatchmode();
    model.isInBatch = true;
    return "enterBatchmode";
  }

  /** A batch as a function: it returns, throws, returns a promise, or ends the batch itself. */
  #batchOf(): string {
    const model = this.#model;
    if (model.isInBatch) return "nothing";
    const end = this.#prng.pick(["returns", "throws", "promises", "exits"] as const);
    const count = this.#prng.below(5);
    const run = () =>
      model.aio.batch(() => {
        model.isInBatch = true;
        for (let i = 0; i < count; i++) this.#start();
        if (end === "throws") throw new Error("as planned");
        if (end === "exits") this.#batch();
        return end === "promises" ? Promise.resolve(1) : 1;
      });
    if (end === "throws") assertThrows(run, Error, "as planned");
    else if (end === "promises") assertThrows(run, TypeError, "asynchronous");
    else assertEquals(run(), 1);
    model.isInBatch = false;
    model.submittedAll();
    return `batch of ${count} that ${end}`;
  }

  #startFor(owner: FuzzOwner): void {
    if (this.#model.handed !== null) return;
    const taken = this.#acquire(owner);
    if (taken !== null) this.startTaken(taken.handle, taken.io);
  }

  // --- waiting ---

  #waitSync(): string {
    const wanted = this.#wanted();
    if (wanted.length === 0) return "nothing";
    const io = this.#prng.pick(wanted);
    const model = this.#model;
    const wasOver = io.stage === "over";
    model.aio.waitSync(io.ref);
    assert(model.aio.checkDone(io.ref), `${io} is done after waitSync`);
    if (wasOver) model.verifyUses();
    else model.submittedPerhaps();
    model.verifyUses();
    assertEquals(io.stage as string, "over", `${io} after waitSync`);
    if (this.#prng.chance(2, 3)) model.collect(io);
    return `waitSync ${io}`;
  }

  #look(): string {
    const { aio } = this.#model;
    const wanted = this.#wanted();
    if (wanted.length > 0 && this.#prng.chance(2, 3)) {
      const io = this.#prng.pick(wanted);
      const isDone = aio.checkDone(io.ref);
      this.#model.verifyUses();
      assertEquals(isDone, io.stage === "over", `checkDone of ${io}`);
      return `checkDone ${io}: ${isDone}`;
    }
    const rows = aio.ios().filter(({ backendId }) => backendId === aio.backendId);
    this.#model.verifyUses();
    const live = new Map(this.#model.live().map((io) => [io.ref.index, io]));
    for (const [index, io] of live) {
      const row = rows.find(({ ioId }) => ioId === index);
      assert(row !== undefined, `${io} is in ios()`);
      assertEquals(row.ioGeneration, io.ref.generation, `generation of ${io} in ios()`);
      if (io.stage === "staged") assertEquals(row.state, "STAGED");
      if (io.stage !== "handedOut") assertEquals(row.operation, io.asked!.operation);
    }
    aio.workers();
    return "ios";
  }

  #whenDone(): string {
    const wanted = this.#wanted();
    if (wanted.length === 0) return "nothing";
    const io = this.#prng.pick(wanted);
    const model = this.#model;
    const isStaged = io.stage === "staged";
    const waiter: FuzzWaiter = { told: 0, isLate: false };
    const isLate = model.aio.whenDone(io.ref, { completed: () => waiter.told++ });
    waiter.isLate = isLate;
    if (isStaged) model.isSubmitDue = true;
    model.verifyUses();
    assert(!isLate || io.stage === "over", `${io} is said to be done`);
    io.waiters.push(waiter);
    return `whenDone ${io}: ${isLate}`;
  }

  #giveUp(): string {
    const wanted = this.#wanted();
    if (wanted.length === 0) return "nothing";
    const io = this.#prng.pick(wanted);
    const model = this.#model;
    if (this.#prng.chance(1, 2)) {
      model.verifyUses();
      if (io.stage !== "over") io.isDropped = true;
      model.aio.abandon(io.ref);
      return `abandon ${io}`;
    }
    const isStaged = io.stage === "staged";
    if (io.stage !== "over") io.isCancelled = true;
    if (isStaged) {
      model.staged.delete(io);
      io.stage = "submitted";
    }
    model.aio.cancel(io.ref);
    model.verifyUses();
    assert(!isStaged || (io.stage as string) === "over", `${io} is over, as it was only staged`);
    return `cancel ${io}`;
  }

  /** An IO of another thread: it may be waited for, and nothing else. */
  #foreign(): string {
    const { aio } = this.#model;
    const ref = this.#parts.board!.pick();
    // A thread that has detached may have been in the place where this one is now.
    const owner = ref === null ? -1 : Math.floor(ref.index / aio.options.maxConcurrency);
    if (ref === null || owner === aio.backendId) return "nothing";
    const name = `use ${ref.generation} of handle ${ref.index}, another thread's`;
    switch (this.#prng.below(4)) {
      case 0:
        return `checkDone of ${name}: ${aio.checkDone(ref)}`;
      case 1:
        assertThrows(() => aio.cancel(ref), AioApiError);
        assertThrows(() => aio.abandon(ref), AioApiError);
        return `cancel of ${name} is refused`;
      default:
        // Blocking submits what is staged here, unless the IO is over already.
        aio.waitSync(ref);
        this.#model.submittedPerhaps();
        assert(aio.checkDone(ref), `${name}, after waitSync`);
        return `waitSync of ${name}`;
    }
  }

  // --- the rest ---

  #misuse(): string {
    return `misuse: ${
      misuse(this.#model, this.#prng, this.#scopes.released, this.#parts.board === null)
    }`;
  }

  /** A descriptor is about to be closed: what is on its way to it is over afterwards. */
  #closingFd(): string {
    const { files } = this.#parts;
    const open = files.filter(({ isClosed }) => !isClosed);
    const file = this.#prng.pick(files);
    // Others may be at it; and one has to be left to start on.
    const isLast = open.every((one) => one.file.fd === file.file.fd);
    if (file.isClosed || isLast || this.#parts.board !== null) return "nothing";
    const model = this.#model;
    const { fd } = file.file;
    model.aio.closingFd(fd);
    const users = files.filter((one) => one.file.fd === fd);
    for (const user of users) user.isClosed = true;
    model.submittedAll();
    model.verifyUses();
    if (backendOf(model.aio).method.waitOnFdBeforeClose) {
      const left = model.live().filter(({ asked }) => asked?.file?.file.fd === fd);
      assertEquals(left.map(String), [], "on a descriptor that is about to be closed");
    }
    return "closingFd";
  }

  #report(): string {
    const over = this.#wanted().filter(({ stage, isDropped }) =>
      stage === "over" && isDropped === false
    );
    if (over.length === 0) return "nothing";
    const { ret } = this.#prng.pick(over);
    const report = () => reportResult(ret.result, ret.targetData, "error");
    if (ret.result.status === "ok") assertThrows(report, AioApiError);
    else assertThrows(report, Error);
    return `report ${ret.result.status}`;
  }

  /** Lets one IO go that is held, by doing it or with a result of the test's. */
  #letGo(): string {
    const { held, board } = this.#parts;
    const { aio, ios } = this.#model;
    const all = held!.held(aio);
    if (all.length === 0) return "nothing";
    const index = this.#prng.pick(all);
    const io = [...ios.values()].find(({ ref, stage }) =>
      ref.index === index && stage === "submitted"
    );
    if (board !== null || io === undefined || this.#prng.chance(3, 4)) {
      held!.tryPerform(aio, index);
      return `let handle ${index} go`;
    }
    const { length, operation } = io.asked!;
    const isTransfer = operation === "readv" || operation === "writev";
    io.replaced = isTransfer ? this.#prng.pick([length, 0, this.#prng.below(length), -5, -4]) : 0;
    io.isForced = true;
    held!.complete(aio, index, io.replaced);
    return `let ${io} go with ${io.replaced}`;
  }

  /** Whether all waiters have heard of the end of their IO. */
  get isAllTold(): boolean {
    return [...this.#model.ios.values()].every(({ waiters }) => waiters.every(isTold));
  }
}
