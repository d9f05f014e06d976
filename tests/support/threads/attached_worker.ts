/**
 * attached_worker.ts: the Worker of `attached.ts`. It attaches with the token it is sent, and does
 * one thing a message.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { AioReturn } from "../../../core/mod.ts";
import { Aio } from "../../../mod.ts";
import type { AioHandle, IoMethod, WaitRef } from "../../../core/mod.ts";
import type { AioFile } from "../../../mod.ts";
import { METHODS } from "../../../methods/registry.ts";
import { answering } from "./answering.ts";
import type { Ask } from "./attached.ts";
import { HeldMethod } from "../held_method.ts";

let held = new HeldMethod();
let methods: readonly IoMethod[] = [held, ...METHODS];
const views = new Map<number, Uint8Array>();
let aio: Aio;
let file: AioFile;
let handedOut: AioHandle | null = null;

function startRead(offset: number, bytes: number): WaitRef {
  const view = aio.alloc(bytes);
  const handle = aio.acquire(null, new AioReturn());
  const ref = handle.waitRef();
  views.set(ref.index, view);
  handle.setIovec(view);
  file.startReadv(handle, offset);
  return ref;
}

function startSync(): WaitRef {
  const handle = aio.acquire(null, new AioReturn());
  const ref = handle.waitRef();
  file.startFsync(handle);
  return ref;
}

/**
 * Starts a read of a descriptor that no file of ours has, such as a pipe's; needs
 * fixtures/layers.ts.
 */
function startReadFd(fd: number, bytes: number): WaitRef {
  const view = aio.alloc(bytes);
  const handle = aio.acquire(null, new AioReturn());
  const ref = handle.waitRef();
  views.set(ref.index, view);
  handle.setIovec(view);
  handle.setTarget(aio.targetId("page"));
  handedOut = handle;
  handle.startReadv(fd, 0);
  return ref;
}

/** Like {@linkcode startReadFd}, but stops before it is submitted, until the gate opens. */
function readFdHeld(fd: number, bytes: number, gate: Int32Array): Uint8Array {
  aio.attachInjectionPoint("aio-after-staging", () => {
    Atomics.store(gate, 0, 1);
    Atomics.wait(gate, 1, 0);
  });
  const ref = startReadFd(fd, bytes);
  aio.detachInjectionPoint("aio-after-staging");
  aio.waitSync(ref);
  return views.get(ref.index)!.slice();
}

/** Tries to start a read, then opens the gate. @returns why it was refused; null if it was not */
function tryReadFd(fd: number, bytes: number, gate: Int32Array): string | null {
  try {
    aio.waitSync(startReadFd(fd, bytes));
    return null;
  } catch (error) {
    handedOut!.release();
    return String(error);
  } finally {
    Atomics.store(gate, 1, 1);
    Atomics.notify(gate, 1);
  }
}

/**
 * Ends the thread in the start call of a read, which is staged by then. The answer comes before.
 */
function dieStaged(id: number, offset: number, bytes: number): void {
  const handle = aio.acquire();
  const value = handle.waitRef();
  handle.setIovec(aio.alloc(bytes));
  aio.attachInjectionPoint("aio-after-staging", () => {
    self.postMessage({ id, value });
    self.close();
    // The engine looks for the end at each jump back.
    for (;;);
  });
  file.startReadv(handle, offset);
}

async function answer(ask: Ask, id: number): Promise<unknown> {
  switch (ask.what) {
    case "begin":
      return;
    case "attach":
      // Nothing is left of what the thread was attached to before.
      held = new HeldMethod();
      methods = [held, ...METHODS];
      views.clear();
      aio = await Aio.attach(ask.token, {}, methods);
      file = aio.attachFile(ask.file);
      return aio.backendId;
    case "openFile":
      file = await aio.openFile(ask.path);
      return;
    case "fillStreams":
      for (const offset of ask.offsets) await file.writeStream({ offset }).write(ask.bytes);
      return;
    case "attachAgain":
      return await Aio.attach(ask.token, {}, methods);
    case "write":
      return await file.writeAt(ask.bytes, ask.offset);
    case "append":
      return await file.append(ask.bytes, { durable: ask.durable });
    case "appendSync":
      return file.appendSync(ask.bytes, { durable: ask.durable });
    case "beginAppendToLog":
      return void aio.attachLog(ask.log).append(ask.bytes).catch(() => {});
    case "sync":
      return await file.sync();
    case "syncSync":
      return file.syncSync();
    case "startSync":
      return startSync();
    case "read":
      return startRead(ask.offset, ask.bytes);
    case "readFd":
      return startReadFd(ask.fd, ask.bytes);
    case "readFdHeld":
      return readFdHeld(ask.fd, ask.bytes, ask.gate);
    case "tryReadFd":
      return tryReadFd(ask.fd, ask.bytes, ask.gate);
    case "acquire":
      return aio.acquire().waitRef();
    case "stage":
      aio.enterBatchmode();
      return startRead(ask.offset, ask.bytes);
    case "dieStaged":
      return dieStaged(id, ask.offset, ask.bytes);
    case "submit":
      return aio.exitBatchmode();
    case "seen":
      return views.get(ask.ref.index)!.slice();
    case "perform":
      return held.perform(aio, ask.ref);
    case "complete":
      return held.complete(aio, ask.ref, ask.result);
    case "await":
      return await aio.wait(ask.ref);
    case "waitSync":
      return aio.waitSync(ask.ref);
    case "selfClose":
      return self.close();
    case "closeAio":
      return await aio.close();
    case "close":
      await file.close();
      return await aio.close();
  }
}

self.onmessage = answering(answer);
