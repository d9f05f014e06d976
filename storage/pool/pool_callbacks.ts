/**
 * pool_callbacks.ts: what completes the IO of a pool, in whichever thread: each page that was read
 * is verified and valid from then on, each that was written is as the file is.
 *
 * An IO has its buffers by their own words (buffer_io.ts). Taking that word away is the last thing
 * done with a buffer: a callback that runs once more leaves alone what the first was done with.
 *
 * @module
 */

import * as inside from "../../core/inside_layers.ts";
import type { Control, LayerHost } from "../../core/inside_layers.ts";
import type { AioCallbacks, AioResult, CallbackHandle } from "../../core/mod.ts";
import { type BufferIoKind, endIo, ioWordOf } from "./buffer_io.ts";
import { BUFFER, BUFFER_STATE, POOL, PoolMemory, serialAt } from "./pool_memory.ts";
import { describeOutcome, packOutcome, type ReadOutcome, unpackOutcome } from "./read_outcome.ts";
import { READ_FLAG } from "../stream/page_source.ts";
import { tellWaiters, unpinnedOf } from "./wait_words.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { fromWords, HANDLE, PAGE_SIZE_BYTES } = inside;

/** A buffer's number is below this; what is above names the pool's run. */
const BUFFERS_MAX = 2 ** 24;

/** What a pool's IO says of a buffer, in its handle's data. */
export function datumOf(memory: PoolMemory, buffer: number): number {
  return memory.run.offset / PAGE_SIZE_BYTES * BUFFERS_MAX + buffer;
}

/** The pools of an Aio, as one thread of it sees them. */
export class KnownPools {
  readonly #host: LayerHost;
  readonly #pools = new Map<number, PoolMemory>();

  /** @param host of the layer, in this thread */
  constructor(host: LayerHost) {
    this.#host = host;
  }

  /** The pool in the run that begins at a page of the arena. */
  at(page: number): PoolMemory {
    const offset = page * PAGE_SIZE_BYTES;
    const known = this.#pools.get(page);
    // Another pool may be there by now.
    if (known !== undefined && known.words[POOL.serial] === known.serial) return known;
    const { arena } = this.#host;
    if (serialAt(arena, offset) === 0) throw new Error(`There is no pool at page ${page}`);
    const pool = new PoolMemory(arena, { offset, bytes: 0 });
    this.#pools.set(page, pool);
    return pool;
  }
}

/** The callbacks by name, in the order of their ids. */
export function poolCallbacks(
  host: LayerHost,
  pools: KnownPools,
): Readonly<Record<string, AioCallbacks>> {
  const readv: AioCallbacks = {
    completeShared: (handle, prior, data) => new ReadEnd(host, pools, handle, prior, data).run(),
    report: (result, _data, target) =>
      describeOutcome(unpackOutcome(result.errorData), 0, 1, target.describe()),
  };
  return {
    sharedBufferReadv: readv,
    // A pool of one thread's own is completed by that thread, or by whoever reaps it.
    localBufferReadv: readv,
    sharedBufferWritev: {
      completeShared(handle, prior) {
        endWrite(host, pools, handle, prior);
        return prior;
      },
    },
  };
}

/** Visits the buffers that an IO still has. */
function eachBuffer(
  { control, bells }: LayerHost,
  pools: KnownPools,
  handle: CallbackHandle,
  kind: BufferIoKind,
  visit: (memory: PoolMemory, buffer: number, place: number) => void,
): void {
  const word = ioWordOf(control, handle.id, kind);
  const count = control.words[control.handleAt(handle.id) + HANDLE.handleDataLength]!;
  for (let place = 0; place < count; place++) {
    const datum = datumAt(control, handle.id, place);
    const memory = pools.at(Math.floor(datum / BUFFERS_MAX));
    const buffer = datum % BUFFERS_MAX;
    const at = memory.at(buffer);
    if (Atomics.load(memory.words, at + BUFFER.io) !== word) continue;
    visit(memory, buffer, place);
    endIo(bells, memory, buffer);
    const isFree = Atomics.load(memory.words, at + BUFFER.pins) === 0;
    if (isFree && Atomics.load(memory.words, POOL.unpinnedWaiters) !== 0) {
      tellWaiters(bells, unpinnedOf(memory));
    }
  }
}

function datumAt(control: Control, index: number, place: number): number {
  const at = control.handleDataAt(index) + 2 * place;
  return fromWords(control.words[at]!, control.words[at + 1]!);
}

/** The end of one read. */
class ReadEnd {
  readonly #host: LayerHost;
  readonly #pools: KnownPools;
  readonly #handle: CallbackHandle;
  readonly #result: AioResult;
  readonly #flags: number;
  #isBehindEnd = false;
  readonly #outcome: ReadOutcome = { wrong: 0, isZeroed: false, ignored: 0, first: 0 };

  constructor(
    host: LayerHost,
    pools: KnownPools,
    handle: CallbackHandle,
    result: AioResult,
    flags: number,
  ) {
    this.#host = host;
    this.#pools = pools;
    this.#handle = handle;
    this.#result = result;
    this.#flags = flags;
  }

  run(): AioResult {
    const result = this.#result;
    const hasFailed = result.status === "error";
    let offset = -1;
    eachBuffer(this.#host, this.#pools, this.#handle, "read", (memory, buffer, place) => {
      const { words, pageBytes } = memory;
      if (offset < 0) offset = this.#handle.operationData.offset;
      const isRead = !hasFailed && result.result >= (place + 1) * pageBytes;
      const block = offset / pageBytes + place;
      const isValid = isRead
        ? this.#accept(memory, buffer, block, place)
        : this.#isZeroedAtEnd(memory, buffer, block, place);
      const bits = isValid ? BUFFER_STATE.valid : hasFailed ? BUFFER_STATE.ioError : 0;
      if (bits !== 0) Atomics.or(words, memory.at(buffer) + BUFFER.state, bits);
    });
    return this.#conclude();
  }

  /** Whether a page that was read is as it should be, or is taken as it is. */
  #accept(memory: PoolMemory, buffer: number, block: number, place: number): boolean {
    if (memory.verifier === 0) return true;
    const verdict = this.#host.verifiers.verify(memory.verifier, memory.bytes(buffer), block);
    if (verdict === "ok") return true;
    if (verdict === "badChecksum" && (this.#flags & READ_FLAG.ignoreChecksumFailures) !== 0) {
      if (this.#outcome.wrong === 0 && this.#outcome.ignored === 0) this.#outcome.first = place;
      this.#outcome.ignored++;
      this.#say(`ignoring checksum failure in block ${block}`);
      return true;
    }
    return this.#isZeroed(memory, buffer, block, place);
  }

  /** A page behind the end of the file, in a read that got nothing. */
  #isZeroedAtEnd(memory: PoolMemory, buffer: number, block: number, place: number): boolean {
    const { status, result } = this.#result;
    // Of a read that got some pages the rest is read again: it may have been cut short.
    if (status === "error" || result >= memory.pageBytes) return false;
    this.#isBehindEnd = true;
    if ((this.#flags & READ_FLAG.zeroOnError) === 0) return false;
    return this.#isZeroed(memory, buffer, block, place);
  }

  #isZeroed(memory: PoolMemory, buffer: number, block: number, place: number): boolean {
    if (this.#outcome.wrong === 0) this.#outcome.first = place;
    this.#outcome.wrong++;
    if ((this.#flags & READ_FLAG.zeroOnError) === 0) return false;
    this.#outcome.isZeroed = true;
    memory.bytes(buffer).fill(0);
    this.#say(`invalid page in block ${block}; zeroing out page`);
    return true;
  }

  #say(what: string): void {
    this.#host.say("log", `${what} of ${this.#handle.describeTarget()}`);
  }

  #conclude(): AioResult {
    const result = this.#result;
    const { wrong, ignored, isZeroed } = this.#outcome;
    if (result.status === "error") return result;
    if (wrong === 0 && ignored === 0) {
      // Not one page: the file ends before the first.
      if (this.#isBehindEnd) {
        result.status = "error";
        result.errorData = 0;
      }
      return result;
    }
    result.status = wrong > 0 && !isZeroed ? "error" : "warning";
    result.errorData = packOutcome(this.#outcome);
    return result;
  }
}

/** The end of one write: what was written is as the file is; nobody changed it meanwhile. */
function endWrite(
  host: LayerHost,
  pools: KnownPools,
  handle: CallbackHandle,
  { status, result }: AioResult,
): void {
  eachBuffer(host, pools, handle, "write", (memory, buffer, place) => {
    const stateAt = memory.at(buffer) + BUFFER.state;
    const isWritten = status !== "error" && result >= (place + 1) * memory.pageBytes;
    if (isWritten) Atomics.and(memory.words, stateAt, ~(BUFFER_STATE.dirty | BUFFER_STATE.ioError));
    else if (status === "error") Atomics.or(memory.words, stateAt, BUFFER_STATE.ioError);
  });
}
