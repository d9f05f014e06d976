/**
 * shared_memory.ts: what all threads of a program share, and where in it everything lies.
 *
 * Two shared `WebAssembly.Memory` objects: the *control memory* described here, and the *arena*
 * (`arena.ts`). Such memory is mapped, 64 KiB aligned, and can be posted to Workers; nobody can
 * transfer, resize or detach it, which is what the kernel needs of it.
 *
 * ```text
 * control │ header │ backends │ handles │ iovecs │ handle data │ open files │ arena pages │ method
 * ```
 *
 * Everything is a row of 32-bit words. A field that two threads write independently has a word of
 * its own; a record that different threads write has cache lines of its own. Offsets are in words.
 *
 * @module
 */

import { IOVEC_WORDS, PAGE_SIZE_BYTES } from "../../ffi/layout.ts";
import { alignUp } from "../../ffi/memory.ts";
import { assert } from "../base/assert.ts";
import { keepWasmMemory } from "./wasm_memory.ts";
import type { EffectiveOptions } from "../base/options.ts";

/**
 * Moves with every change of the layout, and so do tokens; threads of two versions cannot share
 * memory.
 */
export const LAYOUT_VERSION = 16;

const MAGIC = 0x0a10_da7a;
/** Words that threads on different processors cannot write without disturbing each other. */
export const CACHE_LINE_WORDS = 16;
const WASM_PAGE_BYTES = 65536;

/** The header. `size` is in words. */
export const HEADER = {
  magic: 0,
  version: 1,
  /** 0 open, 1 closing (no new IO in any backend), 2 closed. */
  phase: 2,
  maxBackends: 3,
  handlesPerBackend: 4,
  iovecsPerHandle: 5,
  maxFiles: 6,
  arenaPages: 7,
  /**
   * Of all names of callbacks and targets, which every thread must match; 0 until the opener has
   * made them.
   */
  namesHash: 8,
  openerBackend: 9,
  methodOffset: 10,
  methodSize: 11,
  /** Random, so that a token of another Aio is noticed. */
  identityLow: 12,
  identityHigh: 13,
  /**
   * Threads of the method's own that there can be: helper_thread.ts. Their records follow those of
   * the backends.
   */
  helpers: 14,
  /**
   * The backends that close a descriptor right now, one bit each: see closing_fd.ts. Every start
   * looks here.
   */
  closings: 15,
  /** The open-file table's lock: the thread id of its holder, or 0. */
  filesLock: 16,
  /** The slot of the table of open files to be tried first. */
  filesNext: 17,
  /** 1 once a file was appended to: from then on openings look for its end. See file_ends.ts. */
  hasAppends: 18,
  /** The arena's lock: the thread id of its holder, or 0. */
  arenaLock: 32,
  /** No page below this one is free. */
  arenaHint: 33,
  /** Moves while a thread waits for bounce space that only others hold. */
  bounceWanted: 34,
  size: 48,
} as const;

/** A backend: what other threads look at in the first line, then its own counters. */
export const BACKEND = {
  /** The thread id, or 0 where the slot is free; below 0: the thread id of its reaper. */
  threadId: 0,
  /** 0 running, 1 parked, 2 rung. */
  parked: 1,
  /** The fd of its doorbell. */
  doorbell: 2,
  /** How many of its IOs other backends have completed: it looks for them when this moves. */
  foreignCompletions: 3,
  /** The lock of its completions: the thread id of the holder, or 0. */
  completionLock: 4,
  /** What it waits for: see wait_event.ts. */
  waitEvent: 5,
  /** What it polls while it is parked: two `pollfd`. */
  pollfds: 6,
  /** How many have rung it whose write it has not read. */
  bellsOwed: 10,
  /** The descriptor that it closes, plus 1, while its bit in the header's `closings` is set. */
  closingFd: 11,
  /**
   * When it was rung last while it slept: a double, in ms since 1970, by the clock of whoever rang.
   */
  rungAt: 12,
  /** What it has done so far, in lines of its own: see counters.ts. */
  counters: 16,
  /** The descriptor that it reads right now outside of any IO, plus 1; 0: none. */
  copyingFd: 78,
  /** The thread that has the file open which tells what its event loop rests in; else 0. */
  restReader: 79,
  /** Where it is read to: an iovec, and the text. */
  restIovec: 80,
  restText: 84,
  /**
   * Where it is about to append, and where a long append of it goes on: an intent each, see
   * file_ends.ts.
   */
  appending: 96,
  appendingLong: 102,
  size: 112,
} as const;

/** A place in a file that a backend has taken, and not started to write. */
export const APPEND_INTENT = {
  /** The slot of the open file, plus 1; 0: there is none. */
  slot: 0,
  slotGeneration: 1,
  fromLow: 2,
  fromHigh: 3,
  toLow: 4,
  toHigh: 5,
} as const;

/** Bytes of {@linkcode BACKEND.restText}: enough for a system call's number and one argument. */
export const REST_TEXT_BYTES = 48;

/**
 * A handle. `state` to `result` are read by everybody; the rest is its issuer's until it is
 * submitted.
 */
export const HANDLE = {
  state: 0,
  generationLow: 1,
  generationHigh: 2,
  /** One bit a backend that waits for it. */
  waiterMask: 3,
  rawResult: 4,
  resultCallback: 5,
  resultStatus: 6,
  resultErrorData: 7,
  result: 8,
  operation: 9,
  flags: 10,
  target: 11,
  fd: 12,
  iovecLength: 13,
  /** 64 bits, 8-byte aligned: a synchronous call takes it as a BigInt straight from here. */
  offsetLow: 14,
  offsetHigh: 15,
  /** Bytes of the buffers: the sum over the iovec. */
  length: 16,
  handleDataLength: 17,
  callbackCount: 18,
  /** Which other backend completes it: see claim.ts. */
  claim: 19,
  targetData: 20,
  callbackIds: 26,
  callbackData: 30,
  /** Two words for the method. */
  method: 34,
  /**
   * What an operation takes beside its offset and its buffers: a length of 64 bits, 8-byte aligned
   * as the offset is, and flags. Reads and writes have neither, and leave what the last use wrote.
   */
  argumentLow: 36,
  argumentHigh: 37,
  argumentFlags: 38,
  /**
   * Three cache lines, two of which a read or a write touches: neighbours, perhaps of another
   * backend, share none.
   */
  size: 48,
} as const;

/** An open file. */
export const FILE = {
  fd: 0,
  deviceMajor: 1,
  deviceMinor: 2,
  inodeLow: 3,
  inodeHigh: 4,
  flags: 5,
  /** The backends that use it, one bit each; 0: the slot is free. */
  references: 6,
  /** 1 until it is open, and from the moment the last user closes it: no IO may start on it. */
  closing: 7,
  /** Moves when the slot is taken anew. */
  generation: 8,
  memoryAlignment: 9,
  offsetAlignment: 10,
  pathLength: 11,
  /** The last 200 bytes of the path, UTF-8. */
  path: 12,
  /** For the method: whose rings know it, one bit a backend. */
  rings: 62,
  /** How many uses of the slot have ended: one less than `generation` while it is taken. */
  ends: 63,
  /**
   * 64 bits, 8-byte aligned: the error of the first flush that failed, 0: none; see flush_error.ts.
   */
  flushErrorLow: 64,
  /** The generation that it belongs to. */
  flushErrorHigh: 65,
  /** The record of the file's end, by its number plus 1; 0: nobody has appended to it. */
  endRecord: 66,
  /**
   * A record of the end of a file: of any open file, not of this slot's. Its lock, which of its two
   * places for the end holds, by whether that is even, the places, and whether the end is known.
   * `endAsked`, the places of `noted` and `endLowered` belong to it as well.
   */
  endLock: 67,
  endVersion: 68,
  endEven: 69,
  endOdd: 71,
  isEndKnown: 73,
  /** Flushes that are shared by all threads: see flush_turns.ts. */
  flushesBegun: 74,
  flushesEnded: 75,
  /** The backend that flushes now, plus 1, negative where its thread blocks in it; 0: none. */
  flusher: 76,
  /** Moves whenever it stops; and one bit a backend that waits for that. */
  flusherChange: 77,
  flusherWaiters: 78,
  /** The version of the end at which somebody was about to set it back: see file_ends.ts. */
  endAsked: 79,
  /**
   * The writes of this slot that are more than one IO: a lock, one bit a backend that has any, and
   * how far they reach; see long_writes.ts.
   */
  longLock: 80,
  longWriters: 81,
  longVersion: 82,
  longEven: 83,
  longOdd: 85,
  /** How far writes have reached before the end since then. */
  notedVersion: 87,
  notedEven: 88,
  notedOdd: 90,
  /** The version of the end that set it back last, or may have before it was known. */
  endLowered: 92,
  size: 96,
} as const;

/** Most bytes of a path that the table keeps. */
export const FILE_PATH_BYTES = 200;

/** Phases of {@linkcode HEADER}`.phase`. */
export const PHASE_OPEN = 0;
/** No backend may start IO any more. */
export const PHASE_CLOSING = 1;

/** The control memory as one thread sees it. */
export class Control {
  /** The memory itself, to be held by whoever uses it and posted to other threads. */
  readonly buffer: SharedArrayBuffer;
  /** All of it as words. */
  readonly words: Int32Array<SharedArrayBuffer>;
  /** All of it as 64-bit words, for what a system call takes as a BigInt. */
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  /** All of it as bytes, for paths. */
  readonly bytes: Uint8Array<SharedArrayBuffer>;
  /** Where the backends begin. */
  readonly backends: number;
  /** Where the handles begin. */
  readonly handles: number;
  /** Where the iovecs begin. */
  readonly iovecs: number;
  /** Where the handle data begins. */
  readonly handleData: number;
  /** Where the open files begin. */
  readonly files: number;
  /** Where the arena's page words begin. */
  readonly arenaPages: number;
  /** Backends that there can be; the ids of helpers, such as IO Workers, follow theirs. */
  readonly maxBackends: number;
  /** Backends and helpers that there can be: so many records. */
  readonly threadCount: number;
  /** Handles of one backend. */
  readonly handlesPerBackend: number;
  /** Handles in all. */
  readonly handleCount: number;
  /** Entries of a handle's iovec. */
  readonly iovecsPerHandle: number;

  /** Looks at control memory that {@linkcode createControl} laid out, perhaps in another thread. */
  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.longs = new BigInt64Array(buffer);
    this.bytes = new Uint8Array(buffer);
    assert(this.words[HEADER.magic] === MAGIC, "Control memory without its mark");
    this.maxBackends = this.words[HEADER.maxBackends]!;
    this.threadCount = this.maxBackends + this.words[HEADER.helpers]!;
    this.handlesPerBackend = this.words[HEADER.handlesPerBackend]!;
    this.iovecsPerHandle = this.words[HEADER.iovecsPerHandle]!;
    this.handleCount = this.maxBackends * this.handlesPerBackend;
    const at = offsetsOf({
      threads: this.threadCount,
      handles: this.handleCount,
      iovecs: this.iovecsPerHandle,
      maxFiles: this.words[HEADER.maxFiles]!,
      arenaPages: this.words[HEADER.arenaPages]!,
    });
    this.backends = at.backends;
    this.handles = at.handles;
    this.iovecs = at.iovecs;
    this.handleData = at.handleData;
    this.files = at.files;
    this.arenaPages = at.arenaPages;
  }

  /** Where the record of a handle is. */
  handleAt(index: number): number {
    return this.handles + index * HANDLE.size;
  }

  /** Where the record of a backend, or of a helper, is. */
  backendAt(id: number): number {
    return this.backends + id * BACKEND.size;
  }

  /** Where the record of an open file is. */
  fileAt(slot: number): number {
    return this.files + slot * FILE.size;
  }

  /** Where the iovec of a handle is. */
  iovecAt(index: number): number {
    return this.iovecs + index * this.iovecsPerHandle * IOVEC_WORDS.size;
  }

  /** Where the handle data of a handle is: two words an entry. */
  handleDataAt(index: number): number {
    return this.handleData + index * this.iovecsPerHandle * 2;
  }
}

/** Whether any other thread is attached or helps. */
export function hasOtherThreads(control: Control, id: number): boolean {
  for (let other = 0; other < control.threadCount; other++) {
    const at = control.backendAt(other) + BACKEND.threadId;
    if (other !== id && Atomics.load(control.words, at) !== 0) return true;
  }
  return false;
}

interface Counts {
  readonly threads: number;
  readonly handles: number;
  readonly iovecs: number;
  readonly maxFiles: number;
  readonly arenaPages: number;
}

function offsetsOf(
  counts: Counts,
): Record<
  "backends" | "handles" | "iovecs" | "handleData" | "files" | "arenaPages" | "method",
  number
> {
  const line = (words: number) => alignUp(words, CACHE_LINE_WORDS);
  const backends = line(HEADER.size);
  const handles = line(backends + counts.threads * BACKEND.size);
  const iovecs = line(handles + counts.handles * HANDLE.size);
  const handleData = line(iovecs + counts.handles * counts.iovecs * IOVEC_WORDS.size);
  const files = line(handleData + counts.handles * counts.iovecs * 2);
  const arenaPages = line(files + counts.maxFiles * FILE.size);
  const method = line(arenaPages + counts.arenaPages);
  return { backends, handles, iovecs, handleData, files, arenaPages, method };
}

/** Bytes of shared memory that one handle takes, with its iovec and its handle data. */
export function handleBytes(iovecsPerHandle: number): number {
  return (HANDLE.size + iovecsPerHandle * (IOVEC_WORDS.size + 2)) * Int32Array.BYTES_PER_ELEMENT;
}

/**
 * Makes shared memory of at least that many bytes, mapped and zeroed.
 *
 * @throws {Deno.errors.NotSupported} if the engine has no address space left for it
 */
export function createSharedMemory(bytes: number, what: string): SharedArrayBuffer {
  const pages = Math.max(1, Math.ceil(bytes / WASM_PAGE_BYTES));
  try {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const buffer: ArrayBuffer | SharedArrayBuffer = memory.buffer;
    assert(buffer instanceof SharedArrayBuffer, "Shared memory is not a SharedArrayBuffer");
    keepWasmMemory(buffer, memory);
    return buffer;
  } catch (cause) {
    throw new Deno.errors.NotSupported(
      `Cannot allocate ${bytes} bytes of shared memory for ${what}: make the option "arenaBytes" smaller`,
      { cause },
    );
  }
}

/**
 * Makes the control memory and lays it out; all handles are idle, of generation 1.
 *
 * @param options the effective options
 * @param methodBytes what the method asked for by `shmemSize`
 * @param helpers threads of its own that it may have
 */
export function createControl(
  options: EffectiveOptions,
  methodBytes: number,
  helpers = 0,
): Control {
  const handles = options.maxBackends * options.maxConcurrency;
  const counts = {
    threads: options.maxBackends + helpers,
    handles,
    iovecs: options.ioMaxCombineLimit,
    maxFiles: options.maxFiles,
    arenaPages: options.arenaBytes / PAGE_SIZE_BYTES,
  };
  const methodWords = Math.ceil(methodBytes / Int32Array.BYTES_PER_ELEMENT);
  const method = offsetsOf(counts).method;
  const bytes = (method + methodWords) * Int32Array.BYTES_PER_ELEMENT;
  const words = new Int32Array(createSharedMemory(bytes, "handles and files"));
  words[HEADER.magic] = MAGIC;
  words[HEADER.version] = LAYOUT_VERSION;
  words[HEADER.maxBackends] = options.maxBackends;
  words[HEADER.helpers] = helpers;
  words[HEADER.handlesPerBackend] = options.maxConcurrency;
  words[HEADER.iovecsPerHandle] = counts.iovecs;
  words[HEADER.maxFiles] = counts.maxFiles;
  words[HEADER.arenaPages] = counts.arenaPages;
  words[HEADER.methodOffset] = method;
  words[HEADER.methodSize] = methodWords;
  const identity = crypto.getRandomValues(new Int32Array(2));
  words[HEADER.identityLow] = identity[0]!;
  words[HEADER.identityHigh] = identity[1]!;
  const control = new Control(words.buffer);
  for (let index = 0; index < handles; index++) {
    words[control.handleAt(index) + HANDLE.generationLow] = 1;
  }
  return control;
}
