/**
 * tally_thread.ts: what each thread does that shares the words of tally_layer.ts: it takes the
 * turn, blocking or awaiting, reads, and looks whether its IO has left its mark.
 *
 * @module
 */

import { AioReturn, type WaitRef } from "../../../core/mod.ts";
import type { Aio, AioFile, AioToken, FileToken } from "../../../mod.ts";
import { backendOf, layersOf } from "../../../core/inside.ts";
import { fileContent } from "../core.ts";
import { type Tally, tallyLayer } from "./tally_layer.ts";

const READ_BYTES = 64;

/** The order of a Worker. */
export interface TallyOrder {
  readonly token: AioToken;
  readonly file: FileToken;
  readonly turns: number;
  /** It makes the words, and dies in its last turn. */
  readonly isMortal: boolean;
  /** Whether it takes dead threads out of the words. */
  readonly heals: boolean;
}

/** What a Worker says: that it takes part; what was wrong, once it is done. */
export type TallyAnswer = "joined" | readonly string[];

/** This thread's part of the layer. */
export function tallyOf(aio: Aio): Tally {
  return layersOf(backendOf(aio)).partsOf(tallyLayer).tally;
}

/** One thread. */
export class TallyThread {
  readonly #aio: Aio;
  readonly #file: AioFile;
  readonly #tally: Tally;
  readonly #blocks: boolean;
  /** What should not have happened. */
  readonly faults: string[] = [];

  /** @param blocks whether it waits blocking every other time, or awaits always */
  constructor(aio: Aio, file: AioFile, blocks = true) {
    this.#blocks = blocks;
    this.#aio = aio;
    this.#file = file;
    this.#tally = tallyOf(aio);
  }

  /**
   * So many turns, each with a read of its own.
   *
   * @param atLast called in the last turn, with another read in flight
   */
  async run(turns: number, atLast: () => void = () => {}): Promise<void> {
    for (let turn = 1; turn <= turns; turn++) {
      if (this.#blocks && turn % 2 === 0) this.#blockForTurn();
      else await this.#awaitTurn();
      if (this.#tally.state.inside !== 1) this.faults.push("Two threads have the turn");
      if (turn === turns) {
        const view = this.#aio.alloc(READ_BYTES);
        const { ref } = this.#start(turn + turns, view);
        atLast();
        await this.#aio.wait(ref);
        this.#aio.free(view);
      }
      this.#tally.giveTurn();
      await this.#read(turn);
    }
  }

  #blockForTurn(): void {
    const { wordWaits } = backendOf(this.#aio);
    for (;;) {
      const present = this.#tally.tryTakeTurn();
      if (present === 0) return;
      wordWaits.waitSync(this.#tally.turn, present);
    }
  }

  async #awaitTurn(): Promise<void> {
    const { wordWaits } = backendOf(this.#aio);
    for (;;) {
      const present = this.#tally.tryTakeTurn();
      if (present === 0) return;
      await wordWaits.changed(this.#tally.turn, present);
    }
  }

  #start(mark: number, view: Uint8Array): { ref: WaitRef; ret: AioReturn } {
    const ret = new AioReturn();
    const handle = this.#aio.acquire(null, ret);
    const ref = handle.waitRef();
    handle.registerCallbacks(this.#aio.callbackId("tally"));
    handle.setHandleData(this.#tally.dataOf(mark));
    handle.setIovec(view);
    this.#file.startReadv(handle, mark);
    return { ref, ret };
  }

  async #read(mark: number): Promise<void> {
    const view = this.#aio.alloc(READ_BYTES);
    const { ref, ret } = this.#start(mark, view);
    await this.#aio.wait(ref);
    const expected = fileContent(mark, READ_BYTES);
    const isRight = ret.result.status === "ok" && view.every((byte, i) => byte === expected[i]);
    if (!isRight) this.faults.push(`The read ${mark} brought something else`);
    const found = this.#tally.markOf(ref.index);
    if (found !== mark) this.faults.push(`The read ${mark} left the mark ${found}`);
    this.#aio.free(view);
  }
}
