/**
 * flush_failures.ts: how tests make a flush fail, and what its error must say.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import type { AioFile } from "../../storage/mod.ts";
import type { Fixture } from "./core.ts";
import { errorOf } from "./system_errors.ts";
import { until } from "./patience.ts";

/** Where a hook replaces the system's answer. */
export const POINT = "aio-process-completion-before-shared";

/** What the message of a failed flush ends with. */
export const REMEDY =
  "open it again and verify what was written since the last sync() that resolved";

/** Closes a file whose flush has failed, and checks what that says. */
export async function checkCloses({ file }: { file: AioFile }, code: string): Promise<void> {
  const closed = await errorOf(file.close());
  const what = `Closed ${JSON.stringify(file.path)}, but an earlier flush of it failed: `;
  assert(closed.message.startsWith(what), closed.message);
  assert(closed.message.endsWith(`(${code}); ${REMEDY}`), closed.message);
  assertEquals([closed.code, closed.syscall, closed.path], [code, "close", file.path]);
}

/** Opens the file of a fixture again, so that each write is a flush. */
export async function openDurable({ aio, file }: Fixture): Promise<AioFile> {
  return await aio.openFile(file.path, { read: true, write: true, dsync: true });
}

/** Opens the file of a fixture again: as others may append, durable appends wait for a flush. */
export async function openAgain({ aio, file }: Fixture): Promise<AioFile> {
  return await aio.openFile(file.path, { read: true, write: true });
}

/** Waits until so many IOs are held. */
export async function heldIos({ aio, held }: Fixture, count: number): Promise<number[]> {
  await until(() => held.held(aio).length === count, `${count} IOs are held`);
  return held.held(aio);
}

/** Lets the only IO of this thread go with success, whatever another one left. */
export async function completeOwn({ aio, held }: Fixture): Promise<void> {
  const backend = backendOf(aio);
  const findOwn = () => held.held(aio).find((io) => backend.handleOf(io).backendId === backend.id);
  await until(() => findOwn() !== undefined, "an IO of this thread is held");
  held.complete(aio, findOwn()!, 0);
}
