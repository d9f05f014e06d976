/**
 * callback_modules.ts: loads the modules of callbacks, targets and verifiers, the same ones in
 * every thread.
 *
 * @module
 */

import type { AioCallbacks } from "../io/callback.ts";
import type { AioTarget } from "../io/target.ts";
import type { PageVerifier } from "../io/verifier.ts";
import type { EffectiveOptions } from "../base/options.ts";

/** A callback module as one thread has it. */
export interface CallbackModule {
  /** Where it is. */
  readonly url: string;
  /** Its callbacks by name. */
  readonly callbacks: Readonly<Record<string, AioCallbacks>>;
  /** Its targets by name. */
  readonly targets: Readonly<Record<string, AioTarget>>;
  /** Its verifiers by name. */
  readonly verifiers: Readonly<Record<string, PageVerifier>>;
  /** What it does before its first callback runs; null: nothing. */
  readonly init: ((data: unknown) => unknown) | null;
  /** What {@linkcode init} gets a clone of. */
  readonly data: unknown;
}

/**
 * Imports the modules in their order.
 *
 * @throws {TypeError} if one cannot be, or exports something else
 */
export async function importModules(
  wanted: EffectiveOptions["callbackModules"],
): Promise<CallbackModule[]> {
  const modules: CallbackModule[] = [];
  for (const { url, data } of wanted) {
    const module = await importModule(url);
    modules.push({
      url,
      data,
      callbacks: recordOf<AioCallbacks>(module["callbacks"], url, "callbacks"),
      targets: recordOf<AioTarget>(module["targets"], url, "targets"),
      verifiers: recordOf<PageVerifier>(module["verifiers"], url, "verifiers"),
      init: initOf(module["init"], url),
    });
  }
  return modules;
}

/**
 * Has the modules begin, one after the other: once for each Aio in each thread.
 *
 * @throws {TypeError} naming the module whose `init()` throws or rejects
 */
export async function initModules(modules: readonly CallbackModule[]): Promise<void> {
  for (const { url, init, data } of modules) {
    try {
      // A clone for this thread's use alone: what it does to it, other threads must not see.
      await init?.(structuredClone(data));
    } catch (cause) {
      throw new TypeError(`Cannot begin with the callback module ${url}: ${lineOf(cause)}`, {
        cause,
      });
    }
  }
}

function initOf(value: unknown, url: string): CallbackModule["init"] {
  if (value === undefined) return null;
  if (typeof value === "function") return (data) => value(data);
  throw new TypeError(`Cannot use "init" of the callback module ${url}: it must be a function`);
}

async function importModule(url: string): Promise<Record<string, unknown>> {
  try {
    return await import(url);
  } catch (cause) {
    throw new TypeError(`Cannot import the callback module ${url}${whyNot(url, cause)}`, { cause });
  }
}

/** The end of that sentence, in one line. Deno says by a text that it lacks permission. */
function whyNot(url: string, cause: unknown): string {
  const line = lineOf(cause);
  const refused = /^Requires (read|import) access/.exec(line);
  if (refused === null) return `: ${line}`;
  const { host, pathname } = new URL(".", url);
  const flag = refused[1] === "read"
    ? `--allow-read=${decodeURIComponent(pathname)}`
    : `--allow-import=${host}`;
  return ` without permission: run again with ${flag}`;
}

/** What was thrown, in one line and as the end of a sentence. */
function lineOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.split("\n", 1)[0]!.replace(/\.$/, "");
}

function recordOf<T>(value: unknown, url: string, name: string): Readonly<Record<string, T>> {
  if (value === undefined) return {};
  if (typeof value === "object" && value !== null) return value as Record<string, T>;
  throw new TypeError(`Cannot use "${name}" of the callback module ${url}: it must be an object`);
}
