/**
 * abort.ts: calls a function once when a signal aborts.
 *
 * @module
 */

/**
 * Calls back when a signal aborts.
 *
 * @param signal not aborted yet
 * @param call gets its reason
 * @returns ends that
 */
export function onAbort(signal: AbortSignal, call: (reason: unknown) => void): () => void {
  const listener = (): void => call(signal.reason);
  signal.addEventListener("abort", listener, { once: true });
  return () => signal.removeEventListener("abort", listener);
}
