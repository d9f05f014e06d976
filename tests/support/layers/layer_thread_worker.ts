/**
 * layer_thread_worker.ts: the Worker of `layer_thread.ts`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { AioReturn } from "../../../core/mod.ts";
import type { WaitRef } from "../../../core/mod.ts";
import type { AioFile } from "../../../mod.ts";
import { importLayers } from "../../../core/life/layers.ts";
import { attachBackend } from "../../../core/life/open_aio.ts";
import { type Aio, aioOf } from "../../../storage/aio.ts";
import { LAYERS } from "../../../storage/layers.ts";
import { methodsFor } from "../core_methods.ts";
import { backendOf } from "../../../core/inside.ts";
import { hangs } from "../patience.ts";
import { answering } from "../threads/answering.ts";
import { changeWord, hooks, hosts, reaped, wordAt } from "./spy_layer.ts";
import type { LayerAsk } from "./layer_thread.ts";

const READ_BYTES = 64;

let aio: Aio;
let file: AioFile;

function startRead(callback: string): WaitRef {
  const handle = aio.acquire(null, new AioReturn());
  const ref = handle.waitRef();
  handle.registerCallbacks(aio.callbackId(callback));
  handle.setIovec(aio.alloc(READ_BYTES));
  file.startReadv(handle, 0);
  return ref;
}

/** Takes memory for the spy, which begins with a mark. @returns where; -1: there is no room */
function takeRun(bytes: number, mark: number): number {
  const { arena, runs } = hosts.at(-1)!;
  const run = runs.tryTake(bytes, ({ offset }) => {
    arena.words[offset / Int32Array.BYTES_PER_ELEMENT] = mark;
  });
  return run?.offset ?? -1;
}

/** Changes a word once anybody waits for it; the waiter may block its thread meanwhile. */
function changeWhenWaited(index: number, value: number): void {
  const host = hosts.at(-1)!;
  const word = wordAt(host, index);
  for (const isHanging = hangs(); Atomics.load(word.words, word.waiters) === 0;) {
    if (isHanging()) throw new Error("Nobody waits for the word");
  }
  changeWord(host, word, value);
}

async function answer(ask: LayerAsk): Promise<unknown> {
  switch (ask.what) {
    case "begin":
      return;
    case "attach": {
      // Nothing is left of what the thread was attached to before.
      reaped.length = 0;
      const layers = [...LAYERS, ...await importLayers(ask.layers)];
      const methods = methodsFor(ask.token.method);
      aio = aioOf(await attachBackend(ask.token, methods, {}, layers));
      file = aio.attachFile(ask.file);
      return aio.backendId;
    }
    case "read":
      return startRead(ask.callback);
    case "await":
      return await aio.wait(ask.ref);
    case "store":
      Atomics.store(hosts.at(-1)!.arena.words, ask.index, ask.value);
      return;
    case "change":
      return changeWord(hosts.at(-1)!, wordAt(hosts.at(-1)!, ask.index), ask.value);
    case "changeWhenWaited":
      return changeWhenWaited(ask.index, ask.value);
    case "waitWord":
      return backendOf(aio).wordWaits.waitSync(wordAt(hosts.at(-1)!, ask.index), ask.value);
    case "reaped":
      return reaped;
    case "id":
      return aio.backendId;
    case "acquire":
      return aio.acquire().waitRef();
    case "alloc":
      return aio.alloc(READ_BYTES).byteOffset;
    case "openFile":
      return (await aio.openFile(ask.path)).token.slot;
    case "takeRun":
      return takeRun(ask.bytes, ask.mark);
    case "reapAndDie":
      hooks.reapBackend = () => {
        self.close();
        // The engine looks for the end at each jump back.
        for (;;);
      };
      return aio.reapBackend(ask.id);
    case "close":
      await file.close();
      return await aio.close();
  }
}

self.onmessage = answering(answer);
