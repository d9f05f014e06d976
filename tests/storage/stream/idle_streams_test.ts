/**
 * idle_streams_test.ts: the space that write streams of another thread have begun to fill comes
 * back when it is wanted here.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { Arena } from "../../../core/memory/arena.ts";
import { BounceSpace } from "../../../storage/file/bounce.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { settles } from "../../support/patience.ts";
import { contentAt } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";
import { shareThread } from "../../support/threads/attached.ts";

const SEED = 8;
const FILE_BYTES = 200_000;
const ARENA_BYTES = 65_536;
/** A buffer of a stream is a quarter of the arena. */
const ALL_OFFSETS = [0, 50_000, 100_000, 150_000];

const startWorker = shareThread();

function testFile(name: string, use: (aio: Aio, file: AioFile) => Promise<void>): void {
  testEachMethod(name, async (method) => {
    await using dir = await tempDir();
    await writeRandomFile(dir.join("file"), FILE_BYTES, SEED);
    await using aio = await openAio(method, { arenaBytes: ARENA_BYTES, maxBackends: 2 });
    await using file = await aio.openFile(dir.join("file"), { read: true, write: true });
    await use(aio, file);
  });
}

testFile("readAt() gets the space of another thread's idle write streams", async (aio, file) => {
  await using worker = await startWorker(aio, file);
  const bytes = new Uint8Array(10).fill(7);
  await worker.ask({ what: "fillStreams", offsets: ALL_OFFSETS, bytes });
  assertEquals(backendOf(aio).arena.freeBytes, 0);
  const buffer = new Uint8Array(10);
  const read = file.readAt(buffer, 0);
  assert(await settles(read), "it waits");
  // It is the first buffer that was written for that.
  assertEquals([await read, buffer], [10, bytes]);
});

testFile(
  "a thread that is asked for space lets go of no more than is wanted",
  async (aio, file) => {
    const { arena, control } = backendOf(aio);
    // The same arena, as another thread sees it.
    const theirs = new BounceSpace(new Arena(control, arena.buffer, arena.address, 1, -1));
    let asked = 0;
    for (let i = 0; i < 4; i++) {
      const view = await theirs.take(ARENA_BYTES / 4, 4096);
      const filler = {
        letGo() {
          asked++;
          theirs.fillsNoMore(filler);
          theirs.giveBack(view);
        },
      };
      theirs.fills(filler);
    }
    // So little is never copied from the page cache without space.
    const buffer = new Uint8Array(64);
    const read = file.readAt(buffer, 5);
    assert(await settles(read), "it waits");
    assertEquals([await read, buffer], [64, contentAt(SEED, 5, 64)]);
    assertEquals([asked, arena.freeBytes], [1, ARENA_BYTES / 4]);
    theirs.refuseAll(new Error("over"));
  },
);
