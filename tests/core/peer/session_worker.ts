/**
 * session_worker.ts: the Worker of `session.ts`. It does one thing a message.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { Aio } from "../../../mod.ts";
import type { WaitRef } from "../../../core/mod.ts";
import type { AioFile } from "../../../mod.ts";
import { METHODS } from "../../../methods/registry.ts";
import { settings } from "../../support/checking_callbacks.ts";
import { LookedAtMethod } from "../../support/core_methods.ts";
import {
  contentOf,
  outcomeOf,
  type PageRead,
  type StartedPages,
  startPages,
  waitBy,
} from "./peer.ts";
import { answering } from "../../support/threads/answering.ts";
import { type Ask, GATE_WORDS, type HookAct } from "./session.ts";

const warnings: string[] = [];
const logs: string[] = [];
const started = new Map<string, StartedPages>();
let aio: Aio;
let file: AioFile;

function keyOf({ index, generation }: WaitRef): string {
  return `${index}:${generation}`;
}

function start(request: PageRead): WaitRef {
  const read = startPages({ aio, file }, request);
  started.set(keyOf(read.ref), read);
  return read.ref;
}

function startedBy(ref: WaitRef): StartedPages {
  const read = started.get(keyOf(ref));
  if (read === undefined) throw new Error(`This session started no IO ${keyOf(ref)}`);
  return read;
}

function hookOf(act: HookAct, words: Int32Array): () => void {
  return () => {
    Atomics.add(words, GATE_WORDS.calls, 1);
    Atomics.notify(words, GATE_WORDS.calls);
    if (act === "throw") throw new Error("as you command");
    // self.close() cuts this call short; terminate() would not.
    if (act === "end") self.close();
    if (act === "block" || act === "end") Atomics.wait(words, GATE_WORDS.isOpen, 0);
  };
}

async function answer(ask: Ask): Promise<unknown> {
  switch (ask.what) {
    case "attach":
      for (const list of [warnings, logs]) list.length = 0;
      settings.zeroDamagedPages = false;
      aio = await Aio.attach(ask.token, {
        onWarning: (message) => warnings.push(message),
        onLog: (message) => logs.push(message),
        logLevel: "debug3",
      }, [new LookedAtMethod(), ...METHODS]);
      file = aio.attachFile(ask.file);
      return;
    case "set":
      settings.zeroDamagedPages = ask.zeroDamagedPages;
      return;
    case "start": {
      const ref = start(ask.read);
      if (ask.isWaiting) aio.waitSync(ref);
      return ref;
    }
    case "wait":
      return await waitBy(aio, ask.way, ask.ref);
    case "outcome":
      return outcomeOf(aio, startedBy(ask.ref));
    case "warn": {
      const { ret } = startedBy(ask.ref);
      return aio.reportResult(ret.result, ret.targetData, "warning");
    }
    case "see":
      return contentOf(ask.frames);
    case "hook":
      return aio.attachInjectionPoint(ask.point, hookOf(ask.act, ask.words));
    case "told":
      return { warnings, logs };
    case "leave":
      await file.close();
      return await aio.close();
    case "end":
      self.close();
      return;
  }
}

self.onmessage = answering(answer);
