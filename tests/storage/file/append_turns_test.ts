/**
 * append_turns_test.ts: whom `appendSync({ durable })` waits for: for a thread that blocks in a
 * flush, and for no event loop.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf, FlushTurns } from "../../../core/inside.ts";
import { FILE } from "../../../core/memory/shared_memory.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { settles, until } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";
import { type AttachedWorker, shareThread } from "../../support/threads/attached.ts";

interface Opened {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly worker: AttachedWorker;
  /** Of this thread. */
  readonly turns: FlushTurns;
}

const startWorker = shareThread();

function testTurns(name: string, use: (opened: Opened) => Promise<void>): void {
  testEachMethod(name, async (method) => {
    await using dir = await tempDir();
    await using aio = await openAio(method, { maxBackends: 2 });
    const options = { read: true, write: true, create: true };
    await using file = await aio.openFile(dir.join("file"), options);
    await using worker = await startWorker(aio, file);
    const { control, doorbells, id } = backendOf(aio);
    const turns = new FlushTurns(control, file.token.slot, doorbells, id);
    await use({ aio, file, worker, turns });
  });
}

/** Has the Worker append, blocking. */
function appendThere({ worker }: Opened): Promise<number> {
  return worker.ask({ what: "appendSync", bytes: new Uint8Array(10), durable: true });
}

testTurns("appendSync() waits for no event loop's flush", async (opened) => {
  const number = opened.turns.tryBegin(false)!;
  const theirs = appendThere(opened);
  const isOver = await settles(theirs);
  opened.turns.end(number, true);
  assert(isOver, "it waits");
  assertEquals(await theirs, 0);
});

testTurns("appendSync() waits for the flush of a thread that blocks in it", async (opened) => {
  const { aio, file, turns } = opened;
  const { control } = backendOf(aio);
  const number = turns.tryBegin(true)!;
  const theirs = appendThere(opened);
  const waiters = control.fileAt(file.token.slot) + FILE.flusherWaiters;
  await until(() => Atomics.load(control.words, waiters) !== 0, "the Worker waits for its turn");
  turns.end(number, true);
  assertEquals(await theirs, 0);
});
