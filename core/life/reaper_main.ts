/**
 * reaper_main.ts: what a thread runs that takes over from a dead one (reapers.ts).
 *
 * It makes the backend of the dead one's slot, as a thread does that attaches there, but joins in
 * nothing: it reaps, blocking for whatever that takes, and the slot is free.
 *
 * @module
 */

import { parentPort, workerData } from "node:worker_threads";
import { closeLibc, openLibc } from "../../ffi/libc.ts";
import { importNamed } from "../base/named_module.ts";
import { importLayers, layersWith } from "./layers.ts";
import type { LogLevel } from "../base/log_level.ts";
import { importModules, initModules } from "./callback_modules.ts";
import type { IoMethod } from "../io/method.ts";
import { makeBackend } from "./open_aio.ts";
import { tryReapRest, tryTakeOver } from "./reap.ts";
import type { ReaperMessage, ReaperToken } from "./reapers.ts";
import { Control } from "../memory/shared_memory.ts";
import { sleepMs } from "../base/sleep.ts";

/**
 * To the next look at other threads that complete IO of the dead one. Nobody waits for this thread.
 */
const PAUSE_MS = 10;

function isMethod(value: object): value is IoMethod {
  return typeof Reflect.get(value, "submit") === "function";
}

/** @returns whether this thread has reaped; false: another one was faster */
async function reap(token: ReaperToken): Promise<boolean> {
  const { options, id, logLevel: level } = token;
  const [above, modules, method] = await Promise.all([
    importLayers(token.layers),
    importModules(options.callbackModules),
    importNamed(token.method, isMethod),
  ]);
  await initModules(modules);
  const control = new Control(token.control);
  const libc = openLibc(options.libraries.libc);
  try {
    if (!tryTakeOver(control, libc, id)) return false;
    const warn = (message: string) => post({ kind: "warning", message });
    const log = level === null ? null : { hook: postLine, level };
    const layers = layersWith(above);
    const foundation = { options, method, libc, layers, modules, warn, log };
    const backend = makeBackend(foundation, control, token.arena, id);
    while (!tryReapRest(backend, id)) sleepMs(PAUSE_MS);
    backend.memory.release();
    return true;
  } finally {
    closeLibc(libc);
  }
}

function postLine(message: string, level: LogLevel): void {
  post({ kind: "line", message, level });
}

function post(message: ReaperMessage): void {
  parentPort!.postMessage(message);
}

try {
  const { id }: ReaperToken = workerData;
  if (await reap(workerData)) postLine(`reaped backend ${id}: its thread has died`, "log");
} catch (error) {
  post({ kind: "failed", message: String(error) });
}
// Its port would keep the thread for a while.
parentPort!.unref();
