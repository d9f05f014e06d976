/**
 * attached_worker.ts: the Worker of `attached.ts`. It attaches with the token it is sent, and does one
 * thing a message.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio, AioReturn } from "../../mod.ts";
import type { AioFile, IoMethod, WaitRef } from "../../mod.ts";
import { METHODS } from "../../methods/registry.ts";
import type { Answer, Ask } from "./attached.ts";
import { HeldMethod } from "./held_method.ts";

const held = new HeldMethod();
const methods: readonly IoMethod[] = [held, ...METHODS];
const views = new Map<number, Uint8Array>();
let aio: Aio;
let file: AioFile;

function startRead(offset: number, bytes: number): WaitRef {
  const view = aio.alloc(bytes);
  const handle = aio.acquire(null, new AioReturn());
  const ref = handle.waitRef();
  views.set(ref.index, view);
  handle.setIovec(view);
  file.startReadv(handle, offset);
  return ref;
}

/** Of a descriptor that no file of ours has, such as a pipe; with the module fixtures/layers.ts. */
function startReadFd(fd: number, bytes: number): WaitRef {
  const view = aio.alloc(bytes);
  const handle = aio.acquire(null, new AioReturn());
  const ref = handle.waitRef();
  views.set(ref.index, view);
  handle.setIovec(view);
  handle.setTarget(aio.targetId("page"));
  handle.startReadv(fd, 0);
  return ref;
}

async function answer(ask: Ask): Promise<unknown> {
  switch (ask.what) {
    case "attach":
      aio = await Aio.attach(ask.token, {}, methods);
      file = aio.attachFile(ask.file);
      return aio.backendId;
    case "attachAgain":
      return await Aio.attach(ask.token, {}, methods);
    case "write":
      return await file.writeAt(ask.bytes, ask.offset);
    case "read":
      return startRead(ask.offset, ask.bytes);
    case "readFd":
      return startReadFd(ask.fd, ask.bytes);
    case "acquire":
      return aio.acquire().waitRef();
    case "stage":
      aio.enterBatchmode();
      return startRead(ask.offset, ask.bytes);
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
      self.close();
      return;
    case "close":
      await file.close();
      return await aio.close();
  }
}

self.onmessage = async ({ data }: MessageEvent<{ id: number; ask: Ask }>) => {
  let reply: Answer;
  try {
    reply = { id: data.id, value: await answer(data.ask) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    reply = { id: data.id, error: `${name}: ${message}` };
  }
  self.postMessage(reply);
};
