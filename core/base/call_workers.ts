/**
 * call_workers.ts: calls of the C library executed by Workers, which know why a call failed:
 * `errno` belongs to the thread that made it, and a thread of Deno's pool cannot be asked for its
 * own.
 *
 * ```text
 * call ─► queue ─► a Worker that is idle, or the next one that is started ─► result, or -errno
 *                    └─ idle for a second, or the last Aio of the thread is closed: it ends
 * ```
 *
 * To start a Worker blocks this thread for some 30 ms. So it is kept for the next call, with the
 * symbols that it has opened, and only one is started at a time: the next when that is ready, if
 * calls still wait. Whether Workers keep the event loop alive depends on the calls alone: idle ones
 * never do. The Worker measures how long it is idle, as the sanitizers of `Deno.test` would report
 * a timer of this thread. Its program comes in a `data:` URL, which needs no permission to read
 * modules.
 *
 * @module
 */

import { Worker } from "node:worker_threads";
import { EIO } from "../../ffi/errno.ts";
import type { Libc } from "../../ffi/libc.ts";
import { untilGone } from "./own_threads.ts";
import type { Hold, Patience } from "./patience.ts";

/** Most Workers of a thread. */
export const CALL_WORKERS_MAX = 8;
/** What a Worker takes is a few less. */
const WORKER_DESCRIPTORS_MAX = 16;
/** How long a Worker waits for the next call. */
const IDLE_MS_MAX = 1000;

/** A call of the C library. */
export interface LibraryCall {
  /** Its name there. */
  readonly name: string;
  /** The types of its parameters. */
  readonly parameters: readonly Deno.NativeType[];
  /** What it returns, below 0 where it fails. */
  readonly result: "i32" | "i64";
  /** What it is called with; memory is copied. */
  readonly args: readonly (number | bigint | Uint8Array<ArrayBuffer>)[];
}

/** What a Worker needs to begin. */
interface Start {
  readonly path: string;
  readonly errnoLocation: string;
  readonly idleMs: number;
}

/** What a Worker says: it is ready, what came of a call, or that it had none for a while. */
type Message = { readonly threadId: number } | { readonly result: number } | "idle";

/** A call that is not over. */
interface Waiting {
  readonly libc: Libc;
  readonly call: LibraryCall;
  /** Takes the result; null: it was not executed. */
  readonly resolve: (result: number | null) => void;
}

/** A Worker that has not ended. */
interface CallWorker {
  readonly thread: Worker;
  readonly ended: Promise<void>;
  /** Its thread, as the system has it; 0: not known. */
  threadId: number;
  /** What it executes. */
  current: Waiting | null;
}

/** The one that is not ready yet. */
let starting: CallWorker | null = null;
const idle: CallWorker[] = [];
const busy = new Set<CallWorker>();
/** Those that end as soon as they are ready. */
const ending = new Set<CallWorker>();
/** Calls that no Worker has yet, the oldest first. */
const queue: Waiting[] = [];
/** How many calls keep the event loop alive. */
let holds = 0;
/** How many Aios this thread has open. */
let users = 0;

/** Answers a call in a Worker's place; null: the Worker executes it. */
export type AnswerCall = (call: LibraryCall) => number | null;

let answerCall: AnswerCall | null = null;

/**
 * Has calls answered before any Worker gets them: for tests of calls that fail. A Worker would
 * repeat those to find out why, with success (testing/failing_calls.ts).
 *
 * @param answer null: no longer
 */
export function answerCalls(answer: AnswerCall | null): void {
  answerCall = answer;
}

/**
 * Has a Worker execute a call.
 *
 * @param libc whose call it is
 * @param patience once that is given up, the call does not keep the event loop alive
 * @returns what it returned, or -errno; null if no Worker can be started: then it was not executed
 */
export async function callInWorker(
  libc: Libc,
  call: LibraryCall,
  patience?: Patience,
): Promise<number | null> {
  const answer = answerCall?.(call) ?? null;
  if (answer !== null) return answer;
  const { promise, resolve } = Promise.withResolvers<number | null>();
  const hold = new CallHold();
  try {
    queue.push({ libc, call, resolve });
    serve();
    return await (patience === undefined ? promise : patience.holding(hold, promise));
  } finally {
    hold.unref();
  }
}

/** One call's part in keeping the event loop alive. */
class CallHold implements Hold {
  #isHolding = false;

  constructor() {
    this.ref();
  }

  ref(): void {
    if (this.#isHolding) return;
    this.#isHolding = true;
    holds++;
    if (holds > 1) return;
    for (const { thread } of living()) thread.ref();
  }

  unref(): void {
    if (!this.#isHolding) return;
    this.#isHolding = false;
    holds--;
    if (holds > 0) return;
    for (const { thread } of living()) thread.unref();
  }
}

function living(): CallWorker[] {
  return [...idle, ...busy, ...(starting === null ? [] : [starting])];
}

/** Gives the calls that wait to the Workers there are, and starts one more if any is left. */
function serve(): void {
  while (queue.length > 0 && idle.length > 0) execute(idle.pop()!, queue.shift()!);
  if (queue.length === 0) return;
  if (starting === null && busy.size < CALL_WORKERS_MAX) starting = tryStart(queue[0]!.libc);
  refuseIfAlone();
}

/** Without any Worker nobody would come for the calls that wait. */
function refuseIfAlone(): void {
  if (starting !== null || busy.size > 0) return;
  for (const { resolve } of queue.splice(0)) resolve(null);
}

function execute(worker: CallWorker, waiting: Waiting): void {
  busy.add(worker);
  worker.current = waiting;
  worker.thread.postMessage(waiting.call);
}

/** Whether a Worker can be started: Deno ends the process where one finds no descriptors. */
function hasDescriptors(libc: Libc): boolean {
  if (Deno.build.os !== "linux") return true;
  const fds = Array.from({ length: WORKER_DESCRIPTORS_MAX }, () => libc.eventfd());
  const taken = fds.filter((fd) => fd >= 0);
  for (const fd of taken) libc.close(fd);
  return taken.length === fds.length;
}

/** @returns null if that fails */
function tryStart(libc: Libc): CallWorker | null {
  if (!hasDescriptors(libc)) return null;
  const isDarwin = Deno.build.os === "darwin";
  const workerData: Start = {
    path: libc.path,
    errnoLocation: isDarwin ? "__error" : "__errno_location",
    idleMs: IDLE_MS_MAX,
  };
  const source = `data:text/javascript,${encodeURIComponent(`(${serveCalls})()`)}`;
  let thread: Worker;
  try {
    thread = new Worker(new URL(source), { workerData, name: "aio calls" });
  } catch {
    return null;
  }
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const worker: CallWorker = { thread, ended, threadId: 0, current: null };
  thread.on("message", (message: Message) => take(worker, message));
  thread.on("error", () => {}); // Then it ends.
  thread.on("exit", () => {
    noticeEnd(worker);
    resolve();
  });
  if (holds === 0) thread.unref();
  return worker;
}

function take(worker: CallWorker, message: Message): void {
  if (message === "idle") {
    // If not, a call is on its way to it.
    if (tryRemove(idle, worker)) end(worker);
    return;
  }
  if ("threadId" in message) {
    worker.threadId = message.threadId;
    starting = null;
  } else {
    busy.delete(worker);
    worker.current?.resolve(message.result);
    worker.current = null;
  }
  if (ending.has(worker) || users === 0 && queue.length === 0) {
    end(worker);
    return;
  }
  idle.push(worker);
  serve();
}

/** A Worker ends by itself only where it cannot begin. */
function noticeEnd(worker: CallWorker): void {
  ending.delete(worker);
  busy.delete(worker);
  tryRemove(idle, worker);
  // Nobody knows whether it executed the call: to repeat it could close another file.
  worker.current?.resolve(-EIO);
  if (starting === worker) {
    // Another one would fail of the same.
    starting = null;
    refuseIfAlone();
  } else serve();
}

function tryRemove(from: CallWorker[], worker: CallWorker): boolean {
  const at = from.indexOf(worker);
  if (at >= 0) from.splice(at, 1);
  return at >= 0;
}

function end(worker: CallWorker): void {
  ending.add(worker);
  worker.thread.postMessage(null);
}

/** An Aio of this thread is open: Workers are kept. */
export function joinCallWorkers(): void {
  users++;
}

/**
 * An Aio of this thread is about to be closed. The last one ends the Workers, but for those that
 * execute a call that everybody has given up: they end with it.
 *
 * @param libc tells whether a thread still runs
 */
export async function leaveCallWorkers(libc: Libc): Promise<void> {
  users--;
  if (users > 0) return;
  for (const worker of idle.splice(0)) end(worker);
  if (starting !== null && queue.length === 0) ending.add(starting);
  const workers = [...ending];
  for (const { thread } of workers) thread.ref();
  await Promise.all(workers.map(({ ended }) => ended));
  await untilGone(libc, workers.map(({ threadId }) => threadId));
}

/** The Worker's program: its text is what runs, so it uses nothing from outside. */
async function serveCalls(): Promise<void> {
  const { parentPort, workerData } = await import("node:worker_threads");
  const { path, errnoLocation, idleMs }: Start = workerData;
  const port = parentPort!;
  const system = Deno.dlopen(path, {
    errnoAt: { name: errnoLocation, parameters: [], result: "usize" },
    copy: { name: "memcpy", parameters: ["buffer", "usize", "usize"], result: "usize" },
    threadId: { name: "gettid", parameters: [], result: "i32", optional: true },
  });
  const { errnoAt, copy, threadId } = system.symbols;
  const errno = new Int32Array(1);
  const errnoBytes = new Uint8Array(errno.buffer);
  type Function = (...args: LibraryCall["args"]) => number | bigint;
  const functions = new Map<string, Function>();
  const libraries: { close(): void }[] = [system];
  const functionOf = ({ name, parameters, result }: LibraryCall): Function => {
    const opened = Deno.dlopen(path, { call: { name, parameters, result } });
    libraries.push(opened);
    functions.set(name, opened.symbols.call);
    return opened.symbols.call;
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  port.on("message", (call: LibraryCall | null) => {
    clearTimeout(timer);
    if (call === null) {
      for (const library of libraries) library.close();
      globalThis.close();
      return;
    }
    const execute = functions.get(call.name) ?? functionOf(call);
    const returned = execute(...call.args);
    if (returned < 0) copy(errnoBytes, errnoAt(), 4n);
    port.postMessage({ result: returned < 0 ? -errno[0]! : Number(returned) });
    timer = setTimeout(() => port.postMessage("idle"), idleMs);
  });
  port.postMessage({ threadId: threadId?.() ?? 0 });
}
