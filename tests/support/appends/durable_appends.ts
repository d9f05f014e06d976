/**
 * durable_appends.ts: durable appends of a file whose IOs a test completes as it likes.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf, system } from "../../../core/inside.ts";
import { FILE_BYTES, type Fixture } from "../core.ts";
import { complete, heldNow, perform } from "../held_transfers.ts";
import { data } from "./held_appends.ts";

const { RWF_DSYNC } = system;

/** Options of such an append. */
export const DURABLE = { durable: true };

/** Checks what is held, once so much is, and whether it is a durable write. */
export async function checkHeld(fixture: Fixture, expected: readonly string[]): Promise<void> {
  const shown = await heldNow(fixture, expected.length);
  const held = fixture.held.held(fixture.aio).map((index, i) => {
    const { flags } = backendOf(fixture.aio).handleOf(index).operationData;
    return (flags & RWF_DSYNC) === 0 ? shown[i]! : `${shown[i]} durably`;
  });
  assertEquals(held, expected);
}

/** Lets the first append go, which asks for the file's size, and its flush: all is durable then. */
export async function begin(fixture: Fixture): Promise<void> {
  await appendAndFlush(fixture, 1, FILE_BYTES);
}

/** Lets a flush go, which is all that is held. */
export async function letFlushGo(fixture: Fixture): Promise<void> {
  await checkHeld(fixture, ["fdatasync 0 0"]);
  await complete(fixture, 0);
}

/** Has a durable append as a write and a flush. */
export async function appendAndFlush(
  fixture: Fixture,
  bytes: number,
  offset: number,
): Promise<void> {
  const appended = fixture.file.append(data(bytes), DURABLE);
  await checkHeld(fixture, [`writev ${offset} ${bytes}`]);
  await perform(fixture);
  await letFlushGo(fixture);
  assertEquals(await appended, offset);
}

/** Has a durable append as one write. */
export async function appendDurably(
  fixture: Fixture,
  bytes: number,
  offset: number,
): Promise<void> {
  const appended = fixture.file.append(data(bytes), DURABLE);
  await checkHeld(fixture, [`writev ${offset} ${bytes} durably`]);
  await perform(fixture);
  assertEquals(await appended, offset);
}

/**
 * Has a durable append of 3 bytes written and flushed, and only then the one before it written.
 *
 * @param plain the one before, of 2 bytes behind those of {@linkcode begin}
 */
export async function flushBefore(fixture: Fixture, plain: Promise<number>): Promise<void> {
  const { aio, file, held } = fixture;
  const from = FILE_BYTES + 1;
  await checkHeld(fixture, [`writev ${from} 2`]);
  const first = file.append(data(3), DURABLE);
  await checkHeld(fixture, [`writev ${from} 2`, `writev ${from + 2} 3`]);
  const [before, own] = held.held(aio);
  held.perform(aio, own!);
  await checkHeld(fixture, [`writev ${from} 2`, "fdatasync 0 0"]);
  held.complete(aio, held.held(aio)[1]!, 0);
  assertEquals(await first, from + 2);
  held.perform(aio, before!);
  assertEquals(await plain, from);
}
