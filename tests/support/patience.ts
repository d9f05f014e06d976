/**
 * patience.ts: how long the library's patience is on this machine now. Who waits asks after a hundred
 * sleeps of 1 ms whether the other threads still live; with processors that are busy elsewhere those
 * take longer. A limit in such units holds on a slow machine, too.
 *
 * @module
 */

const SLEEPS = 100;

/** Words shared with the Worker: the longest until now in ms, and whether it is over. */
const LONGEST = 0;
const IS_OVER = 1;

const PROGRAM = `
  const asleep = new Int32Array(new SharedArrayBuffer(4));
  self.onmessage = ({ data: words }) => {
    while (Atomics.load(words, ${IS_OVER}) === 0) {
      const since = performance.now();
      for (let i = 0; i < ${SLEEPS}; i++) Atomics.wait(asleep, 0, 0, 1);
      const ms = Math.ceil(performance.now() - since);
      if (ms > words[${LONGEST}]) Atomics.store(words, ${LONGEST}, ms);
    }
    self.postMessage("over");
  };
`;

/** Measures it again and again, in a thread of its own, until the end of its scope. */
export class Patience implements AsyncDisposable {
  readonly #words = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  readonly #worker = new Worker(`data:text/javascript,${encodeURIComponent(PROGRAM)}`, {
    type: "module",
  });
  readonly #isOver = new Promise((resolve) => this.#worker.onmessage = resolve);

  constructor() {
    this.#worker.postMessage(this.#words);
  }

  /** The longest it took until now. */
  get longestMs(): number {
    return Math.max(SLEEPS, Atomics.load(this.#words, LONGEST));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    Atomics.store(this.#words, IS_OVER, 1);
    await this.#isOver;
    this.#worker.terminate();
  }
}
