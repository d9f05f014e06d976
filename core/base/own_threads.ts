/**
 * own_threads.ts: what threads of our own have in common: whether they may load the modules of this
 * library, how one begins with such a module, and when one is gone.
 *
 * @module
 */

import { LOOK_AGAIN_MS } from "./pauses.ts";

/**
 * What Deno wants for the modules of a Worker, if that was not granted; modules by URL are cached,
 * and a compiled program has them in itself.
 *
 * @returns the flag; null: nothing is missing
 */
export function missingFlag(): string | null {
  if (Deno.build.standalone) return null;
  const root = new URL("../../", import.meta.url);
  if (root.protocol !== "file:") return null;
  const { state } = Deno.permissions.querySync({ name: "read", path: root });
  return state === "granted" ? null : `--allow-read=${decodeURIComponent(root.pathname)}`;
}

/**
 * The URL that a Worker of `node:worker_threads` begins with. The real module may come from a file
 * or by `http:`, which Node's Workers cannot load, so a `data:` URL imports it. If that fails the
 * Worker posts `{ kind: "failed", message, cause }`, both as texts.
 *
 * @param module the real module's URL. `deno compile` does not follow it: an import that is written
 *   out beside the call has it embedded.
 */
export function startOf(module: string): URL {
  const source = `
import { parentPort } from "node:worker_threads";
import(${JSON.stringify(module)}).catch((cause) =>
  parentPort.postMessage({ kind: "failed", message: cause.message, cause: String(cause) }));
`;
  return new URL(`data:text/javascript,${encodeURIComponent(source)}`);
}

/** Looks at a thread that has nothing of ours any more, and is not worth waiting for longer. */
const GONE_LOOKS_MAX = 200;

/**
 * Resolves when threads whose Workers have ended are gone: they go on for a moment, with
 * descriptors and memory of their own.
 *
 * @param threads tells whether one still runs
 * @param threadIds as the system has them; 0: not known, and not waited for
 */
export async function untilGone(
  threads: { isThreadAlive(threadId: number): boolean },
  threadIds: readonly number[],
): Promise<void> {
  const isAnyAlive = () => threadIds.some((id) => id !== 0 && threads.isThreadAlive(id));
  for (let looks = 0; looks < GONE_LOOKS_MAX && isAnyAlive(); looks++) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
}
