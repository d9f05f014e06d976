/**
 * linux_aio/refused_test.ts: IO that the kernel refuses, and another thread than its issuer leaves
 * to the pool: from there on it may be over at any time.
 */

import { assert, assertEquals } from "@std/assert";
import type { WaitRef } from "../../../core/mod.ts";
import { WorkerQueue } from "../../../methods/worker/queue.ts";
import { replace } from "../../support/bells/bells.ts";
import { fileContent, type Fixture } from "../../support/core.ts";
import { openMethod } from "../../support/core_methods.ts";
import { METHODS_UNDER_TEST } from "../../support/methods.ts";
import { spinUntil, until } from "../../support/patience.ts";
import { refuseEvents } from "../../support/refused_events.ts";
import { ONE_WORKER, poolUp } from "../../support/workers/worker_pool.ts";
import { type ReuseAnswer, type ReuseOrder, STEP } from "../fixtures/linux_aio_reuse_worker.ts";

const ignore = METHODS_UNDER_TEST.some(({ name, ignore }) => name === "linux_aio" && ignore);
const WORKER_URL = new URL("../fixtures/linux_aio_reuse_worker.ts", import.meta.url);
const BYTES = 512;

/** A Worker that reads twice with its one handle, as this thread sees it. */
class Issuer implements Disposable {
  readonly #steps = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  readonly #worker = new Worker(WORKER_URL, { type: "module" });
  readonly #answers: ReuseAnswer[] = [];

  constructor({ aio, file }: Fixture) {
    this.#worker.onmessage = ({ data }: MessageEvent<ReuseAnswer>) => this.#answers.push(data);
    const [token, steps] = [aio.token, this.#steps];
    const order: ReuseOrder = { token, file: file.token, steps, offsets: [0, BYTES], bytes: BYTES };
    this.#worker.postMessage(order);
  }

  /** Its answer of that number. */
  async answer(i: number): Promise<ReuseAnswer> {
    await until(() => this.#answers.length > i, `The Worker says ${i + 1} things`);
    return this.#answers[i]!;
  }

  /** Lets it wait for its first read, and start the next one; returns when that is submitted. */
  reuse(): void {
    this.#goOn(1);
    spinUntil(() => Atomics.load(this.#steps, STEP.issuer) === 1);
  }

  /** Lets it wait for its second read. */
  end(): void {
    this.#goOn(2);
  }

  #goOn(step: number): void {
    Atomics.store(this.#steps, STEP.taker, step);
    Atomics.notify(this.#steps, STEP.taker);
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** Takes a read of another thread, which is refused; comes to a halt where the pool may have it. */
function takeRefused({ aio }: Fixture, ref: WaitRef, halt: () => void): void {
  using refused = refuseEvents();
  const { announce } = WorkerQueue.prototype;
  using _halt = replace(WorkerQueue.prototype, "announce", function (this: WorkerQueue, handle) {
    announce.call(this, handle);
    this.bringIn();
    halt();
  });
  spinUntil(() => {
    aio.checkDone(ref);
    return refused.count > 0;
  });
}

Deno.test({
  name: "linux_aio: whoever leaves another one's IO to the pool leaves the next use of it alone",
  ignore,
  async fn() {
    const options = { workers: ONE_WORKER, maxBackends: 2, maxConcurrency: 1 };
    await using fixture = await openMethod("linux_aio", options);
    await poolUp(fixture.aio);
    using issuer = new Issuer(fixture);
    const started = await issuer.answer(0);
    assert("ref" in started);
    takeRefused(fixture, started.ref, () => issuer.reuse());
    issuer.end();
    const expected = [fileContent(0, BYTES), fileContent(BYTES, BYTES)];
    assertEquals(await issuer.answer(1), { read: expected });
  },
});
