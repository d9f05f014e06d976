/**
 * load_worker.ts: one thread of `load.ts`: it issues reads and writes, alone and in batches,
 * publishes their wait references, awaits its own and others', and completes whatever is held,
 * whoever issued it.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { setImmediate } from "node:timers/promises";
import { backendOf } from "../../../core/inside.ts";
import { AioReturn } from "../../../core/mod.ts";
import { Aio } from "../../../mod.ts";
import type { AioHandle, IoMethod, WaitRef } from "../../../core/mod.ts";
import type { AioFile } from "../../../mod.ts";
import { FILE_BYTES, fileContent } from "../core.ts";
import { METHODS_FOR_TESTS } from "../workers/worker_pool.ts";
import { HeldMethod } from "../held_method.ts";
import {
  type LoadAnswer,
  type LoadOrder,
  MAILBOX_COUNTS,
  MAILBOX_REFS,
  MAILBOX_STARTED,
} from "./load.ts";
import { Prng } from "../prng.ts";

const TASKS = 4;
const READ_BYTES = 64;
/** A batch has up to so many IOs more than one. */
const BATCH_MORE_MAX = 3;
/** Words of the mailbox that a wait reference takes: index + 1, generation. */
const SLOT_WORDS = 2;

/** One IO of a task. */
interface Started {
  readonly ref: WaitRef;
  readonly ret: AioReturn;
  readonly view: Uint8Array;
  readonly expected: Uint8Array;
}

/** One task: its memory, and the cell of the file that only it writes. */
interface Task {
  readonly number: number;
  readonly views: Uint8Array[];
  readonly returns: AioReturn[];
  readonly cell: number;
  written: Uint8Array | null;
}

class Load {
  readonly #aio: Aio;
  readonly #file: AioFile;
  readonly #held: HeldMethod | null;
  readonly #order: LoadOrder;
  readonly #mailbox: Int32Array;
  readonly #random: Prng;
  #isOver = false;
  readonly answer: LoadAnswer = { done: 0, wrong: 0, foreign: 0, performed: 0 };

  constructor(aio: Aio, file: AioFile, held: HeldMethod | null, order: LoadOrder) {
    this.#aio = aio;
    this.#file = file;
    this.#held = held;
    this.#order = order;
    this.#mailbox = new Int32Array(order.mailbox);
    this.#random = new Prng(order.seed + order.number);
  }

  async run(): Promise<void> {
    const completing = this.#complete();
    await Promise.all(Array.from({ length: TASKS }, (_, task) => this.#issue(task)));
    this.#isOver = true;
    await completing;
  }

  /**
   * Completes own and others' IO until all threads are done, as nobody else would complete the last
   * ones.
   */
  async #complete(): Promise<void> {
    const { control } = backendOf(this.#aio);
    while (!this.#isOver || Atomics.load(this.#mailbox, 0) < this.#order.threads) {
      if (this.#isOver) this.#announce();
      const index = this.#random.below(control.handleCount);
      for (let i = 0; this.#held !== null && i < control.handleCount; i++) {
        if (this.#random.chance(1, 4)) continue;
        const next = (index + i) % control.handleCount;
        if (this.#held.tryPerform(this.#aio, next)) this.answer.performed++;
      }
      await setImmediate();
    }
  }

  #isAnnounced = false;

  #announce(): void {
    if (this.#isAnnounced) return;
    this.#isAnnounced = true;
    Atomics.add(this.#mailbox, 0, 1);
  }

  async #issue(number: number): Promise<void> {
    const memory = this.#aio.alloc((1 + BATCH_MORE_MAX) * READ_BYTES);
    const task: Task = {
      number,
      views: Array.from(
        { length: 1 + BATCH_MORE_MAX },
        (_, i) => memory.subarray(i * READ_BYTES, (i + 1) * READ_BYTES),
      ),
      returns: Array.from({ length: 1 + BATCH_MORE_MAX }, () => new AioReturn()),
      cell: FILE_BYTES + (this.#order.number * TASKS + number) * READ_BYTES,
      written: null,
    };
    const share = Math.ceil(this.#order.ios / TASKS);
    const ios = Math.max(0, Math.min(this.#order.ios - number * share, share));
    for (let done = 0; done < ios;) {
      const started = await this.#start(task);
      this.#publish(number, started[0]!.ref);
      if (this.#random.chance(1, 4)) await this.#awaitForeign();
      for (const one of started) await this.#waitFor(one);
      if (done === 0) await this.#awaitOthers(number);
      done += started.length;
    }
    this.#aio.free(memory);
  }

  /**
   * Waits until all threads have begun: a late one would find the others gone, and nothing to
   * await.
   */
  async #awaitOthers(task: number): Promise<void> {
    if (task === 0) Atomics.add(this.#mailbox, MAILBOX_STARTED, 1);
    while (Atomics.load(this.#mailbox, MAILBOX_STARTED) < this.#order.threads) await setImmediate();
  }

  async #start(task: Task): Promise<Started[]> {
    if (this.#random.chance(1, 8)) return [await this.#write(task)];
    const first = await this.#read(task, 0);
    const more = this.#random.chance(1, 8) ? this.#readMore(task) : [];
    return [first, ...more];
  }

  /** Blocks the thread now and then, as much code does. */
  #acquire<T>(use: (handle: AioHandle) => T, ret: AioReturn): Promise<T> {
    if (this.#random.chance(1, 16)) return Promise.resolve(use(this.#aio.acquire(null, ret)));
    return this.#aio.acquireAsync(use, null, ret);
  }

  #read(task: Task, entry: number): Promise<Started> {
    const ret = task.returns[entry]!;
    return this.#acquire((handle) => this.#startRead(task, entry, handle), ret);
  }

  #startRead(task: Task, entry: number, handle: AioHandle): Started {
    const isOwnCell = task.written !== null && this.#random.chance(1, 4);
    const offset = isOwnCell ? task.cell : this.#random.below(FILE_BYTES - READ_BYTES);
    const expected = isOwnCell ? task.written! : fileContent(offset, READ_BYTES);
    const view = task.views[entry]!;
    const ref = handle.waitRef();
    handle.setIovec(view);
    this.#file.startReadv(handle, offset);
    return { ref, ret: task.returns[entry]!, view, expected };
  }

  #readMore(task: Task): Started[] {
    return this.#aio.batch(() => {
      const started: Started[] = [];
      for (let entry = 1; entry <= BATCH_MORE_MAX; entry++) {
        const handle = this.#aio.tryAcquire(null, task.returns[entry]!);
        if (handle !== null) started.push(this.#startRead(task, entry, handle));
      }
      return started;
    });
  }

  #write(task: Task): Promise<Started> {
    const view = task.views[0]!;
    for (let i = 0; i < READ_BYTES; i++) view[i] = this.#random.below(256);
    const ret = task.returns[0]!;
    task.written = view.slice();
    return this.#acquire((handle) => {
      const ref = handle.waitRef();
      handle.setIovec(view);
      this.#file.startWritev(handle, task.cell);
      return { ref, ret, view, expected: task.written! };
    }, ret);
  }

  async #waitFor({ ref, ret, view, expected }: Started): Promise<void> {
    if (this.#random.chance(1, 8)) this.#aio.waitSync(ref);
    else await this.#aio.wait(ref);
    const isRight = ret.result.status === "ok" && ret.result.result === READ_BYTES &&
      view.every((byte, i) => byte === expected[i]);
    if (!isRight) this.answer.wrong++;
    this.answer.done++;
    this.#mailbox[MAILBOX_COUNTS + this.#order.number] = this.answer.done;
  }

  #slotAt(thread: number, task: number): number {
    return MAILBOX_REFS + (thread * TASKS + task) * SLOT_WORDS;
  }

  #publish(task: number, ref: WaitRef): void {
    const at = this.#slotAt(this.#order.number, task);
    Atomics.store(this.#mailbox, at, 0);
    Atomics.store(this.#mailbox, at + 1, ref.generation);
    Atomics.store(this.#mailbox, at, ref.index + 1);
  }

  async #awaitForeign(): Promise<void> {
    const thread = this.#random.below(this.#order.threads);
    const at = this.#slotAt(thread, this.#random.below(TASKS));
    const index = Atomics.load(this.#mailbox, at) - 1;
    const generation = Atomics.load(this.#mailbox, at + 1);
    if (
      index < 0 || thread === this.#order.number || Atomics.load(this.#mailbox, at) !== index + 1
    ) return;
    await this.#aio.wait({ index, generation });
    this.answer.foreign++;
  }
}

self.onmessage = async ({ data }: MessageEvent<LoadOrder>) => {
  const held = data.method === "held" ? new HeldMethod() : null;
  const methods: readonly IoMethod[] = held === null ? METHODS_FOR_TESTS : [held];
  const aio = await Aio.attach(data.token, {}, methods);
  const file = aio.attachFile(data.file);
  const load = new Load(aio, file, held, data);
  await load.run();
  await file.close();
  await aio.close();
  self.postMessage(load.answer);
};
