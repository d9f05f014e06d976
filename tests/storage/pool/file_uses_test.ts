/**
 * file_uses_test.ts: calls of a pool that wait while their file is closed, and whose file's number
 * is another file's by the time they go on.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Aio, AioFile, PagePool } from "../../../mod.ts";
import { BUFFER } from "../../../storage/pool/pool_memory.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import {
  bufferOf,
  change,
  forgetUses,
  HeldHook,
  memoryOf,
  onDisk,
  PAGE_BYTES,
} from "../../support/pool/pool_fixture.ts";
import { tempDir } from "../../support/temp.ts";

/** Places for files in the pool: so many that are opened later, and they have come round. */
const PLACES = 10;
const BLOCKS = 24;

/** A pool whose first place has a changed page that cannot be written before the hook ends. */
interface Held {
  readonly aio: Aio;
  readonly pool: PagePool;
  readonly hook: HeldHook;
  /** The file of that page. */
  readonly first: AioFile;
  /** The file that is closed. */
  readonly file: AioFile;
  /** Closes it. @returns a file that has its number, with a page of block 3 in the pool */
  replaceFile(): Promise<AioFile>;
}

function testHeld(name: string, fn: (it: Held) => Promise<void>): void {
  testEachMethod(name, async (method) => {
    await using dir = await tempDir();
    await using aio = await openAio(method, { maxFiles: PLACES });
    const open = async (name: string) => {
      await Deno.writeFile(dir.join(name), new Uint8Array(BLOCKS * PAGE_BYTES).fill(name.length));
      return await aio.openFile(dir.join(name), { read: true, write: true });
    };
    const hook = new HeldHook();
    const { beforeWrite } = hook;
    const pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES, beforeWrite });
    await using first = await open("a");
    await using file = await open("bb");
    await change(pool, first, 0, 90);
    for (let block = 1; block < 15; block++) (await pool.read(first, block)).release();
    (await pool.read(file, 0)).release();
    forgetUses(aio, pool);
    const memory = memoryOf(aio, pool);
    const fileAt = (buffer: number) => memory.words[memory.at(buffer) + BUFFER.file];
    const number = fileAt(15);
    const replaceFile = async () => {
      await file.close();
      for (let i = 0; i < PLACES; i++) {
        const other = await open(`cc${i}`);
        using page = await pool.read(other, 3);
        assertEquals(page.bytes[0], 3);
        if (fileAt(bufferOf(pool, 3, other.path)) === number) return other;
        page.release();
        await other.close();
      }
      throw new Error("No file has its number");
    };
    await fn({ aio, pool, hook, first, file, replaceFile });
    await pool.close();
  });
}

const CLOSED = "of a file that was closed meanwhile";

testHeld("pool.read() gives no page of the file that has its file's number", async (it) => {
  const reading = it.pool.read(it.file, 3);
  const refused = assertRejects(() => reading, Deno.errors.BadResource, CLOSED);
  await it.hook.begun;
  await using other = await it.replaceFile();
  it.hook.end();
  await refused;
  using page = it.pool.tryRead(other, 3);
  assertEquals(page!.bytes[0], 3);
});

testHeld("a stream gives no page of the file that has its file's number", async (it) => {
  const stream = it.pool.readStream(it.file, { from: 3, until: 4 });
  const refused = assertRejects(() => stream.next(), Deno.errors.BadResource, "is closed");
  await it.hook.begun;
  await using _other = await it.replaceFile();
  const before = it.pool.stats().hits;
  it.hook.end();
  await refused;
  await stream.close();
  assertEquals(it.pool.stats().hits, before);
});

testHeld("pool.invalidate() forgets no page of the file that has its file's number", async (it) => {
  const { pool } = it;
  await change(pool, it.file, 0, 91);
  const flushing = pool.flush(it.file);
  await it.hook.begun;
  const forgetting = pool.invalidate(it.file);
  const refused = assertRejects(() => forgetting, Deno.errors.BadResource, CLOSED);
  await using other = await it.replaceFile();
  await change(pool, other, 3, 92);
  it.hook.end();
  await Promise.all([flushing, refused]);
  using page = pool.tryRead(other, 3);
  assert(page!.isDirty);
  page!.release();
  await pool.flush(other);
  assertEquals(await onDisk(other.path, 3), [92, 92]);
});

testHeld("pool.extend() of a closed file keeps tasks of another one apart", async (it) => {
  const { pool } = it;
  const first = pool.extend(it.file, 2);
  const refused = assertRejects(() => first, Deno.errors.BadResource, CLOSED);
  await it.hook.begun;
  await using other = await it.replaceFile();
  const size = await other.stat();
  const more = [pool.extend(other, 2), pool.extend(other, 2)];
  it.hook.end();
  await refused;
  const pages = (await Promise.all(more)).flat();
  assertEquals(pages.map(({ block }) => block).sort(), [24, 25, 26, 27]);
  for (const page of pages) page.release();
  assertEquals(size.size, BLOCKS * PAGE_BYTES);
});
