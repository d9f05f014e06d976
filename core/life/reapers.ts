/**
 * reapers.ts: threads that take over from dead ones, for a thread that has an event loop to see to.
 *
 * To reap may block for as long as a device takes: IO is executed again, descriptors are closed. An
 * event loop leaves what may block to a Worker, which does it and ends (reaper_main.ts). The Worker
 * takes over the dead one's slot, as every reaper does, so all others see that a living thread is
 * at it, and if it dies they go on in its place. Nothing depends on the event loop that started it:
 * that thread may block for the very IO meanwhile.
 *
 * @module
 */

import { Worker } from "node:worker_threads";
import type { IoLog } from "../io/io_log.ts";
import type { IoMethod } from "../io/method.ts";
import type { EffectiveOptions } from "../base/options.ts";
import type { LogLevel } from "../base/log_level.ts";
import type { NamedModule } from "../base/named_module.ts";
import { missingFlag, startOf } from "../base/own_threads.ts";
import type { Patience } from "../base/patience.ts";
import type { Control } from "../memory/shared_memory.ts";

/** What such a thread gets, in a message. */
export interface ReaperToken {
  /** The control memory. */
  readonly control: SharedArrayBuffer;
  /** The arena. */
  readonly arena: SharedArrayBuffer;
  /** The options in force. */
  readonly options: EffectiveOptions;
  /** How IO is executed. */
  readonly method: NamedModule;
  /** The layers that it imports. */
  readonly layers: readonly NamedModule[];
  /** The most detailed lines of the log that are wanted; null: none are. */
  readonly logLevel: LogLevel | null;
  /** The dead one. */
  readonly id: number;
}

/** What it posts. */
export interface ReaperMessage {
  /** `"failed"`: it cannot do it; else a warning for the hook, or a line of the log. */
  readonly kind: "failed" | "warning" | "line";
  /** In words. */
  readonly message: string;
  /** Of a module that cannot be loaded: the whole error, as a text. */
  readonly cause?: string;
  /** How detailed a line is. */
  readonly level?: LogLevel;
}

/** The thread's first module. */
const START = startOf(import.meta.resolve("./reaper_main.ts"));

/**
 * Never called. `deno compile` and its like follow an import that is written out: worker/pool.ts.
 */
export function importReaper(): Promise<unknown> {
  return import("./reaper_main.ts");
}

/** What they need of the backend. */
export interface ReapersHost {
  /** Shared memory. */
  readonly control: Control;
  /** The memory that IO goes to without a copy. */
  readonly arena: { readonly buffer: SharedArrayBuffer };
  /** The options in force. */
  readonly options: EffectiveOptions;
  /** How IO is executed. */
  readonly method: IoMethod;
  /** The layers that threads of our own import. */
  readonly layerModules: readonly NamedModule[];
  /** Takes lines about each IO; null: nobody wants any. */
  readonly log: IoLog | null;
  /** Takes warnings; never throws. */
  readonly warn: (message: string, cause?: unknown) => void;
}

interface Reaper {
  readonly thread: Worker;
  readonly ended: Promise<void>;
}

const REAPERS = new WeakMap<ReapersHost, Reapers>();

/** Those that a backend has started. */
export function reapersOf(backend: ReapersHost): Reapers {
  let reapers = REAPERS.get(backend);
  if (reapers === undefined) {
    reapers = new Reapers(backend);
    REAPERS.set(backend, reapers);
  }
  return reapers;
}

/** Those that one backend has started. */
export class Reapers {
  readonly #host: ReapersHost;
  /** By the backend that each is at. */
  readonly #reapers = new Map<number, Reaper>();
  #isEnding = false;
  /** Once one could not be started no other is. */
  #hasFailed = false;

  /**
   * @param host the backend
   */
  constructor(host: ReapersHost) {
    this.#host = host;
  }

  /** Whether one is at that backend, or has not ended yet. */
  isAt(id: number): boolean {
    return this.#reapers.has(id);
  }

  /**
   * Has a thread of its own reap a backend. While this one closes, that is left to others.
   *
   * @returns false if there can be no such thread: without the permission to read this library's
   *   modules, or with a method that has none
   */
  tryStart(id: number): boolean {
    const { control, arena, options, layerModules: layers, log } = this.#host;
    const { name, module } = this.#host.method;
    if (this.#isEnding) return true;
    if (module === undefined || this.#hasFailed) return false;
    const flag = missingFlag();
    if (flag !== null) {
      this.#noticeFailure(`it lacks permission: run again with ${flag}`);
      return false;
    }
    const logLevel = log?.level ?? null;
    const memory = { control: control.buffer, arena: arena.buffer };
    const workerData: ReaperToken = {
      ...memory,
      options,
      id,
      method: { name, module },
      layers,
      logLevel,
    };
    let thread: Worker;
    try {
      thread = new Worker(START, { workerData, name: `aio reaper of ${id}` });
    } catch (error) {
      this.#noticeFailure(error);
      return false;
    }
    this.#listen(id, thread);
    return true;
  }

  #listen(id: number, thread: Worker): void {
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const { log, warn } = this.#host;
    thread.on("message", ({ kind, message, cause = message, level = "log" }: ReaperMessage) => {
      if (kind === "failed") this.#noticeFailure(cause);
      else if (kind === "warning") warn(message);
      else log?.say(level, message);
    });
    thread.on("error", (error: Error) => this.#noticeFailure(error));
    thread.on("exit", () => {
      this.#reapers.delete(id);
      resolve();
    });
    // What is awaited keeps the event loop alive by itself.
    thread.unref();
    this.#reapers.set(id, { thread, ended });
  }

  #noticeFailure(cause: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#host.warn(
      "Cannot have another thread take over from one that died, so this one does, and may block",
      cause,
    );
  }

  /**
   * Resolves when none is at work.
   *
   * @param patience once that is given up, they do not keep the event loop alive
   */
  async settled(patience: Patience): Promise<void> {
    for (const { thread, ended } of [...this.#reapers.values()]) {
      thread.ref();
      await patience.holding(thread, ended);
    }
  }

  /** The same, and none is started any more. For `close()`. */
  async end(patience: Patience): Promise<void> {
    this.#isEnding = true;
    await this.settled(patience);
  }
}
