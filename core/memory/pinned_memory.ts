/**
 * pinned_memory.ts: shared memory that outlives the thread it is used in.
 *
 * A SharedArrayBuffer goes away with the last JavaScript object of it, and those of a Worker end
 * with the Worker: `terminate()` unmaps what an IO of it may still be pointed at. So the memory is
 * posted to a port that nobody reads. The engine keeps what was posted until it is read, or for
 * ever; the thread itself reads it when it lets go.
 *
 * @module
 */

import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";

/** Keeps one piece of memory. */
export class PinnedMemory {
  readonly #sender: MessagePort;
  readonly #receiver: MessagePort;

  /** Keeps it from now on. */
  constructor(memory: SharedArrayBuffer) {
    const { port1, port2 } = new MessageChannel();
    this.#sender = port1;
    this.#receiver = port2;
    this.#sender.postMessage(memory);
  }

  /** Lets go of it. */
  release(): void {
    receiveMessageOnPort(this.#receiver);
    this.#sender.close();
    this.#receiver.close();
  }
}
