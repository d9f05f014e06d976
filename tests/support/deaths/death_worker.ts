/**
 * death_worker.ts: a Worker of `deaths.ts`: it takes part in the load, and ends when and how its
 * order says.
 *
 * `terminate()` does not cut a thread that is busy: it ends when it comes back to its event loop.
 * So a Worker that has to be terminated asks for that, and waits in its event loop in the middle of
 * what it holds. It must not wait for long: the main thread may be blocked by just that, and could
 * never terminate it. It lets go then, and tries again. In the middle of a function there is no
 * event loop, so there it ends itself once the main thread has called `terminate()`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { setImmediate } from "node:timers/promises";
import { backendOf } from "../../../core/inside.ts";
import { lock, unlock } from "../../../core/memory/lock.ts";
import { HANDLE, HEADER } from "../../../core/memory/shared_memory.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { Aio } from "../../../mod.ts";
import { arm, type DeadlyStep } from "./death_callbacks.ts";
import { Load, Mailbox } from "./death_load.ts";
import { type DeathOrder, mortalMethods, TERMINATE, THE_END } from "./deaths.ts";
import { HeldMethod } from "../held_method.ts";
import { TakenDescriptors } from "./taken_descriptors.ts";
import { Prng } from "../prng.ts";

const TASKS = 3;
const STAGED_MAX = 3;
const READ_BYTES = 64;
const BUSY_RETRY_MS = 2;
const HOLD_MS_MAX = 50;
const LET_GO_MS = 5;
const AWAITED_LOOKS_MAX = 30;
/** About as many as an attach takes. */
const ATTACH_OPERATIONS_MAX = 30;
const OPERATIONS_MAX = 2000;
const STEPS: Readonly<Record<string, DeadlyStep>> = {
  stageCallback: "stage",
  ownCallback: "own",
  foreignCallback: "foreign",
  localCallback: "local",
};
/** Words of doorbell.ts. */
const PARKED = 1;
const RUNG = 2;
const ATOMICS = ["load", "store", "add", "or", "exchange", "compareExchange", "notify"] as const;

// Deno prints one line about an uncaught exception then.
Error.stackTraceLimit = 0;

/** How this thread ends. */
class End {
  readonly #order: DeathOrder;
  readonly #mailbox: Mailbox;
  readonly #random: Prng;
  #isEnding = false;

  constructor(order: DeathOrder, mailbox: Mailbox) {
    this.#order = order;
    this.#mailbox = mailbox;
    this.#random = new Prng(order.seed + 1);
  }

  /** Ends it in the middle of whatever function runs. */
  atOnce(): void {
    // A cut ends a microtask, not always the turn of the event loop, and there is no second one.
    if (this.#isEnding) return;
    this.#isEnding = true;
    // The rest of the turn still runs, and fails as the library was cut: that is no news.
    addEventListener("unhandledrejection", (event) => event.preventDefault());
    const { way, lane } = this.#order;
    this.#mailbox.setCut(lane);
    if (way === "terminate") {
      self.postMessage(TERMINATE);
      this.#mailbox.awaitTerminated(lane, HOLD_MS_MAX);
    }
    if (way === "throw") reportError(new Error(THE_END));
    else self.close();
    // The engine looks for the end at each jump back.
    for (;;);
  }

  /**
   * Ends it right after one of the next atomic operations, in whatever part of the library: between
   * any two stores that other threads rely on.
   *
   * @param max how many of them there may be before
   */
  anywhere(max: number): void {
    let left = this.#random.between(1, max);
    const taken = new TakenDescriptors(this.#order.token.control);
    for (const name of ATOMICS) {
      const original: CallableFunction = Atomics[name];
      const value = (...args: unknown[]): unknown => {
        taken.note(args);
        const result: unknown = Reflect.apply(original, Atomics, args);
        left--;
        if (left === 0) this.#afterOperation(args, taken.count);
        return result;
      };
      Object.defineProperty(Atomics, name, { value });
    }
  }

  #afterOperation([, , first, second]: readonly unknown[], lostDescriptors: number): void {
    // A bell that will never ring keeps its descriptor (doorbell.ts).
    const isLostBell = first === PARKED && second === RUNG;
    this.#mailbox.noteLosses(lostDescriptors + (isLostBell ? 1 : 0));
    this.atOnce();
  }
}

/** Gives back what the Worker holds to die with. */
type LetGo = () => void;

interface LifeParts {
  readonly order: DeathOrder;
  readonly mailbox: Mailbox;
  readonly end: End;
  readonly aio: Aio;
  readonly held: HeldMethod;
}

/** One life, from its slot on. */
class Life {
  readonly #order: DeathOrder;
  readonly #mailbox: Mailbox;
  readonly #end: End;
  readonly #aio: Aio;
  readonly #load: Load;
  readonly #held: HeldMethod;
  readonly #views: Uint8Array[];
  #isDying = false;

  constructor({ order, mailbox, end, aio, held }: LifeParts) {
    this.#order = order;
    this.#mailbox = mailbox;
    this.#end = end;
    this.#aio = aio;
    this.#held = held;
    const { lane, seed, holding, reaps } = order;
    // Every other Worker has a descriptor of its own, unless it may end before any thread knows of
    // it.
    const isAttaching = seed % 2 === 0 || holding === "attach";
    const file = isAttaching ? aio.attachFile(order.file) : aio.openFileSync(order.file.path);
    this.#load = new Load({ aio, file, held, mailbox, lane, seed, blocks: true });
    this.#views = Array.from({ length: TASKS + STAGED_MAX }, () => aio.alloc(READ_BYTES));
    const backend = backendOf(aio);
    const { reapDead } = backend;
    const timed: typeof reapDead = (from) => this.#load.timed(() => reapDead(from));
    backend.reapDead = reaps ? timed : () => {};
  }

  /** Without a load: starts one read into that memory, shows it to the others, and ends. */
  runAlone(view: Uint8Array): void {
    const { holding, lane } = this.#order;
    const backend = backendOf(this.#aio);
    const step = holding === "reap" ? "foreign" : STEPS[holding];
    if (step !== undefined) arm(step, backend.id, () => this.#end.atOnce());
    if (holding === "batch") this.#aio.enterBatchmode();
    const { index } = this.#load.start(0, this.#aio.acquire(), view, lane);
    if (holding === "batch") return this.#die(() => this.#aio.exitBatchmode());
    if (holding === "reap") return backend.reapDead();
    if (step === undefined) return this.#attempt();
    if (step !== "foreign") this.#held.tryPerform(this.#aio, index);
    for (let other = 0; other < backend.control.handleCount; other++) {
      if (other !== index) this.#held.tryPerform(this.#aio, other);
    }
  }

  async run(): Promise<void> {
    const { way, holding, lane } = this.#order;
    // It may end at any moment: the main thread decides when.
    if (way === "terminate" && holding === "nothing") this.#mailbox.setHolding(lane, true);
    for (let task = 0; task < TASKS; task++) {
      this.#load.issue(task, this.#views[task]!, () => this.#age());
    }
    for (;;) {
      this.#load.turn(3, 4);
      await setImmediate();
    }
  }

  #age(): void {
    if (this.#isDying || this.#load.done < this.#order.afterIos) return;
    this.#isDying = true;
    const { way, holding } = this.#order;
    const step = STEPS[holding];
    if (step !== undefined) {
      arm(step, this.#aio.backendId, () => this.#end.atOnce());
    } else if (holding === "anything") {
      this.#end.anywhere(OPERATIONS_MAX);
    } else if (way !== "terminate" || holding !== "nothing") {
      this.#load.stop();
      if (way === "throw") setTimeout(() => this.#attempt(), 0);
      else this.#attempt();
    }
  }

  #attempt(): void {
    const letGo = this.#take();
    if (letGo === null) setTimeout(() => this.#attempt(), 1);
    else if (this.#order.holding === "batch") this.#dieOnceAwaited(letGo);
    else this.#die(letGo);
  }

  /** Dies once another thread waits for what is staged, or after some looks. */
  #dieOnceAwaited(letGo: LetGo, looks = 0): void {
    const { words } = backendOf(this.#aio).control;
    const ref = this.#mailbox.read(this.#order.lane, TASKS)!;
    const { base } = backendOf(this.#aio).handleOf(ref.index);
    const isAwaited = Atomics.load(words, base + HANDLE.waiterMask) !== 0;
    if (isAwaited || looks === AWAITED_LOOKS_MAX) this.#die(letGo);
    else setTimeout(() => this.#dieOnceAwaited(letGo, looks + 1), 1);
  }

  #die(letGo: LetGo): void {
    const { way, lane } = this.#order;
    if (way === "selfClose") this.#end.atOnce();
    this.#mailbox.setHolding(lane, true);
    if (way === "throw") throw new Error(THE_END);
    self.postMessage(TERMINATE);
    setTimeout(() => {
      this.#mailbox.setHolding(lane, false);
      letGo();
      setTimeout(() => this.#attempt(), LET_GO_MS);
    }, HOLD_MS_MAX);
  }

  /** Takes what the thread must die with; null: that is not possible now. */
  #take(): LetGo | null {
    switch (this.#order.holding) {
      case "handle":
        return this.#takeHandle();
      case "batch":
        return this.#takeBatch();
      case "arenaLock":
        return this.#takeLock(HEADER.arenaLock);
      case "filesLock":
        return this.#takeLock(HEADER.filesLock);
      case "claim":
        return this.#takeClaim();
      default:
        return () => {};
    }
  }

  #takeHandle(): LetGo | null {
    const handle = this.#aio.tryAcquire();
    if (handle === null) return null;
    if (this.#order.seed % 3 === 0) handle.setIovec(this.#views[TASKS]!);
    return () => handle.release();
  }

  #takeBatch(): LetGo | null {
    this.#aio.enterBatchmode();
    for (let i = 0; i <= this.#order.seed % STAGED_MAX; i++) {
      const handle = this.#aio.tryAcquire();
      if (handle === null) break;
      this.#load.start(TASKS + i, handle, this.#views[TASKS + i]!, i);
    }
    const letGo = () => this.#aio.exitBatchmode();
    if (this.#aio.haveStaged) return letGo;
    letGo();
    return null;
  }

  #takeLock(at: number): LetGo {
    const backend = backendOf(this.#aio);
    const { libc, control } = backend;
    const threadId = libc.threadId();
    lock(control.words, at, threadId, (id) => libc.isThreadAlive(id));
    // It would lock the same word.
    const { reapDead } = backend;
    backend.reapDead = () => {};
    return () => {
      unlock(control.words, at, threadId);
      backend.reapDead = reapDead;
    };
  }

  /** Claims an IO of another thread, if there is one, else one of its own. */
  #takeClaim(): LetGo | null {
    const backend = backendOf(this.#aio);
    const { handleCount, handlesPerBackend } = backend.control;
    const next = (backend.id + 1) * handlesPerBackend;
    for (let i = 0; i < handleCount; i++) {
      const handle = backend.handleOf((next + i) % handleCount);
      if (backend.claim(handle)) return () => backend.performSynchronously(handle);
    }
    return null;
  }
}

async function attach(order: DeathOrder, held: HeldMethod): Promise<Aio> {
  for (;;) {
    try {
      return await Aio.attach(order.token, {}, mortalMethods(order.token.method, held));
    } catch (error) {
      // Busy: another thread still takes over from the dead one in that slot.
      if (!(error instanceof Deno.errors.Busy)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, BUSY_RETRY_MS));
  }
}

self.onmessage = async ({ data: order }: MessageEvent<DeathOrder>) => {
  const mailbox = new Mailbox(order.mailbox);
  mailbox.setThreadId(order.lane, openLibc().threadId());
  const end = new End(order, mailbox);
  const held: HeldMethod = new HeldMethod({
    onWaitOne: (_backend, handle) => {
      held.tryPerform(aio, handle.index);
    },
  });
  if (order.holding === "attach") end.anywhere(ATTACH_OPERATIONS_MAX);
  const aio = await attach(order, held);
  const life = new Life({ order, mailbox, end, aio, held });
  if (order.view === null) await life.run();
  else setTimeout(() => life.runAlone(order.view!), 0);
};
