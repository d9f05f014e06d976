/**
 * opened_pool.ts: an Aio whose IO all goes to the pool of the worker method, a file with known
 * content, and reads whose callbacks report or decide what becomes of them (worker_faults.ts).
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import { assertEquals } from "@std/assert";
import { AioReturn, type WaitRef } from "../../../core/mod.ts";
import { Aio, type AioFile, type AioOptions } from "../../../mod.ts";
import { createWorkerMethod } from "../../../methods/worker.ts";
import { gateAt } from "../../methods/fixtures/worker_faults.ts";
import { contentAt, tempDir, writeRandomFile } from "../temp.ts";
import { ONE_WORKER } from "./worker_pool.ts";

const FILE_BYTES = 65_536;
/** The seed of the file's content. */
export const SEED = 31;
/** Bytes of each read. */
export const READ_BYTES = 512;
/** The module of faults. */
export const FAULTS_MODULE = new URL("../../methods/fixtures/worker_faults.ts", import.meta.url);

/** What a test has opened. */
export interface Opened extends AsyncDisposable {
  /** Of this thread. */
  readonly aio: Aio;
  /** Opened for reading and writing. */
  readonly file: AioFile;
  /** The messages of `onWarning`. */
  readonly warnings: string[];
}

/** Opens an Aio whose IO all goes through the pool; the pool is not started. */
export async function open(options: AioOptions = {}, triesCached = false): Promise<Opened> {
  await using opened = new AsyncDisposableStack();
  const dir = opened.use(await tempDir());
  await writeRandomFile(dir.join("file"), FILE_BYTES, SEED);
  const warnings: string[] = [];
  const own: AioOptions = {
    method: "worker",
    arenaBytes: 1024 * 1024,
    workers: ONE_WORKER,
    onWarning: (message) => warnings.push(message),
    callbackModules: [FAULTS_MODULE],
    ...options,
  };
  const aio = opened.use(await Aio.open(own, [createWorkerMethod(triesCached)]));
  const file = await aio.openFile(dir.join("file"), { read: true, write: true });
  const kept = opened.move();
  return { aio, file, warnings, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** How many IOs the opener executed itself. */
export function synchronousCount(aio: Aio): number {
  return aio.backends()[0]!.counters.synchronousByMethod;
}

/** Reads, and verifies the content. */
export async function readAndCheck({ aio, file }: Opened, offset: number): Promise<void> {
  const view = aio.alloc(READ_BYTES);
  assertEquals(await file.readAt(view, offset), READ_BYTES);
  assertEquals(new Uint8Array(view), contentAt(SEED, offset, READ_BYTES));
  aio.free(view);
}

/** A read that was started. */
export interface Started {
  readonly ref: WaitRef;
  readonly ret: AioReturn;
  readonly view: Uint8Array;
}

/** Ends the reads that the callback `gated` holds in a Worker. */
export function openGate(aio: Aio): void {
  const { control } = backendOf(aio);
  Atomics.store(control.words, gateAt(control), 1);
}

/** Starts a read with a callback of the module of faults. */
export function start(
  { aio, file }: Pick<Opened, "aio" | "file">,
  callback: string,
  data = 0,
): Started {
  const ret = new AioReturn();
  const view = aio.alloc(READ_BYTES);
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.registerCallbacks(aio.callbackId(callback), data);
  handle.setIovec(view);
  file.startReadv(handle, 100);
  return { ref, ret, view };
}
