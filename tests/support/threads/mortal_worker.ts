/**
 * mortal_worker.ts: runs a Worker that answers once, and may die instead.
 *
 * @module
 */

/** What a message means: others follow, it was the last, or it was, as the thread dies. */
export type Heard = "more" | "last" | "dies";

/**
 * Runs it.
 *
 * @param module of the Worker
 * @param ask is posted to it
 * @param hear is called with each message
 * @returns the last message, or the error that ended the Worker
 */
export function runMortal<Message>(
  module: URL,
  ask: unknown,
  hear: (message: Message) => Heard,
): Promise<Message | { readonly error: string }> {
  const worker = new Worker(module, { type: "module" });
  const { promise, resolve } = Promise.withResolvers<Message | { readonly error: string }>();
  worker.onmessage = ({ data }: MessageEvent<Message>) => {
    const heard = hear(data);
    if (heard === "more") return;
    // A thread that dies ends by itself: terminate() would let it go on to its next turn.
    if (heard === "last") worker.terminate();
    resolve(data);
  };
  worker.onerror = (event) => {
    event.preventDefault();
    resolve({ error: event.message });
  };
  worker.postMessage(ask);
  return promise;
}
