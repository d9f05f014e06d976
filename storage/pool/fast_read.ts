/**
 * fast_read.ts: a read of one page by `pool.read()` that waits for nothing but its own IO, as there
 * is a handle, and a buffer whose content is nowhere else needed: a reused object that is operation
 * and waiter in one, and one promise. Every other read takes the way of page_read.ts, and so does
 * this one as soon as its IO ends otherwise than it should.
 *
 * @module
 */

import { called, runSteps } from "../../core/inside.ts";
import type { CompletionWaiter } from "../../core/mod.ts";
import { AT_ONCE } from "../file/fast_transfer.ts";
import { makePage, type Page, type PageHost } from "./page.ts";
import { pageOf, waitPage } from "./pages_read.ts";
import { NO_BUFFER } from "./pool_memory.ts";
import { PageRead } from "./read_operation.ts";

type Settle = (page: Page | Promise<Page>) => void;

/** Such reads of one thread. */
export class FastReads {
  readonly #host: PageHost;
  readonly #idle: FastRead[] = [];

  /** @param host the pool */
  constructor(host: PageHost) {
    this.#host = host;
  }

  /**
   * Reads the page of a block.
   *
   * @param flags bits of `READ_FLAG`
   * @returns null if it would have to wait for something before
   */
  tryRead(file: number, block: number, flags: number): Promise<Page> | null {
    const { backend, isSynchronous } = this.#host.awaited;
    if (isSynchronous || !backend.mayAcquire) return null;
    const read = this.#idle.pop() ?? new FastRead(this.#host, this.#idle);
    if (read.tryStart(file, block, flags)) return read.settle();
    this.#idle.push(read);
    return null;
  }

  /**
   * The page of a block whose content is not wanted: zeros, unless the page is there.
   *
   * @returns null if it would have to wait for something
   */
  tryZero(file: number, block: number): Page | null {
    const { awaited } = this.#host;
    const mayAcquire = awaited.backend.mayAcquire;
    const buffer = mayAcquire ? awaited.reads.tryZeroNow(file, block) : NO_BUFFER;
    return buffer === NO_BUFFER
      ? null
      : pageOf(this.#host, awaited, { buffers: [buffer], file, block });
  }
}

/** A read of one page; made once and used again. */
class FastRead implements CompletionWaiter {
  readonly #host: PageHost;
  readonly #idle: FastRead[];
  #op = new PageRead();
  #settle: Settle = ignore;

  constructor(host: PageHost, idle: FastRead[]) {
    this.#host = host;
    this.#idle = idle;
  }

  /** One function for all its promises. */
  readonly #keep = (settle: Settle): void => {
    this.#settle = settle;
  };

  /** @returns false if it would have to wait */
  tryStart(file: number, block: number, flags: number): boolean {
    const op = this.#op;
    op.file = file;
    op.use = this.#host.awaited.files.useOf(file);
    op.block = block;
    op.count = 1;
    op.flags = flags;
    return this.#host.awaited.reads.tryStartNow(op);
  }

  /** The promise of the page. */
  settle(): Promise<Page> {
    const op = this.#op;
    const { backend: { waiting }, files } = this.#host.awaited;
    // Another thread has begun with the block at the same time.
    if (!op.isIssued) return Promise.resolve(this.#goOn());
    // What is in the page cache is there once this turn's IOs were submitted.
    const isCached = !files.readerOf(op.file, op.use).direct && waiting.isStaged(op.ref);
    if (isCached) return AT_ONCE.then(this.#afterSubmit);
    if (waiting.whenDone(op.ref, this)) return Promise.resolve(this.#outcome());
    return new Promise(this.#keep);
  }

  readonly #afterSubmit = (): Page | Promise<Page> =>
    this.#host.awaited.backend.waiting.whenDone(this.#op.ref, this)
      ? this.#outcome()
      : new Promise(this.#keep);

  completed(): void {
    const settle = this.#settle;
    settle(this.#outcome());
  }

  /** The page; this object is free for another read afterwards. */
  #outcome(): Page | Promise<Page> {
    const { awaited } = this.#host;
    const { ret, buffers } = this.#op;
    const buffer = buffers[0]!;
    if (ret.result.status !== "ok" || !awaited.isUsable(buffer)) return this.#goOn();
    this.#free();
    return makePage(this.#host, buffer);
  }

  #goOn(): Promise<Page> {
    const { awaited } = this.#host;
    const op = this.#op;
    this.#op = new PageRead();
    this.#free();
    return called(runSteps(awaited.end.call(waitPage(this.#host, awaited, op))));
  }

  #free(): void {
    this.#settle = ignore;
    this.#idle.push(this);
  }
}

function ignore(): void {}
