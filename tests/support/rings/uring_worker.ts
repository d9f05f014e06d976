/**
 * uring_worker.ts: the Worker of `uring_attached.ts`: attached with rings of one form, it reads
 * pipes, waits for IO, and ends, as messages say.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { backendOf } from "../../../core/inside.ts";
import { AioReturn } from "../../../core/mod.ts";
import { Aio, type AioFile } from "../../../mod.ts";
import { answering } from "../threads/answering.ts";
import { ringMethod } from "./ring_method.ts";
import { replaceProperty } from "./uring.ts";
import type { UringAsk } from "./uring_attached.ts";

/** So large that what is allocated after it was freed is likely to be there. */
const ADOPTED_BYTES = 1_048_576;

let aio: Aio;
let file: AioFile;
const returns = new Map<number, AioReturn>();

/** The memory is posted, or made here and held by nobody. */
function startRead(fd: number, offset: number, view: Uint8Array | null, bytes: number) {
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  returns.set(ref.index, ret);
  if (view === null) {
    const memory = new SharedArrayBuffer(ADOPTED_BYTES);
    aio.adoptMemory(memory);
    handle.setIovec(new Uint8Array(memory, 0, bytes));
  } else handle.setIovec(view);
  handle.setTarget(aio.targetId("page"));
  handle.startReadv(fd, offset);
  return ref;
}

function throwTheEnd(): never {
  const error = new Error("the end of this thread, as planned");
  // Deno shows it, and one line of it is enough.
  error.stack = "";
  throw error;
}

async function answer(ask: UringAsk): Promise<unknown> {
  switch (ask.what) {
    case "begin":
      return;
    case "attach":
      // Nothing is left of what the thread was attached to before.
      returns.clear();
      aio = await Aio.attach(ask.token, {}, [ringMethod(ask.form)]);
      return { id: aio.backendId, threadId: backendOf(aio).libc.threadId() };
    case "lookAway":
      // It takes no completion any more.
      replaceProperty("isReady", () => false);
      return;
    case "read":
      return startRead(ask.fd, ask.offset, ask.view, ask.bytes);
    case "readFile":
      file = aio.attachFile(ask.token);
      for (let i = 0; i < ask.count; i++) await file.readAt(new Uint8Array(1), 0);
      return;
    case "closeFile":
      return await file.close();
    case "waitSync":
      return aio.waitSync(ask.ref);
    case "result":
      aio.waitSync(ask.ref);
      return returns.get(ask.ref.index)!.result.result;
    case "selfClose":
      return self.close();
    case "throw":
      // Not within a promise: this is what nobody catches.
      setTimeout(throwTheEnd);
      return;
    case "close":
      return await aio.close();
  }
}

self.onmessage = answering(answer);
