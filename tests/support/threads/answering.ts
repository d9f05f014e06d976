/**
 * answering.ts: the Worker's side of `asked_thread.ts`.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import type { Answer, Question } from "./asked_thread.ts";

/** A Worker's `onmessage` that answers by a function, and what it throws by its text. */
export function answering<Ask>(
  answer: (ask: Ask, id: number) => unknown,
): (event: MessageEvent<Question<Ask>>) => Promise<void> {
  return async ({ data: { id, ask } }) => {
    let reply: Answer;
    try {
      reply = { id, value: await answer(ask, id) };
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      reply = { id, error: `${name}: ${message}` };
    }
    self.postMessage(reply);
  };
}
