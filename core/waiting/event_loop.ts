/**
 * event_loop.ts: lets the event loop go around until sockets and signals were looked at.
 *
 * @module
 */

import { setImmediate } from "node:timers";

/**
 * Deno's runtime looks for sockets and signals when it comes to rest, and otherwise at every 61st
 * of its steps, whether they did much or nothing. A turn of the event loop is a step, and an empty
 * one takes 1 µs; so many of them, wherever it stands, are enough.
 */
export const TURNS_TO_LOOK = 64;

/** Resolves when the event loop has gone around that often, without coming to rest. */
export function goAround(): Promise<void> {
  return new Promise((resolve) => {
    let left = TURNS_TO_LOOK;
    const next = () => {
      if (--left > 0) setImmediate(next);
      else resolve();
    };
    setImmediate(next);
  });
}
