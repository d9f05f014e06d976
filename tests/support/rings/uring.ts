/**
 * uring.ts: what the tests of io_uring need: an Aio with rings of one form, the ring of any backend
 * as the kernel shows it, system calls that fail, pipes whose reads stay in the kernel for as long
 * as a test wants, and a Worker that has such reads when it ends (`uring_worker.ts`).
 *
 * @module
 */

import { closeSync, constants, openSync as openFd, readSync, writeSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { backendOf } from "../../../core/inside.ts";
import type { IoMethod } from "../../../core/io/method.ts";
import { type AioOptions, effectiveOptions } from "../../../core/base/options.ts";
import { AioReturn } from "../../../core/io/result.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { closeLibc, openLibc } from "../../../ffi/libc.ts";
import { closeUringCalls, openUringCalls, type UringCalls } from "../../../ffi/uring_calls.ts";
import { PARAMS_WORDS } from "../../../ffi/uring_layout.ts";
import { createIoUringMethod } from "../../../methods/io_uring.ts";
import { slotAt } from "../../../methods/io_uring/memory.ts";
import { Ring } from "../../../methods/io_uring/ring.ts";
import type { RingForm } from "../../../methods/io_uring/setup.ts";
import { replace } from "../bells/bells.ts";
import { openMethod } from "../core_methods.ts";
import type { Fixture } from "../core.ts";
import { partOfFile, partOfRun } from "../house/part.ts";
import { tempDir } from "../temp.ts";
import { ringMethod } from "./ring_method.ts";

/** A module with the target `page`, for descriptors that no file of ours has. */
const LAYERS = new URL("../../core/fixtures/layers.ts", import.meta.url);
const FORMS: readonly RingForm[] = ["shared", "mapped"];
/** What one write to a {@linkcode Pipe} brings, and one read takes. */
export const PIPE_BYTES = 100;
const PIPE_BYTE = 7;
/** Fewer than a pipe takes. */
const FLOOD_READS = 600;
/** `io_uring_register`: cancels an IO, and returns when that is done (Linux 6.0). */
const REGISTER_SYNC_CANCEL = 24;
const SYNC_CANCEL_WORDS = 16;

/** What every read of a pipe brings. */
export const PIPE_DATA: Uint8Array = new Uint8Array(PIPE_BYTES).fill(PIPE_BYTE);

/** Whether this machine has rings of a form. */
export function hasRings(form: RingForm): boolean {
  return createIoUringMethod(form).available(effectiveOptions(undefined)).ok;
}

/** What the kernel's rings can do, as bits; 0 where there are none. */
function kernelFeatures(): number {
  if (!hasRings("shared") && !hasRings("mapped")) return 0;
  const libc = openLibc();
  const calls = openUringCalls({});
  const params = new Int32Array(PARAMS_WORDS.size);
  libc.close(calls.setup(1, new Uint8Array(params.buffer)));
  closeUringCalls(calls);
  closeLibc(libc);
  return params[PARAMS_WORDS.features]!;
}

const FEATURES = kernelFeatures();

/** Those that a run is about: the mapped form is for `deno task test:mapped`. */
function formsUnderTest(): readonly RingForm[] {
  const part = partOfRun();
  if (part === "") return FORMS;
  return [part !== "mapped" && hasRings("shared") ? "shared" : "mapped"];
}

/**
 * Registers a test for each form of ring that the run is about, ignored by name where the machine
 * lacks it.
 *
 * @param features that the kernel must have for it, as bits
 * @param isPossible whether the machine has what else it takes
 * @param isLeft whether the quick part leaves it to the long one
 */
export function testEachForm(
  name: string,
  fn: (form: RingForm) => void | Promise<void>,
  features = 0,
  isPossible = true,
  isLeft = false,
): void {
  if (partOfFile() === (isLeft ? "quick" : "long")) return;
  for (const form of formsUnderTest()) {
    Deno.test({
      name: `io_uring: ${name} (${form} ring)`,
      ignore: !isPossible || !hasRings(form) || (FEATURES & features) !== features,
      fn: () => fn(form),
    });
  }
}

/** Opens an Aio whose own ring has a form, and a file. */
export function openUring(
  form: RingForm,
  options: AioOptions = {},
  method: IoMethod = ringMethod(form),
): Promise<Fixture> {
  const own = { maxBackends: 4, callbackModules: [LAYERS], ...options };
  return openMethod("io_uring", own, [method]);
}

/** The ring of a backend, to look at: what it has, and what the kernel says of it. */
export function ringOf({ aio }: Fixture, backendId = 0): Ring {
  return new Ring(backendOf(aio).control, backendId);
}

/** A word of a backend's slot: see `SLOT`. */
export function slotWord({ aio }: Fixture, backendId: number, word: number): number {
  const { control } = backendOf(aio);
  return Atomics.load(control.words, slotAt(control, backendId) + word);
}

/** How many rings this process has open. */
export function countRings(): number {
  let count = 0;
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      if (Deno.readLinkSync(`/proc/self/fd/${name}`).includes("[io_uring]")) count++;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // The one of the listing itself.
    }
  }
  return count;
}

/** The calls that tests replace. */
type ReplacedCalls = Pick<UringCalls, "enter" | "setup" | "register">;

/** Replaces calls of this thread until the end of the scope, whichever library they go through. */
export function replaceCalls(
  make: (real: ReplacedCalls) => Partial<ReplacedCalls>,
): Disposable {
  using opened = new DisposableStack();
  const libraries = [null, "libc"] as const;
  const all = libraries.map((one) => opened.adopt(openUringCalls({}, one), closeUringCalls));
  for (const calls of new Set(all)) {
    const { enter, setup, register } = make({
      enter: calls.enter.bind(calls),
      setup: calls.setup.bind(calls),
      register: calls.register.bind(calls),
    });
    if (enter !== undefined) opened.use(replace(calls, "enter", enter));
    if (setup !== undefined) opened.use(replace(calls, "setup", setup));
    if (register !== undefined) opened.use(replace(calls, "register", register));
  }
  return opened.move();
}

/**
 * Makes the kernel give up an IO of a backend, as it sometimes does by itself.
 *
 * @returns 0, or -errno
 */
export function cancelIn(
  fixture: Fixture,
  backendId: number,
  { index, generation }: WaitRef,
): number {
  const argument = new Int32Array(SYNC_CANCEL_WORDS);
  argument.set([index, generation | 0, -1, 0]);
  // However long it takes.
  argument.fill(-1, 4, 8);
  const calls = openUringCalls({});
  const { fd } = ringOf(fixture, backendId);
  const bytes = new Uint8Array(argument.buffer);
  const result = calls.register(fd, REGISTER_SYNC_CANCEL, bytes, 1);
  closeUringCalls(calls);
  return result;
}

/**
 * Has rings of this thread made with so many entries at most, as where the kernel gives no more.
 */
export function smallRings(entriesMax: number): Disposable {
  return replaceCalls((real) => ({
    setup: (entries, params) => real.setup(Math.min(entries, entriesMax), params),
  }));
}

/** Replaces what all rings of this thread say of themselves until the end of the scope. */
export function replaceProperty<K extends "isReady" | "room">(
  name: K,
  get: (this: Ring) => Ring[K],
): Disposable {
  const before = Object.getOwnPropertyDescriptor(Ring.prototype, name)!;
  Object.defineProperty(Ring.prototype, name, { configurable: true, get });
  return {
    [Symbol.dispose]: () => void Object.defineProperty(Ring.prototype, name, before),
  };
}

/** A pipe; a read of it stays in the kernel until {@linkcode Pipe.write} is called. */
export class Pipe implements Disposable {
  /** To be read from. */
  readonly fd: number;
  readonly #looking: number;

  private constructor(path: string) {
    this.fd = openFd(path, constants.O_RDWR);
    this.#looking = openFd(path, constants.O_RDONLY | constants.O_NONBLOCK);
  }

  /** Makes one. */
  static async open(): Promise<Pipe> {
    await using dir = await tempDir();
    const path = dir.join("pipe");
    await new Deno.Command("mkfifo", { args: [path] }).output();
    return new Pipe(path);
  }

  /** Feeds so many reads of {@linkcode PIPE_BYTES}. */
  write(reads = 1): void {
    this.feed(reads * PIPE_BYTES);
  }

  /** Writes so many bytes. */
  feed(count: number): void {
    const bytes = new Uint8Array(count).fill(PIPE_BYTE);
    if (writeSync(this.fd, bytes) !== count) throw new Error("The pipe is full");
  }

  /** Takes what nobody has read. @returns how many bytes */
  drain(): number {
    let count = 0;
    try {
      for (const buffer = new Uint8Array(65_536);;) count += readSync(this.#looking, buffer);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") return count;
      throw error;
    }
  }

  /** Ends reads that a test which failed left: nothing could be closed before. */
  [Symbol.dispose](): void {
    this.drain();
    this.write(FLOOD_READS);
    closeSync(this.#looking);
    closeSync(this.fd);
  }
}

/** A read of a descriptor that is no file of ours. */
export interface RawRead {
  readonly ref: WaitRef;
  readonly ret: AioReturn;
  readonly view: Uint8Array;
}

/** Starts one into memory of the arena. */
export function startRawRead(
  { aio }: Fixture,
  fd: number,
  callback: string | null = null,
): RawRead {
  const ret = new AioReturn();
  const view = aio.alloc(PIPE_BYTES);
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  if (callback !== null) handle.registerCallbacks(aio.callbackId(callback));
  handle.setIovec(view);
  handle.setTarget(aio.targetId("page"));
  handle.startReadv(fd, 0);
  return { ref, ret, view };
}

/** Frees whatever nobody holds, now. */
export function collect(): void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  if (typeof gc === "function") gc();
}
