/**
 * worker/log.ts: the lines of the log that IO Workers make, as the opener takes them.
 *
 * A Worker posts its lines before it tells the issuer that an IO is over. The opener takes what was
 * posted before each line of its own, so the lines about one IO of its are in order; and when a
 * Worker rings, as it may have nothing to say itself.
 *
 * @module
 */

import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { IoLog } from "../../core/io/io_log.ts";
import type { IoWorkerData, IoWorkerLine } from "./io_worker_main.ts";

/** The ports of all Workers. */
export class WorkerLog {
  readonly #log: IoLog;
  readonly #ports = new Map<number, MessagePort>();

  /**
   * For the opener.
   *
   * @param log takes the lines
   */
  constructor(log: IoLog) {
    this.#log = log;
    log.bringEarlier = () => this.bring();
  }

  /** Makes the port of a Worker, to be posted to it. */
  open(number: number): NonNullable<IoWorkerData["log"]> {
    const { port1, port2 } = new MessageChannel();
    this.#ports.set(number, port1);
    return { port: port2, level: this.#log.level };
  }

  /** Takes what was posted. */
  bring(): void {
    for (const port of this.#ports.values()) {
      for (
        let got = receiveMessageOnPort(port);
        got !== undefined;
        got = receiveMessageOnPort(port)
      ) {
        const { line, level }: IoWorkerLine = got.message;
        this.#log.take(level, line);
      }
    }
  }

  /** Lets go of a Worker whose thread has ended. */
  close(number: number): void {
    this.bring();
    this.#ports.get(number)?.close();
    this.#ports.delete(number);
  }

  /** The same for all. */
  closeAll(): void {
    for (const number of [...this.#ports.keys()]) this.close(number);
  }
}
