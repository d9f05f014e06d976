/**
 * using_test.ts: what the end of a block with `using` gives back: files, and memory of the arena.
 *
 * @module
 */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import type { Aio, AioFile } from "../../storage/mod.ts";
import { openHeld } from "../support/core.ts";
import { openAio, testEachMethod, testSharedAios } from "../support/methods.ts";
import { tempDir } from "../support/temp.ts";
import { Turns } from "../support/turns.ts";

const PAGE = 4096;
const EIO = 5;

/** A file that the test opened in a block, and what the block left of it. */
function useFile(aio: Aio, path: string, work: (file: AioFile) => void): AioFile {
  using file = aio.openFileSync(path, { read: true, write: true, create: true });
  work(file);
  return file;
}

testSharedAios("using closes a file, whatever ended the block", async (aio) => {
  await using dir = await tempDir();
  const { files } = backendOf(aio);
  let seen: AioFile | null = null;
  const file = useFile(aio, dir.join("a"), (file) => void file.writeAtSync(new Uint8Array(10), 0));
  assertEquals([file.isClosed, files.count], [true, 0]);
  const stop = new Error("stop");
  const thrown = assertThrows(() =>
    useFile(aio, dir.join("a"), (file) => {
      seen = file;
      throw stop;
    })
  );
  assertStrictEquals(thrown, stop);
  assertEquals([(seen as AioFile | null)?.isClosed, files.count], [true, 0]);
});

testSharedAios("using does nothing after close() and closeSync()", async (aio) => {
  await using dir = await tempDir();
  let closed = Promise.resolve();
  useFile(aio, dir.join("a"), (file) => file.closeSync());
  useFile(aio, dir.join("a"), (file) => closed = file.close());
  await closed;
  assertEquals(backendOf(aio).files.count, 0);
});

Deno.test("held: using of a file with a read that is pending throws, and leaves it open", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  let read: Promise<number> | null = null;
  const error = assertThrows(
    () => useFile(aio, fixture.file.path, (file) => read = file.readAt(new Uint8Array(10), 0)),
    Deno.errors.Busy,
  );
  assert(error.message.endsWith("are pending: await close() instead"), error.message);
  assertEquals(backendOf(aio).files.count, 2);
  aio.submitStaged();
  held.performAll(aio);
  assertEquals(await read, 10);
});

const turns = new Turns(2);

testEachMethod(
  "using is quiet about a failed flush that the block has thrown",
  async (method) => {
    await using dir = await tempDir();
    await using aio = await openAio(method);
    const fail = (file: AioFile, flush: () => void) => {
      aio.attachInjectionPoint("aio-process-completion-before-shared", (handle) => {
        return handle.operation === "fsync" ? -EIO : undefined;
      });
      try {
        flush();
      } finally {
        aio.detachInjectionPoint("aio-process-completion-before-shared");
      }
      assertEquals(file.isClosed, false);
    };
    const thrown = assertThrows(
      () => useFile(aio, dir.join("a"), (file) => fail(file, () => file.syncSync())),
      Error,
    );
    assert(thrown.message.startsWith("Cannot sync "), thrown.message);
    // Whoever only started the flush has not heard of its failure.
    const told = assertThrows(() =>
      useFile(aio, dir.join("a"), (file) =>
        fail(file, () => {
          const handle = aio.acquire();
          const ref = handle.waitRef();
          file.startFsync(handle);
          aio.waitSync(ref);
        })), Error);
    assert(told.message.includes("an earlier flush of it failed"), told.message);
    assertEquals(backendOf(aio).files.count, 0);
  },
  true,
  turns,
);

testSharedAios("using gives a view of alloc() back", (aio) => {
  const { arena } = backendOf(aio);
  const before = arena.freeBytes;
  {
    using page = aio.alloc(2 * PAGE);
    assertEquals(before - arena.freeBytes, 2 * PAGE);
    page.fill(7);
  }
  assertEquals(arena.freeBytes, before);
});

testSharedAios("using of a view that free() gave back leaves its memory to the next one", (aio) => {
  const { arena } = backendOf(aio);
  const before = arena.freeBytes;
  let next: Uint8Array;
  let old: Uint8Array;
  {
    using page = aio.alloc(PAGE);
    old = page;
    aio.free(page);
    next = aio.alloc(PAGE);
    assertEquals(next.byteOffset, page.byteOffset);
  }
  assertEquals(before - arena.freeBytes, PAGE, "the next view's page was given back");
  assertThrows(() => aio.free(old), TypeError, "or it was freed before");
  assertEquals(before - arena.freeBytes, PAGE);
  aio.free(next);
  assertEquals(arena.freeBytes, before);
});

testSharedAios("using of a view twice gives it back once", (aio) => {
  const { arena } = backendOf(aio);
  const before = arena.freeBytes;
  const page = aio.alloc(PAGE);
  page[Symbol.dispose]();
  page[Symbol.dispose]();
  assertEquals(arena.freeBytes, before);
});

Deno.test("held: using of a view that an IO uses throws, and it can be freed later", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  let read: Promise<number>;
  let kept: Uint8Array | null = null;
  const error = assertThrows(() => {
    using page = aio.alloc(PAGE);
    kept = page;
    read = file.readAt(page, 0);
  }, Deno.errors.Busy);
  assert(error.message.includes("while an IO uses it"), error.message);
  aio.submitStaged();
  held.performAll(aio);
  assertEquals(await read!, PAGE);
  aio.free(kept!);
});

testEachMethod(
  "using of a view after aio.close() does nothing",
  async (method) => {
    const aio = await openAio(method);
    using page = aio.alloc(PAGE);
    await aio.close();
    assertEquals(page.byteLength, PAGE);
  },
  true,
  turns,
);

testSharedAios("a view of alloc() is a plain Uint8Array to whatever looks at it", (aio) => {
  using page = aio.alloc(16);
  page.fill(7);
  assertEquals<Uint8Array>(page, new Uint8Array(16).fill(7));
  assertStrictEquals(page.constructor, Uint8Array);
  assertEquals(Object.keys(page).length, 16);
  assertEquals(Symbol.dispose in page.subarray(4), false);
  const cloned = structuredClone(page);
  assertEquals([cloned.byteLength, Symbol.dispose in cloned], [16, false]);
  assertEquals(Deno.inspect(page).includes("dispose"), false);
});
