/**
 * atomic_steps.ts: counts the atomic writes of a thread to shared memory, and ends the thread right
 * before one of them: between any two steps that others rely on.
 *
 * @module
 */

const WRITES = ["store", "or", "and", "add", "exchange", "compareExchange"] as const;

/** The steps of this thread. */
export class AtomicSteps {
  /** How many there were. */
  count = 0;
  /** Before which one the thread ends. */
  diesAt: number = Infinity;
  /** Called right before that. */
  onDeath: () => void = () => {};

  /** @param memories those whose writes count */
  constructor(...memories: readonly ArrayBufferLike[]) {
    for (const name of WRITES) {
      const plain = Reflect.get(Atomics, name) as (...args: unknown[]) => number;
      Reflect.set(Atomics, name, (words: Int32Array, ...rest: unknown[]) => {
        if (memories.includes(words.buffer) && this.count++ === this.diesAt) this.#die();
        return plain(words, ...rest);
      });
    }
  }

  #die(): never {
    this.onDeath();
    // The engine cuts only the microtask that runs. The rest of the turn still runs, and what it
    // posts is no answer.
    Reflect.set(self, "postMessage", () => {});
    self.close();
    // The engine looks for the end at each jump back.
    for (;;);
  }
}
