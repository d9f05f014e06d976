/**
 * callback_modules.ts: loads the modules of callbacks and targets, the same ones in every thread.
 *
 * @module
 */

import type { AioCallbacks } from "../io/callback.ts";
import type { AioTarget } from "../io/target.ts";

/** What a callback module exports. */
export interface CallbackModule {
  /** Where it is. */
  readonly url: string;
  /** Its callbacks by name. */
  readonly callbacks: Readonly<Record<string, AioCallbacks>>;
  /** Its targets by name. */
  readonly targets: Readonly<Record<string, AioTarget>>;
}

/** Imports the modules in their order. @throws {TypeError} if one cannot be, or exports something else */
export async function importModules(urls: readonly string[]): Promise<CallbackModule[]> {
  const modules: CallbackModule[] = [];
  for (const url of urls) {
    const module = await importModule(url);
    modules.push({
      url,
      callbacks: recordOf<AioCallbacks>(module["callbacks"], url, "callbacks"),
      targets: recordOf<AioTarget>(module["targets"], url, "targets"),
    });
  }
  return modules;
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
  const message = cause instanceof Error ? cause.message : String(cause);
  const refused = /^Requires (read|import) access/.exec(message);
  if (refused === null) return `: ${message.split("\n", 1)[0]!.replace(/\.$/, "")}`;
  const { host, pathname } = new URL(".", url);
  const flag = refused[1] === "read"
    ? `--allow-read=${decodeURIComponent(pathname)}`
    : `--allow-import=${host}`;
  return ` without permission: run again with ${flag}`;
}

function recordOf<T>(value: unknown, url: string, name: string): Readonly<Record<string, T>> {
  if (value === undefined) return {};
  if (typeof value === "object" && value !== null) return value as Record<string, T>;
  throw new TypeError(`Cannot use "${name}" of the callback module ${url}: it must be an object`);
}
