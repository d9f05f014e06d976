/**
 * read_stream.ts: {@linkcode ReadStream}, the door of a read stream: pages one after another,
 * awaited or waited for, and how a stream ends.
 *
 * @module
 */

import { atCaller, called, calling, onAbort, runSteps, runStepsSync } from "../../core/inside.ts";
import type { Backend, Steps } from "../../core/inside.ts";
import { AioApiError } from "../../core/mod.ts";
import type { PageSource } from "./page_source.ts";
import * as sources from "./page_source.ts";
import * as reading from "./read_ahead.ts";
import { ReadAhead } from "./read_ahead.ts";
import type { ReadAheadOptions } from "./look_ahead.ts";
import type { StreamState } from "./stream_state.ts";
import type { StreamStats } from "./stream_stats.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { NO_BUFFER } = sources;
const { DONE } = reading;

/** Whoever closes what streams read from, and has them end first. */
export interface StreamHome {
  /** The streams that may have something in flight. */
  readonly streams: Set<{ endWith(error: unknown): void }>;
  /** Refuses a call after the end. */
  checkOpen(verb: string): void;
}

/** What a stream is made of. */
export interface StreamParts<P> {
  /** Where its pages come from. */
  readonly source: PageSource<P>;
  /** What it reads from. */
  readonly home: StreamHome;
  /** Of this thread. */
  readonly backend: Pick<Backend, "turn" | "checkNotInCallback">;
  /** How it reads. */
  readonly options: ReadAheadOptions;
  /** What must be known before the first block; null: nothing. */
  readonly begin: ((isBlocking: boolean) => Steps<void>) | null;
  /** Has the blocks begin again; null: that is the user's business. */
  readonly restart: (() => void) | null;
  /** Ends the stream. */
  readonly signal: AbortSignal | undefined;
}

/** Makes a stream. */
export let readStreamOf: <P>(parts: StreamParts<P>) => ReadStream<P>;

/** As `stream.next()`, for this module: a page that is there comes without a promise. */
export let nextOf: <P>(stream: ReadStream<P>) => P | null | Promise<P | null>;

/** Whoever awaits the next page. */
interface Waiter<P> {
  resolve(page: P | null): void;
  reject(error: unknown): void;
}

/**
 * Pages one after another, in the order of a callback or of a range, read ahead of their use:
 * PostgreSQL's read stream. Neighbours are read together, up to `ioCombineLimit` of them, and the
 * further ahead the longer the consumer had to wait. Made by `file.readStream()`.
 *
 * A page is valid until the next call. The loop `for await (const page of stream)` ends the stream,
 * however it is left, unless a page could not be read: then {@linkcode reset} or {@linkcode close}
 * it.
 */
export class ReadStream<P> implements AsyncIterable<P>, AsyncDisposable, Disposable {
  readonly #parts: StreamParts<P>;
  readonly #reads: ReadAhead<P>;
  #delivered = NO_BUFFER;
  #hasBegun = false;
  /** Whether the next page is found, and its turn has not come. */
  #isFound = false;
  /** Whether a call looks for the next page, blocking or not: its callback may be running. */
  #isRunning = false;
  /** Whether what it reads from knows of it, and the signal ends it. */
  #isActive = false;
  #ignoreAbort: (() => void) | null = null;
  #waiter: Waiter<P> | null = null;
  #failure: { readonly error: unknown } | null = null;
  /** How it ended for good; the error is null after `close()`. */
  #ended: { readonly error: unknown } | null = null;
  #onTornDown: (() => void)[] = [];
  readonly #user = { endWith: (error: unknown): void => this.#end(error) };

  /** @ignore */
  private constructor(parts: StreamParts<P>) {
    this.#parts = parts;
    this.#reads = new ReadAhead(parts.source, parts.options);
  }

  static {
    readStreamOf = (parts) => new ReadStream(parts);
    nextOf = (stream) => {
      const page = stream.#tryNext(false);
      return page === undefined ? stream.#nextSlowly() : page;
    };
  }

  /** Whether it has ended for good: by {@linkcode close}, its signal, or the end of its file. */
  get isClosed(): boolean {
    return this.#ended !== null;
  }

  // --- pages ---

  /**
   * The next page, awaited; null at the end. The page before is no longer valid.
   *
   * @throws what keeps the page from being read, naming the block, and what `next` has thrown, in
   *   the place of its block; again, until {@linkcode reset}
   * @throws {AioApiError} while another call of this stream is pending
   * @throws {Deno.errors.BadResource} if the file was closed
   * @throws the signal's reason
   */
  next(): Promise<P | null> {
    try {
      const page = this.#tryNext(false);
      return page === undefined
        ? called(this.#nextSlowly(), this.#parts.signal)
        : Promise.resolve(page);
    } catch (error) {
      return Promise.reject(atCaller(error, ReadStream.prototype.next, this.#parts.signal));
    }
  }

  /** As {@linkcode next}, blocking the thread. */
  nextSync(): P | null {
    try {
      const page = this.#tryNext(true);
      return page === undefined ? this.#run(() => runStepsSync(this.#steps(true))) : page;
    } catch (error) {
      throw atCaller(error, ReadStream.prototype.nextSync, this.#parts.signal);
    }
  }

  /** The pages that are left. Leaving the loop early closes the stream. */
  [Symbol.asyncIterator](): AsyncIterator<P, undefined> {
    return {
      next: () => this.#nextResult(),
      return: () => {
        this.#end(null);
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #nextResult(): Promise<IteratorResult<P, undefined>> {
    const { signal } = this.#parts;
    try {
      const page = this.#tryNext(false);
      if (page !== undefined) return Promise.resolve(asResult(page));
      return called(this.#nextSlowly().then(asResult), signal);
    } catch (error) {
      return called(Promise.reject(error), signal);
    }
  }

  /** @returns undefined: the rest takes steps */
  #tryNext(isBlocking: boolean): P | null | undefined {
    if (this.#ended !== null) return refuse(this.#ended);
    this.#checkFree("get the next page of");
    if (!this.#isActive) this.#activate();
    if (this.#ended !== null) return refuse(this.#ended);
    if (this.#failure !== null) throw this.#failure.error;
    this.#releaseDelivered();
    if (!this.#hasBegun && this.#parts.begin !== null) return undefined;
    let isDone: boolean;
    this.#isRunning = true;
    try {
      isDone = this.#reads.run(isBlocking) === DONE;
    } catch (error) {
      this.#isRunning = false;
      if (this.#ended !== null) return this.#endCall();
      throw this.#fail(error);
    }
    this.#isRunning = false;
    // A step that has begun is done in any case.
    if (!isDone) return undefined;
    this.#delivered = this.#reads.found;
    if (this.#ended !== null) return this.#endCall();
    if (isBlocking) return this.#deliver();
    const { turn } = this.#parts.backend;
    // A page that was there already is work, too, and the event loop has other tasks.
    turn.spendCompleted(0);
    this.#isFound = turn.isOver();
    return this.#isFound ? undefined : this.#deliver();
  }

  /** Does the steps that are left of a blocking call. */
  #run(steps: () => void): P | null {
    this.#isRunning = true;
    try {
      steps();
    } catch (error) {
      this.#isRunning = false;
      if (this.#ended !== null) return this.#endCall();
      throw this.#fail(error);
    }
    this.#isRunning = false;
    this.#delivered = this.#reads.found;
    return this.#ended === null ? this.#deliver() : this.#endCall();
  }

  /** The callback has ended the stream. */
  #endCall(): null {
    this.#tearDown();
    return refuse(this.#ended!);
  }

  #nextSlowly(): Promise<P | null> {
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      // Whoever ends the stream settles the promise first; what comes of the steps is then unheard.
      this.#finishNext().then(resolve, reject);
    });
  }

  async #finishNext(): Promise<P | null> {
    const { turn } = this.#parts.backend;
    try {
      if (!this.#isFound) {
        await runSteps(this.#steps(false));
        this.#delivered = this.#reads.found;
      }
      this.#isFound = false;
      if (turn.isOver()) {
        await new Promise<void>((resolve) => turn.handOut({ completed: resolve }));
      }
      this.#waiter = null;
      return this.#ended === null ? this.#deliver() : refuse(this.#ended);
    } catch (error) {
      this.#waiter = null;
      this.#isFound = false;
      throw this.#fail(error);
    } finally {
      if (this.#ended !== null) this.#tearDown();
    }
  }

  *#steps(isBlocking: boolean): Steps<void> {
    yield* this.#beginSteps(isBlocking);
    // If it was ended meanwhile only a step that has begun is left.
    if (this.#ended === null || this.#reads.stopped !== DONE) yield* this.#reads.steps(isBlocking);
  }

  *#beginSteps(isBlocking: boolean): Steps<void> {
    const { begin } = this.#parts;
    if (!this.#hasBegun && begin !== null) yield* begin(isBlocking);
    this.#hasBegun = true;
  }

  /** The page that was found; null at the end. @throws what keeps it from being used */
  #deliver(): P | null {
    if (this.#delivered === NO_BUFFER) {
      this.#rest();
      return null;
    }
    try {
      return this.#parts.source.pageOf(this.#delivered, this.#reads.data);
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #releaseDelivered(): void {
    const buffer = this.#delivered;
    if (buffer === NO_BUFFER) return;
    this.#delivered = NO_BUFFER;
    this.#parts.source.release(buffer);
  }

  #checkFree(verb: string): void {
    this.#parts.backend.checkNotInCallback("readStream");
    if (this.#waiter === null && !this.#isRunning) return;
    throw new AioApiError(`Cannot ${verb} the stream while another call of it is pending`);
  }

  // --- its state ---

  /**
   * Has the stream end behind what it has read ahead, until {@linkcode resume}.
   *
   * @returns null, so that `next` can return it
   */
  pause(): null {
    return this.#reads.pause();
  }

  /** Has the stream go on after {@linkcode pause}, or after an end that is none any more. */
  resume(): void {
    this.#reads.resume();
  }

  /**
   * Gives up all that is read ahead, without waiting for it, and begins anew: with the next block
   * of `next`, or with the first one of the range.
   *
   * @throws {AioApiError} while another call of this stream is pending
   */
  reset(): void {
    calling(ReadStream.prototype.reset, () => {
      if (this.#ended !== null) return;
      this.#checkFree("reset");
      this.#drop();
      this.#failure = null;
      this.#parts.restart?.();
    });
  }

  /**
   * Takes the next block, and does not read it; null at the end. Of a range without an end the
   * first call of all measures the file, blocking.
   */
  nextBlock(): number | null {
    return calling(ReadStream.prototype.nextBlock, () => {
      if (this.#ended !== null) return refuse(this.#ended);
      this.#checkFree("take the next block of");
      runStepsSync(this.#beginSteps(true));
      return this.#reads.nextBlock();
    });
  }

  /** Has the stream do without the strategy by which a pool limits its buffers. */
  clearStrategy(): void {
    this.#parts.source.clearStrategy?.();
  }

  /** Counts from now on, into the object that it returns; each call returns the same. */
  enableStats(): StreamStats {
    return this.#reads.enableStats();
  }

  /** A copy of the state, by PostgreSQL's names. */
  inspect(): StreamState {
    return this.#reads.inspect();
  }

  // --- ends ---

  /**
   * Ends the stream: gives up what is read ahead, which ends by itself. A call that is pending
   * resolves with null, later ones too.
   *
   * @returns resolves when nothing of it is in flight, and its memory is given back
   */
  close(): Promise<void> {
    return called(this.#close());
  }

  async #close(): Promise<void> {
    this.#parts.backend.checkNotInCallback("close");
    this.#end(null);
    // A callback that closes it has its call go on, up to a step that may have to wait.
    if (this.#waiter !== null || this.#isRunning) {
      await new Promise<void>((done) => this.#onTornDown.push(done));
    }
    await this.#parts.source.settled();
  }

  /** {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** As {@linkcode close}, without waiting for what is in flight. */
  [Symbol.dispose](): void {
    this.#end(null);
  }

  #activate(): void {
    const { home, signal } = this.#parts;
    if (this.#ended !== null) return;
    if (signal?.aborted === true) return this.#end(signal.reason);
    home.checkOpen("read");
    home.streams.add(this.#user);
    if (signal !== undefined) {
      // A callback of an IO may abort it, and must not do what this does.
      this.#ignoreAbort = onAbort(signal, (reason) => queueMicrotask(() => this.#end(reason)));
    }
    this.#isActive = true;
  }

  /** Nothing is pinned. */
  #rest(): void {
    this.#isActive = false;
    this.#parts.home.streams.delete(this.#user);
    this.#ignoreAbort?.();
    this.#ignoreAbort = null;
    this.#parts.source.rest();
  }

  /** Unpins all. */
  #drop(): void {
    this.#isFound = false;
    this.#releaseDelivered();
    this.#reads.reset();
    this.#rest();
  }

  /** @returns the error */
  #fail(error: unknown): unknown {
    if (this.#waiter !== null || this.#ended !== null || this.#failure !== null) return error;
    this.#failure = { error };
    this.#drop();
    return error;
  }

  /** @param error null: it was closed */
  #end(error: unknown): void {
    if (this.#ended !== null) return;
    this.#ended = { error };
    const waiter = this.#waiter;
    if (waiter === null && !this.#isRunning) return this.#tearDown();
    // A step is under way: what it uses goes when it is done.
    this.#reads.isStopping = true;
    if (waiter === null) return;
    if (error === null) waiter.resolve(null);
    else waiter.reject(error);
  }

  #tearDown(): void {
    this.#drop();
    const waiting = this.#onTornDown;
    this.#onTornDown = [];
    for (const done of waiting) done();
  }
}

function asResult<P>(page: P | null): IteratorResult<P, undefined> {
  return page === null ? { done: true, value: undefined } : { done: false, value: page };
}

function refuse({ error }: { readonly error: unknown }): null {
  if (error === null) return null;
  throw error;
}
