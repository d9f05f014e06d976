/**
 * taken_descriptors.ts: descriptors that a thread takes out of shared memory to close them. One
 * that it has not closed when it dies is lost: nobody else may close a number that could be
 * another file's by then.
 *
 * @module
 */

import { BACKEND, Control } from "../../../core/memory/shared_memory.ts";
import { openLibc } from "../../../ffi/libc.ts";

/** What stands in place of the descriptor of a file that is being closed (file_table.ts). */
const NO_FD = -1;

/** Those of this thread. */
export class TakenDescriptors {
  readonly #taken = new Set<number>();
  readonly #control: Control;
  readonly #doorbells: ReadonlySet<number>;

  /** Watches what this thread closes from now on. */
  constructor(controlMemory: SharedArrayBuffer) {
    this.#control = new Control(controlMemory);
    const ids = Array.from({ length: this.#control.threadCount }, (_, id) => id);
    this.#doorbells = new Set(ids.map((id) => this.#control.backendAt(id) + BACKEND.doorbell));
    // This thread's only one, which the library has then, too.
    const libc = openLibc();
    const close = libc.close.bind(libc);
    libc.close = (fd) => {
      this.#taken.delete(fd);
      return close(fd);
    };
  }

  /** How many are lost if this thread dies now. */
  get count(): number {
    return this.#taken.size;
  }

  /**
   * Looks at an atomic operation that is about to be done.
   *
   * @param args what it is called with
   */
  note(args: readonly unknown[]): void {
    const [words, index, first, second] = args;
    if (!(words instanceof Int32Array) || words.buffer !== this.#control.buffer) return;
    const at = Number(index);
    const isFile = first === NO_FD;
    const isDoorbell = this.#doorbells.has(at) && second === 0;
    const fd = this.#control.words[at]!;
    if ((isFile || isDoorbell) && fd > 0) this.#taken.add(fd);
  }
}
