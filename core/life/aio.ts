/**
 * aio.ts: class {@linkcode AioCore}, the subsystem as its users see it.
 *
 * @module
 */

import type { UseHandle } from "../backend/acquire_queue.ts";
import type { Backend } from "../backend/backend.ts";
import { type BackendRow, listBackends } from "../views/backend_rows.ts";
import { setBackendOf } from "../backend/backend_of.ts";
import { called } from "../base/caller.ts";
import { closeBackend, type CloseFiles, OPEN_BATCH } from "./closing_backend.ts";
import { closingFd } from "./closing_fd.ts";
import { AioApiError } from "../base/errors.ts";
import type { AioHandle } from "../io/handle.ts";
import type { InjectionHook } from "../io/injection.ts";
import { INSPECT } from "../base/inspect.ts";
import { type IoRow, listIos } from "../views/io_rows.ts";
import type { IoMethod, WorkerRow } from "../io/method.ts";
import { attachBackend, type AttachOptions, openBackend, type OpenedBackend } from "./open_aio.ts";
import type { AioOptions, EffectiveOptions, WorkerPoolOptions } from "../base/options.ts";
import { type CloseOptions, Patience } from "../base/patience.ts";
import { reapBackend } from "./reap.ts";
import { reporterOf } from "../backend/reporter.ts";
import { type ResourceOwner, runWithOwner } from "./resource_owner.ts";
import {
  AioResult,
  type AioReturn,
  bindReporter,
  type ReportLevel,
  reportResult,
} from "../io/result.ts";
import type { InjectionPoint, ResultReporter } from "../io/result.ts";
import { LAYOUT_VERSION } from "../memory/shared_memory.ts";
import type { AioToken } from "../memory/token.ts";
import type { CompletionWaiter } from "../waiting/turn.ts";
import type { WaitRef } from "../io/wait_ref.ts";
import { listWorkers, setWorkers } from "./workers.ts";

/** `close()` of a subclass that has files. */
export let closeWithFiles: (
  aio: AioCore,
  options: CloseOptions | undefined,
  closeFiles: CloseFiles,
) => Promise<void>;

/**
 * PostgreSQL's asynchronous I/O subsystem: handles, wait references, batches, callbacks, targets.
 * Programs open an `Aio`, which is one of these with files and the methods of this version.
 */
export class AioCore implements AsyncDisposable {
  /** Why the method was chosen, in a sentence's worth of words. */
  readonly methodReason: string;
  readonly #backend: Backend;
  readonly #reporter: ResultReporter;
  readonly #patience = new Patience();
  #closed: Promise<void> | null = null;
  #wasInBatch = false;

  /** @ignore */
  protected constructor(opened: OpenedBackend) {
    this.#backend = opened.backend;
    setBackendOf(this, opened.backend);
    this.methodReason = opened.methodReason;
    this.#reporter = reporterOf(opened.backend);
  }

  static {
    closeWithFiles = (aio, options, closeFiles) => aio.#closeWith(options, closeFiles);
  }

  /**
   * Opens the subsystem in this thread, which becomes backend 0.
   *
   * @param options see {@linkcode AioOptions}
   * @param methods the methods there are, the best first
   * @throws {TypeError} or {RangeError} for a wrong option
   * @throws {Deno.errors.NotCapable} without permission for the C library, naming the flag
   * @throws {Deno.errors.NotSupported} if the machine or Deno is not enough, naming the remedy
   */
  static open(
    options?: AioOptions,
    methods: readonly IoMethod[] = [],
  ): Promise<AioCore> {
    return called(openBackend(options, methods).then((opened) => new AioCore(opened)));
  }

  /**
   * Attaches this thread to what another thread of the process opened.
   *
   * @param token `aio.token`, as posted by any attached thread
   * @param hooks this thread's `onWarning`, `onLog` and `logLevel`
   * @param methods the methods there are
   * @throws {TypeError} for another version's token, or other callbacks than the opener has
   * @throws {AioApiError} if this thread is attached already
   * @throws {Deno.errors.Busy} if no slot is free, naming the option `maxBackends`
   * @throws {Deno.errors.BadResource} if the opener has closed it
   */
  static attach(
    token: AioToken,
    hooks: AttachOptions = {},
    methods: readonly IoMethod[] = [],
  ): Promise<AioCore> {
    return called(attachBackend(token, methods, hooks).then((opened) => new AioCore(opened)));
  }

  /** The options in force. */
  get options(): EffectiveOptions {
    return this.#backend.options;
  }

  /** The method in use. */
  get method(): string {
    return this.#backend.method.name;
  }

  /** This thread's backend. */
  get backendId(): number {
    return this.#backend.id;
  }

  /** Names this Aio, for other threads of the process; can be posted to Workers. */
  get token(): AioToken {
    return {
      kind: "deno-aio",
      version: LAYOUT_VERSION,
      control: this.#backend.control.buffer,
      arena: this.#backend.arena.buffer,
      arenaMemory: this.#backend.arena.wasmMemory,
      method: this.method,
      options: this.options,
    };
  }

  /** Whether {@linkcode close} was called. */
  get isClosed(): boolean {
    return this.#closed !== null;
  }

  /** One line for `console.log(aio)`: `Aio (io_uring, backend 0, 3 in flight)`. */
  [INSPECT](): string {
    const { id, inFlightCount } = this.#backend;
    const now = this.isClosed ? "closed" : `${inFlightCount} in flight`;
    return `${this.constructor.name} (${this.method}, backend ${id}, ${now})`;
  }

  // --- handles ---

  /**
   * Takes a handle, to prepare one IO. State after: handedOut. Blocks the thread until one is free.
   *
   * @param owner charged with it until the IO is done
   * @param ret filled when the IO is done
   * @throws {AioApiError} `API violation: Only one IO can be handed out` if one is, or from a
   *   callback
   * @throws {Deno.errors.BadResource} after {@linkcode close}
   */
  acquire(owner: ResourceOwner | null = null, ret: AioReturn | null = null): AioHandle {
    this.#bind(ret);
    return this.#backend.acquire(owner, ret);
  }

  /** As {@linkcode acquire}, but never blocks: null if no handle is free. */
  tryAcquire(owner: ResourceOwner | null = null, ret: AioReturn | null = null): AioHandle | null {
    this.#bind(ret);
    return this.#backend.tryAcquire(owner, ret);
  }

  /**
   * Calls `use` with a handle once one is free, first come, first served. `use` must start or
   * release it before it returns: awaiting with a handle in hand would stop all other tasks.
   *
   * @param use called synchronously, at once if nobody waits and a handle is free
   * @param owner charged with the handle until the IO is done
   * @param ret filled when the IO is done
   * @param signal when it aborts before that, `use` is not called
   * @returns what `use` returned
   * @throws the signal's reason
   * @throws {AioApiError} if `use` neither started nor released the handle; it is given back
   */
  acquireAsync<T>(
    use: UseHandle<T>,
    owner: ResourceOwner | null = null,
    ret: AioReturn | null = null,
    signal?: AbortSignal,
  ): Promise<T> {
    this.#bind(ret);
    return this.#backend.acquireAsync(use, owner, ret, signal);
  }

  #bind(ret: AioReturn | null): void {
    if (ret !== null) bindReporter(ret.result, this.#reporter);
  }

  // --- waiting ---

  /**
   * Waits for an IO, blocking the thread. Submits what this backend has staged first.
   *
   * @throws {AioApiError} for an own IO that is not started yet, a use that never began, or from a
   *   callback
   * @throws {TypeError} or {RangeError} for what is no wait reference of this Aio
   */
  waitSync(ref: WaitRef): void {
    this.#backend.waiting.waitSync(ref);
  }

  /**
   * Awaits an IO. Resolves in this turn of the event loop if it is done, unless the turn has lasted
   * over 1 ms: then in the next, so that timers and others get theirs.
   *
   * @throws as {@linkcode waitSync}, at the call
   */
  wait(ref: WaitRef): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#backend.waiting.whenDone(ref, { completed: resolve })) resolve();
    return promise;
  }

  /**
   * Has a waiter told when an IO is done, without a promise.
   *
   * @param ref from `handle.waitRef()`
   * @param waiter its `completed()` is called once, from the event loop
   * @returns true if the IO is done already and the turn not over: the waiter is then not called
   * @throws as {@linkcode waitSync}
   */
  whenDone(ref: WaitRef, waiter: CompletionWaiter): boolean {
    return this.#backend.waiting.whenDone(ref, waiter);
  }

  /**
   * Whether an IO is done. Looks for completions but never blocks. Throws as {@linkcode waitSync}.
   */
  checkDone(ref: WaitRef): boolean {
    return this.#backend.waiting.checkDone(ref);
  }

  /**
   * Gives up interest in an own IO: its {@linkcode AioReturn} is no longer written. The IO itself
   * goes on, and keeps its memory until it is done.
   */
  abandon(ref: WaitRef): void {
    this.#backend.abandon(ref);
  }

  /**
   * Has an own IO given up, if that is still possible: one that is only staged never starts, one in
   * the kernel is cancelled there by io_uring. It is completed in any case: with ECANCELED, or as
   * usual.
   *
   * @throws {AioApiError} for another backend's IO, or from a callback
   */
  cancel(ref: WaitRef): void {
    this.#backend.checkNotInCallback("cancel");
    this.#backend.cancel(ref);
  }

  // --- batches ---

  /**
   * From now on started IOs are only staged, up to 32, until {@linkcode exitBatchmode}.
   *
   * @throws {AioApiError} `starting batch while batch already in progress`
   */
  enterBatchmode(): void {
    this.#backend.staging.enterBatchmode();
  }

  /**
   * Submits what is staged and ends the batch.
   *
   * @throws {AioApiError} if none is open
   */
  exitBatchmode(): void {
    this.#backend.staging.exitBatchmode();
  }

  /** Submits what is staged; a batch stays open. */
  submitStaged(): void {
    this.#backend.checkUsable("submitStaged");
    this.#backend.staging.submit();
  }

  /** Whether any IO is staged. */
  get haveStaged(): boolean {
    return this.#backend.staging.count > 0;
  }

  /**
   * Runs a function in batch mode, which is left whatever happens.
   *
   * @param fn synchronous
   * @returns what it returned
   * @throws {TypeError} if it returned a promise, whose rejection is then taken: a batch must not
   *   stay open across turns
   */
  batch<T>(fn: () => T): T {
    return this.#backend.staging.run(fn);
  }

  // --- ends ---

  /**
   * Runs a function with a resource owner of its own, released when it ends: with warnings for what
   * it left unfinished, or without if it threw.
   *
   * @param fn may be asynchronous
   */
  withOwner<T>(fn: (owner: ResourceOwner) => T): T {
    return runWithOwner(this, fn);
  }

  /** After an error: leaves batch mode and submits what is staged. */
  errorCleanup(): void {
    this.#backend.staging.errorCleanup();
  }

  /**
   * The end of a unit of work. A batch left open is closed, with the warning
   * `open AIO batch at end of (sub-)transaction`.
   *
   * @param _committed whether the work went well; the warning is the same
   */
  endOfScope(_committed: boolean): void {
    if (!this.#backend.staging.isInBatch) return;
    this.errorCleanup();
    this.#backend.warn(OPEN_BATCH);
  }

  /**
   * To be called before a descriptor is closed: what this thread has staged is submitted, and what
   * any thread has on its way to it is waited for, blocking. During the call no thread can start IO
   * on it (`Deno.errors.BadResource`); afterwards the number is yours to close, and may be another
   * file's at once, so tell the threads that still use it. On a file of `openFile()` nothing can
   * start any more; those files do all this by themselves.
   *
   * @throws {RangeError} for what is no descriptor
   * @throws {AioApiError} from a callback
   */
  closingFd(fd: number): void {
    this.#backend.checkNotInCallback("closingFd");
    closingFd(this.#backend, fd);
  }

  /**
   * Ends the subsystem in this thread: refuses new IO, waits for its own IO in flight and for IO of
   * others that it awaits, then gives everything back. In the opener it ends new IO everywhere, and
   * waits for what other threads have in flight; in an attached thread it detaches that thread. A
   * batch left open is closed, with the warning `open AIO batch at end of (sub-)transaction`.
   * Calling it again does nothing.
   *
   * @param options a signal to end the wait: what is in flight then keeps its memory and
   *   descriptors until the kernel is done, but no event loop alive, and the rest follows by itself
   * @throws {AioApiError} if a handle is handed out
   * @throws the signal's reason
   * @throws what failed on the way, several errors as an `AggregateError`; everything is given back
   */
  close(options?: CloseOptions): Promise<void> {
    return this.#closeWith(options, async () => {});
  }

  #closeWith(options: CloseOptions | undefined, closeFiles: CloseFiles): Promise<void> {
    const closed = this.#closed ?? this.#closeFirst(closeFiles);
    return called(this.#patience.wait(closed, options?.signal), options?.signal);
  }

  async #closeFirst(closeFiles: CloseFiles): Promise<void> {
    this.#checkClosable();
    this.#closed = closeBackend(this.#backend, this.#wasInBatch, closeFiles, this.#patience);
    await this.#closed;
  }

  /** A refused close leaves everything as it was, so that a later one can work. */
  #checkClosable(): void {
    if (this.#backend.hasHandedOut) {
      throw new AioApiError(
        "Cannot close aio while a handle is handed out: start or release it first",
      );
    }
    this.#wasInBatch = this.#backend.staging.isInBatch;
    this.#backend.staging.errorCleanup();
  }

  /**
   * The end of an `await using` block: {@linkcode close}, unless whoever called that gave it up.
   */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#patience.isGivenUp ? Promise.resolve() : this.close();
  }

  /**
   * Takes over from a thread that ended without `close()`: IO that it had on its way is done again,
   * so that whoever waits for it gets the data; its handles, files, memory and slot are free
   * afterwards.
   *
   * @param id its `backendId`
   * @throws {AioApiError} if its thread still runs, or nobody is in the slot
   * @throws {RangeError} if there is no such backend
   */
  reapBackend(id: number): void {
    this.#backend.checkUsable("reapBackend");
    reapBackend(this.#backend, id);
  }

  // --- what there is ---

  /**
   * The IOs of all backends that are not over, as PostgreSQL's view `pg_aios` shows them, in order
   * of their handles. May be called at any time, in a callback too; it never waits. An IO that
   * ended while it was looked at is left out.
   */
  ios(): IoRow[] {
    return listIos(this.#backend.control, this.#backend.targets);
  }

  /**
   * The attached threads, with what each has prepared, in flight and free, what it is blocked in by
   * PostgreSQL's names of wait events, and what it has done so far. May be called at any time, as
   * {@linkcode ios}.
   */
  backends(): BackendRow[] {
    return listBackends(this.#backend.control, this.options.maxBackends);
  }

  /**
   * The Workers that execute IO, with the method `worker`; none with others. May be called at any
   * time, as {@linkcode ios}.
   */
  workers(): WorkerRow[] {
    return listWorkers(this.#backend);
  }

  /**
   * Changes the pool of the method `worker` while it runs: what is not given stays as it is. More
   * Workers come with the next IO that needs them, fewer are left when those that are too many have
   * done their IO.
   *
   * @param change see {@linkcode WorkerPoolOptions}
   * @returns what is in force
   * @throws {TypeError} or {RangeError} for a wrong value, as `Aio.open()`
   * @throws {Deno.errors.NotSupported} with another method
   */
  setWorkers(change: WorkerPoolOptions): Readonly<Required<WorkerPoolOptions>> {
    return setWorkers(this.#backend, change);
  }

  /**
   * Has a hook called at a place in the life of each IO of this thread: for tests of programs that
   * must get along with slow, failed and half-done IO.
   *
   * - `"aio-after-staging"`: in the issuer, before the IO is submitted
   * - `"aio-process-completion-before-shared"`: in whichever attached thread completes it (in this
   *   one with the method `worker`); what it returns replaces the raw result, in bytes or -errno
   * - `"aio-before-reclaim"`: in the issuer, before its local callbacks
   *
   * A hook may block the thread. One that throws turns the IO into an error, as a callback does.
   *
   * @throws {RangeError} for an unknown place
   */
  attachInjectionPoint(point: InjectionPoint, hook: InjectionHook): void {
    this.#backend.injections.attach(point, hook);
  }

  /**
   * Takes a hook away.
   *
   * @returns whether there was one
   * @throws {RangeError} for an unknown place
   */
  detachInjectionPoint(point: InjectionPoint): boolean {
    return this.#backend.injections.detach(point);
  }

  /**
   * The id of a callback's name.
   *
   * @throws {RangeError} if there is none
   */
  callbackId(name: string): number {
    return this.#backend.callbacks.idOf(name);
  }

  /**
   * The id of a target's name.
   *
   * @throws {RangeError} if there is none
   */
  targetId(name: string): number {
    return this.#backend.targets.idOf(name);
  }

  /** As the function {@linkcode reportResult}, for results copied from another thread too. */
  reportResult(result: AioResult, targetData: Int32Array, level: ReportLevel): void {
    if (result instanceof AioResult) bindReporter(result, this.#reporter);
    reportResult(result, targetData, level);
  }

  /**
   * Takes shared memory into use for IO without a copy. It is held until {@linkcode close}. Adopt
   * it before you fill it: Linux is asked for huge pages, from 2 MiB on, for what was not touched
   * yet.
   *
   * @throws {TypeError} if it is not a SharedArrayBuffer of fixed length
   */
  adoptMemory(memory: SharedArrayBuffer): void {
    this.#backend.checkUsable("adoptMemory");
    this.#backend.memory.adopt(memory);
  }
}
