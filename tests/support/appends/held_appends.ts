/**
 * held_appends.ts: appends of a file whose IOs a test completes as it likes.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { FILE_BYTES, type Fixture } from "../core.ts";
import { heldIos } from "../flush_failures.ts";
import { perform } from "../held_transfers.ts";

/** So many bytes, which all say how many they are. */
export function data(bytes: number): Uint8Array {
  return new Uint8Array(bytes).fill(bytes);
}

/** Lets the first append go, which asks for the file's size. */
export async function begin(fixture: Fixture): Promise<void> {
  const first = fixture.file.append(data(1));
  await heldIos(fixture, 1);
  await perform(fixture);
  assertEquals(await first, FILE_BYTES);
}

/** Ends the wait for something by its signal. */
export async function giveUp(end: AbortController, awaited: Promise<unknown>): Promise<void> {
  end.abort(new Error("no more"));
  await assertRejects(() => awaited, Error, "no more");
}
