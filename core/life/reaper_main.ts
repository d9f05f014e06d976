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
import { AioInvariantError } from "../base/assert.ts";
import { importModules } from "./callback_modules.ts";
import type { IoMethod } from "../io/method.ts";
import { makeBackend } from "./open_aio.ts";
import { finishReaping, tryTakeOver } from "./reap.ts";
import type { ReaperMessage, ReaperToken } from "./reapers.ts";
import { Control } from "../memory/shared_memory.ts";
import { sleepMs } from "../base/sleep.ts";

/** To the next look at other threads that complete IO of the dead one. Nobody waits for this thread. */
const PAUSE_MS = 10;

async function methodOf({ module, method }: ReaperToken): Promise<IoMethod> {
  const exported: Record<string, unknown> = await import(module);
  const isIt = (value: unknown): value is IoMethod =>
    typeof value === "object" && value !== null && Reflect.get(value, "name") === method;
  const found = Object.values(exported).find(isIt);
  if (found !== undefined) return found;
  throw new AioInvariantError(`No method "${method}" is exported by ${module}`);
}

/** @returns whether this thread has reaped; false: another one was faster */
async function reap(token: ReaperToken): Promise<boolean> {
  const { options, id } = token;
  const [modules, method] = await Promise.all([
    importModules(options.callbackModules),
    methodOf(token),
  ]);
  const control = new Control(token.control);
  const libc = openLibc(options.libraries.libc);
  try {
    if (!tryTakeOver(control, libc, id)) return false;
    const warn = (message: string) => post("warning", message);
    const foundation = { options, method, libc, modules, warn, log: null };
    const backend = makeBackend(foundation, control, token.arena, id);
    while (!finishReaping(backend, id)) sleepMs(PAUSE_MS);
    backend.memory.release();
    return true;
  } finally {
    closeLibc(libc);
  }
}

function post(kind: ReaperMessage["kind"], message: string): void {
  parentPort!.postMessage({ kind, message } satisfies ReaperMessage);
}

try {
  const { id }: ReaperToken = workerData;
  if (await reap(workerData)) post("reaped", `reaped backend ${id}: its thread has died`);
} catch (error) {
  post("failed", String(error));
}
// Its port would keep the thread for a while.
parentPort!.unref();
