/**
 * cached_copy.ts: reads into plain memory of what is in the page cache, copied straight to where it
 * is wanted by one system call that does not wait for any device (`preadv2` with `RWF_NOWAIT`).
 *
 * As an IO such a read would go by way of bounce space, since the kernel may not keep plain memory:
 * a handle, a run of the arena, and a second copy. A call that is over when it returns needs none
 * of these. What is not there in full is left to the IO, and after each miss twice as many reads go
 * without the attempt.
 *
 * @module
 */

import { type Backend, COUNTER, MissPause } from "../../core/inside.ts";
import type { TransferFile } from "./transfer_request.ts";

/** Memory of at most 64 bytes may be in V8's own heap, where it can move between two calls. */
const BYTES_MIN = 65;
/** Most bytes of one copy: more are as quick by threads of the kernel, beside the event loop. */
const COPY_BYTES_MAX = 256 * 1024;
/** With more in flight the queue of a device may be full, and even the attempt would wait then. */
const IN_FLIGHT_MAX = 16;

/** The cached reads of one thread that are no IO. */
export class CachedCopies {
  readonly #backend: Backend;
  readonly #isWanted: boolean;
  readonly #pause = new MissPause();

  /** @param backend of this thread; its method says whether there are any */
  constructor(backend: Backend) {
    this.#backend = backend;
    // Whoever follows each IO in the log sees these, too.
    this.#isWanted = backend.method.copiesCached === true && backend.log?.has("debug3") !== true;
  }

  /**
   * Fills a buffer, if all of it is in memory, and this turn of the event loop is not over.
   *
   * @returns whether it did
   */
  tryRead(file: TransferFile, buffer: Uint8Array, offset: number): boolean {
    if (!this.#isWanted || this.#pause.skips()) return false;
    const bytes = buffer.byteLength;
    if (bytes < BYTES_MIN || bytes > COPY_BYTES_MAX || !this.#mayCopy(file)) return false;
    const { turn } = this.#backend;
    if (turn.isOver()) return false;
    return this.#pause.note(this.#copy(file, buffer, offset));
  }

  /**
   * The same for whoever reads on from there, and makes no further attempt after one that has
   * failed. The turn is looked at before.
   *
   * @param buffer of an ArrayBuffer of its own
   */
  tryReadNext(file: TransferFile, buffer: Uint8Array, offset: number): boolean {
    return this.#isWanted && this.#mayCopy(file) && this.#copy(file, buffer, offset);
  }

  #mayCopy({ buffered = null }: TransferFile): boolean {
    const { inFlightCount, injections } = this.#backend;
    // A hook is to see each IO.
    return buffered !== null && inFlightCount <= IN_FLIGHT_MAX && injections.count === 0;
  }

  #copy({ buffered }: TransferFile, buffer: Uint8Array, offset: number): boolean {
    const backend = this.#backend;
    const { libc, turn, counters, files: { copying } } = backend;
    const bytes = buffer.byteLength;
    backend.checkUsable("acquire");
    if (!copying.begin(buffered!)) return false;
    let done: number;
    try {
      done = libc.preadCachedInto(buffered!.fd, buffer, offset);
    } finally {
      copying.end();
    }
    if (done !== bytes) return false;
    turn.spend(bytes);
    counters[COUNTER.started]!++;
    counters[COUNTER.synchronousByMethod]!++;
    counters[COUNTER.completedBySelf]!++;
    counters[COUNTER.bytesRead]! += bytes;
    return true;
  }
}
