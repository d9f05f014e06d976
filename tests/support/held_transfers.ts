/**
 * held_transfers.ts: transfers of the friendly layer that a test completes as it likes.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { backendOf } from "../../core/inside.ts";
import { type Fixture, openHeld } from "./core.ts";
import { HeldMethod } from "./held_method.ts";
import { assertEquals } from "@std/assert";
import { until } from "./patience.ts";

/** More than there are handles. */
export const TURNS = 8;

/**
 * Lets the event loop come around until all that is over was handed out, and what follows is
 * submitted. On a busy machine each IO that is over is handed out in a turn of its own, after other
 * work.
 */
export async function turn({ aio }: Fixture): Promise<void> {
  for (let i = 0; i < TURNS; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    await backendOf(aio).turn.settled();
  }
  await new Promise((resolve) => setTimeout(resolve));
}

/**
 * What is held, as operation, offset and length, the oldest first.
 *
 * @param count at least so many, which are waited for: the first append to a file asks the system
 *   for its end before
 */
export async function heldNow(fixture: Fixture, count = 0): Promise<string[]> {
  await turn(fixture);
  await until(() => fixture.held.held(fixture.aio).length >= count, `${count} IOs are held`);
  return fixture.held.held(fixture.aio).map((index) => {
    const handle = backendOf(fixture.aio).handleOf(index);
    const { offset, length } = handle.operationData;
    return `${handle.operation} ${offset} ${length}`;
  });
}

/** Completes the oldest held IO with a result. */
export async function complete(fixture: Fixture, result: number): Promise<void> {
  fixture.held.complete(fixture.aio, await oldest(fixture), result);
}

/** Really does the oldest held IO. */
export async function perform(fixture: Fixture): Promise<void> {
  fixture.held.perform(fixture.aio, await oldest(fixture));
}

/** The oldest held IO. The first append to a file asks the system for its end before. */
async function oldest(fixture: Fixture): Promise<number> {
  await turn(fixture);
  const held = () => fixture.held.held(fixture.aio);
  await until(() => held().length > 0, "an IO is held");
  return held()[0]!;
}

/** Lets all IO through until something is done. */
export async function through<T>(fixture: Fixture, work: Promise<T>): Promise<T> {
  let isDone = false;
  const done = work.finally(() => isDone = true);
  done.catch(() => {});
  while (!isDone) {
    fixture.held.performAll(fixture.aio);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return await done;
}

export async function withHeld(
  use: (fixture: Fixture) => Promise<void>,
  options: Parameters<typeof openHeld>[0] = {},
  method = new HeldMethod(),
): Promise<void> {
  await using fixture = await openHeld({ maxConcurrency: 4, ...options }, method);
  await use(fixture);
  await turn(fixture);
  assertEquals(fixture.held.held(fixture.aio), []);
  assertEquals(backendOf(fixture.aio).idleCount, 4, "handles");
}
