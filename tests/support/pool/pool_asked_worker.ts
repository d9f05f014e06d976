/**
 * pool_asked_worker.ts: the thread of `pool_asked.ts`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, type AioFile, type Page, type PagePool, type PagesRead } from "../../../mod.ts";
import { HeldMethod } from "../held_method.ts";
import { answering } from "../threads/answering.ts";
import { METHODS_FOR_TESTS } from "../workers/worker_pool.ts";
import type { PoolAsk } from "./pool_asked.ts";

let aio: Aio;
let pool: PagePool;
let file: AioFile;
let read: PagesRead;
let pinned: Page;
let warnings: string[] = [];

async function attach(ask: PoolAsk & { what: "attach" }): Promise<number> {
  warnings = [];
  const onWarning = (text: string) => void warnings.push(text);
  aio = await Aio.attach(ask.aio, { onWarning }, [new HeldMethod(), ...METHODS_FOR_TESTS]);
  file = aio.attachFile(ask.file);
  pool = aio.attachPool(ask.pool);
  return aio.backendId;
}

async function firstByte(ask: PoolAsk & { what: "read" }): Promise<number> {
  using page = ask.blocks === true
    ? pool.readSync(file, ask.block, ask.options)
    : await pool.read(file, ask.block, ask.options);
  return page.bytes[0]!;
}

async function firstBytes(): Promise<number[]> {
  const pages = await pool.waitRead(read);
  const bytes = pages.map((page) => page.bytes[0]!);
  for (const page of pages) page.release();
  return bytes;
}

function stop(gate: Int32Array): void {
  Atomics.store(gate, 0, 1);
  Atomics.wait(gate, 1, 0);
}

function die(): never {
  self.close();
  // The engine looks for the end at each jump back.
  for (;;);
}

async function close(): Promise<void> {
  await pool.close();
  await file.close();
  await aio.close();
}

async function answer(ask: PoolAsk): Promise<unknown> {
  switch (ask.what) {
    case "begin":
      return;
    case "attach":
      return await attach(ask);
    case "read":
      return await firstByte(ask);
    case "start":
      read = await pool.startRead(file, ask.block, ask.count, ask.options);
      return [read.block, read.count, read.isToWait];
    case "wait":
      return await firstBytes();
    case "giveUp":
      return read[Symbol.dispose]();
    case "pin":
      pinned = await pool.read(file, ask.block);
      return pinned.bytes[0];
    case "lock":
      await pinned.lock(ask.mode);
      return;
    case "open":
      await file.close();
      file = await aio.openFile(ask.path, { read: true, write: true });
      return;
    case "unpin":
      return pinned.release();
    case "invalidate":
      return await pool.invalidate(file, ask.block);
    case "warnings":
      return warnings;
    case "stop":
      return stop(ask.gate);
    case "leave":
      return await aio.close();
    case "die":
      return die();
    case "close":
      return await close();
  }
}

self.onmessage = answering(answer);
