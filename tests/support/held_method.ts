/**
 * held_method.ts: a method that keeps IOs until a test lets them go: one by one, in any order, with
 * any result or by really performing them. With it a test sees what `sync` cannot show: staged and
 * submitted IOs, all handles in use, waiting, batches.
 *
 * What is held is read from shared memory alone: an IO is held while its state is submitted, and
 * its place in the order is a number in the handle's word for the method. So whoever is attached to
 * the same memory may list and release, whichever thread submitted. Only the counters of calls
 * below are the calling thread's own.
 *
 * @module
 */

import { backendOf } from "../../core/inside.ts";
import type { AioCore } from "../../core/mod.ts";
import type { AioHandle } from "../../core/io/handle.ts";
import { SUBMITTED } from "../../core/memory/handle_state.ts";
import type { Availability, IoMethod, MethodBackend } from "../../core/io/method.ts";
import { type Control, HANDLE, HEADER } from "../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../core/io/wait_ref.ts";

/** What a {@linkcode HeldMethod} does where `sync` or a kernel would decide. */
export interface HeldMethodOptions {
  /** What a blocking wait does; default: performs the IO waited for, unless another thread does. */
  onWaitOne?(backend: MethodBackend, handle: AioHandle): void;
  /** What a look for completions does; default: nothing. */
  onCheckOne?(backend: MethodBackend, handle: AioHandle): void;
  /** How long its backend may sleep; default: until it is rung by whoever lets an IO go. */
  sleepMsMax?(backend: MethodBackend): number;
  /** Default true, as for worker and io_uring. */
  waitOnFdBeforeClose?: boolean;
  /** What `available()` says; default: it is. */
  available?: Availability;
  /** Default `"held"`. */
  name?: string;
}

/** Bytes of shared memory: one word, the number of the last submission. */
const SHARED_BYTES = 4;
/** The method; one object for one Aio. */
export class HeldMethod implements IoMethod {
  readonly name: string;
  readonly waitOnFdBeforeClose: boolean;
  /** How many IOs each call of `submit` took. */
  readonly submissions: number[] = [];
  /** The handles that were waited for, blocking, one entry a call. */
  readonly waits: number[] = [];
  /** The handles that were looked at, one entry a call. */
  readonly checks: number[] = [];
  /** Calls of `initBackend` and `shutdownBackend`, in order. */
  readonly calls: string[] = [];
  readonly #options: HeldMethodOptions;
  #isLettingGo = false;

  /** @param options where the defaults are not what a test needs */
  constructor(options: HeldMethodOptions = {}) {
    this.#options = options;
    this.name = options.name ?? "held";
    this.waitOnFdBeforeClose = options.waitOnFdBeforeClose ?? true;
  }

  available(): Availability {
    return this.#options.available ?? { ok: true };
  }

  shmemSize(): number {
    return SHARED_BYTES;
  }

  shmemInit(control: Control): void {
    control.words[control.words[HEADER.methodOffset]!] = 0;
  }

  initBackend(): void {
    this.calls.push("init");
  }

  shutdownBackend(): void {
    this.calls.push("shutdown");
  }

  submit(backend: MethodBackend, staged: readonly AioHandle[], count: number): number {
    const { words } = backend.control;
    for (const handle of staged.slice(0, count)) {
      const order = Atomics.add(words, words[HEADER.methodOffset]!, 1);
      words[handle.base + HANDLE.method] = order;
      backend.prepareSubmit(handle);
      if (this.#isLettingGo && backend.claim(handle)) backend.performSynchronously(handle);
    }
    this.submissions.push(count);
    return count;
  }

  waitOne(backend: MethodBackend, handle: AioHandle): void {
    this.waits.push(handle.index);
    if (this.#options.onWaitOne !== undefined) this.#options.onWaitOne(backend, handle);
    else if (backend.claim(handle)) backend.performSynchronously(handle);
  }

  checkOne(backend: MethodBackend, handle: AioHandle): void {
    this.checks.push(handle.index);
    this.#options.onCheckOne?.(backend, handle);
  }

  sleepMsMax(backend: MethodBackend): number {
    return this.#options.sleepMsMax?.(backend) ?? Infinity;
  }

  /** The handles that are held, of all backends, in the order of their submission. */
  held(aio: AioCore): number[] {
    const { control } = backendOf(aio);
    const { words } = control;
    const orderOf = (index: number) => words[control.handleAt(index) + HANDLE.method]!;
    return Array.from({ length: control.handleCount }, (_, index) => index)
      .filter((index) => Atomics.load(words, control.handleAt(index) + HANDLE.state) === SUBMITTED)
      .sort((a, b) => orderOf(a) - orderOf(b));
  }

  /** Lets an IO go with a result: bytes, or -errno. Its memory is not touched. */
  complete(aio: AioCore, io: number | WaitRef, result: number): void {
    backendOf(aio).processCompletion(this.#handle(aio, io), result);
  }

  /** Lets an IO go by doing it. */
  perform(aio: AioCore, io: number | WaitRef): void {
    backendOf(aio).performSynchronously(this.#handle(aio, io));
  }

  /** Does all that are held, the oldest first. */
  performAll(aio: AioCore): void {
    for (const index of this.held(aio)) this.perform(aio, index);
  }

  /** The same, and from now on holds nothing: for the end of a test, whose file may still write. */
  letGo(aio: AioCore): void {
    this.#isLettingGo = true;
    this.performAll(aio);
  }

  /** Does one that is held, if no other thread is about to. @returns whether this call did it */
  tryPerform(aio: AioCore, index: number): boolean {
    const handle = backendOf(aio).handleOf(index);
    if (!backendOf(aio).claim(handle)) return false;
    backendOf(aio).performSynchronously(handle);
    return true;
  }

  #handle(aio: AioCore, io: number | WaitRef): AioHandle {
    const index = typeof io === "number" ? io : io.index;
    const handle = backendOf(aio).handleOf(index);
    if (handle.state !== "submitted") {
      throw new Error(`Handle ${index} is not held: its state is ${handle.state}`);
    }
    return handle;
  }
}
