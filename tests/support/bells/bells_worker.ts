/**
 * bells_worker.ts: the Worker of `bells.ts`. It attaches with the token of a message, does one
 * thing a message, and rings less than it should if a message says so.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { sleepMs } from "../../../core/base/sleep.ts";
import { backendOf } from "../../../core/inside.ts";
import { Aio } from "../../../mod.ts";
import type { WaitRef } from "../../../core/mod.ts";
import type { AioFile } from "../../../mod.ts";
import { type BellAsk, PollWatch, replace, Signal } from "./bells.ts";
import { HeldMethod } from "../held_method.ts";
import { answering } from "../threads/answering.ts";

const READ_BYTES = 64;

let held = new HeldMethod();
let replaced = new DisposableStack();
let aio: Aio;
let file: AioFile;
let polls: PollWatch;
/** How many system calls the bells have cost. */
let writes = 0;

async function attach({ token, file: fileToken }: BellAsk & { what: "attach" }) {
  // Nothing is left of what the thread was attached to before.
  held = new HeldMethod();
  replaced = new DisposableStack();
  aio = await Aio.attach(token, {}, [held]);
  file = aio.attachFile(fileToken);
  const { libc } = backendOf(aio);
  polls = replaced.use(new PollWatch(libc));
  const write = libc.write.bind(libc);
  replaced.use(replace(libc, "write", (fd, from) => {
    writes++;
    return write(fd, from);
  }));
  return aio.backendId;
}

function mute(muted: number): void {
  const { doorbells } = backendOf(aio);
  const ring = doorbells.ring.bind(doorbells);
  replaced.use(replace(doorbells, "ring", (id) => {
    if (id !== muted) ring(id);
  }));
}

function muteNotify(at: number): void {
  const notify = Atomics.notify;
  const { words } = backendOf(aio).control;
  replaced.use(
    replace(Atomics, "notify", (array, index, count) => {
      if (array.buffer === words.buffer && index === at) return 0;
      return Reflect.apply(notify, Atomics, [array, index, count]);
    }),
  );
}

function startRead(): WaitRef {
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.setIovec(aio.alloc(READ_BYTES));
  file.startReadv(handle, 0);
  return ref;
}

/** @returns how many system calls its bells cost */
function counted(ring: () => void): number {
  const before = writes;
  ring();
  return writes - before;
}

async function whenTold(ask: BellAsk & { what: "whenTold" }): Promise<unknown> {
  const signal = new Signal(ask.signal);
  signal.awaitTold();
  sleepMs(ask.delayMs);
  const value = await answer(ask.ask);
  signal.done();
  return value;
}

async function close(): Promise<void> {
  replaced.dispose();
  await file.close();
  await aio.close();
}

async function answer(ask: BellAsk): Promise<unknown> {
  switch (ask.what) {
    case "begin":
      return;
    case "attach":
      return await attach(ask);
    case "mute":
      return mute(ask.id);
    case "muteNotify":
      return muteNotify(ask.at);
    case "read":
      return startRead();
    case "stage":
      aio.enterBatchmode();
      return startRead();
    case "submit":
      return aio.exitBatchmode();
    case "untilParked":
      await polls.untilParked();
      return;
    case "claim":
      return backendOf(aio).claim(backendOf(aio).handleOf(ask.ref.index));
    case "perform":
      return counted(() => held.perform(aio, ask.ref));
    case "await":
      return await aio.wait(ask.ref);
    case "ring":
      return counted(() => backendOf(aio).doorbells.ring(ask.id));
    case "reap":
      return aio.reapBackend(ask.id);
    case "whenTold":
      return await whenTold(ask);
    case "close":
      return await close();
  }
}

self.onmessage = answering(answer);
