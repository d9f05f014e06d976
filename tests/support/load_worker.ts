/**
 * load_worker.ts: one thread of `load.ts`: it issues reads, publishes their wait references, awaits its
 * own and others', and completes whatever is held, whoever issued it.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { setImmediate } from "node:timers/promises";
import { Aio, AioReturn } from "../../mod.ts";
import type { AioFile, WaitRef } from "../../mod.ts";
import { fileContent } from "./core.ts";
import { HeldMethod } from "./held_method.ts";
import type { LoadAnswer, LoadOrder } from "./load.ts";
import { Prng } from "./prng.ts";

const TASKS = 4;
const READ_BYTES = 64;
const FILE_BYTES = 65_536;
/** Words of the mailbox that a wait reference takes: index + 1, generation. */
const SLOT_WORDS = 2;

class Load {
  readonly #aio: Aio;
  readonly #file: AioFile;
  readonly #held: HeldMethod;
  readonly #order: LoadOrder;
  readonly #mailbox: Int32Array;
  readonly #random: Prng;
  #isOver = false;
  readonly answer: LoadAnswer = { done: 0, wrong: 0, foreign: 0, performed: 0 };

  constructor(aio: Aio, file: AioFile, held: HeldMethod, order: LoadOrder) {
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

  /** Own and others' IO, until all threads are done: else nobody would complete the last ones. */
  async #complete(): Promise<void> {
    const { control } = this.#aio.backend;
    while (!this.#isOver || Atomics.load(this.#mailbox, 0) < this.#order.threads) {
      if (this.#isOver) this.#announce();
      const index = this.#random.below(control.handleCount);
      for (let i = 0; i < control.handleCount; i++) {
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

  async #issue(task: number): Promise<void> {
    const view = this.#aio.alloc(READ_BYTES);
    const ret = new AioReturn();
    const share = Math.ceil(this.#order.ios / TASKS);
    for (let i = task * share; i < Math.min(this.#order.ios, (task + 1) * share); i++) {
      const offset = this.#random.below(FILE_BYTES - READ_BYTES);
      const ref = await this.#aio.acquireAsync(
        (handle) => {
          const ref = handle.waitRef();
          handle.setIovec(view);
          this.#file.startReadv(handle, offset);
          return ref;
        },
        null,
        ret,
      );
      this.#publish(task, ref);
      if (this.#random.chance(1, 4)) await this.#awaitForeign();
      if (this.#random.chance(1, 8)) this.#aio.waitSync(ref);
      else await this.#aio.wait(ref);
      this.#verify(view, offset, ret);
    }
    this.#aio.free(view);
  }

  #verify(view: Uint8Array, offset: number, ret: AioReturn): void {
    const expected = fileContent(offset, READ_BYTES);
    const isRight = ret.result.status === "ok" && view.every((byte, i) => byte === expected[i]);
    if (!isRight) this.answer.wrong++;
    this.answer.done++;
  }

  #slotAt(thread: number, task: number): number {
    return 1 + (thread * TASKS + task) * SLOT_WORDS;
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
  // What a blocking wait performs must be claimed like everything else.
  const held: HeldMethod = new HeldMethod({
    onWaitOne: (_backend, handle) => {
      held.tryPerform(aio, handle.index);
    },
  });
  const aio = await Aio.attach(data.token, {}, [held]);
  const file = aio.attachFile(data.file);
  const load = new Load(aio, file, held, data);
  await load.run();
  await file.close();
  await aio.close();
  self.postMessage(load.answer);
};
