/**
 * pool_fixture.ts: a pool of 16 pages, and a file each of whose blocks has another content.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, AioFile, OpenPoolOptions, PagePool } from "../../../mod.ts";
import { BUFFER, PoolMemory } from "../../../storage/pool/pool_memory.ts";
import { openAio, testEachMethod } from "../methods.ts";
import { tempDir } from "../temp.ts";

/** Bytes of a page. */
export const PAGE_BYTES = 4096;
/** Blocks of the file. */
export const BLOCKS = 40;

/** What a test gets. */
export interface PoolFixture {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
  readonly pool: PagePool;
  readonly warnings: string[];
}

/** Registers a test with a file whose blocks are filled with their numbers plus 1. */
export function testPool(
  name: string,
  fn: (fixture: PoolFixture, method: IoMethodName) => Promise<void>,
  options: Partial<OpenPoolOptions> = {},
): void {
  testEachMethod(name, async (method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    const content = new Uint8Array(BLOCKS * PAGE_BYTES);
    for (let block = 0; block < BLOCKS; block++) {
      content.fill(block + 1, block * PAGE_BYTES, (block + 1) * PAGE_BYTES);
    }
    await Deno.writeFile(path, content);
    const warnings: string[] = [];
    await using aio = await openAio(method, { onWarning: (text) => warnings.push(text) });
    await using file = await aio.openFile(path, { read: true, write: true });
    const pool = await aio.openPool({ pages: 16, pageSize: PAGE_BYTES, ...options });
    await fn({ aio, file, path, pool, warnings }, method);
    await pool.close();
  });
}

/** Changes a page: all bytes become one. */
export async function change(
  pool: PagePool,
  file: AioFile,
  block: number,
  byte: number,
): Promise<void> {
  using page = await pool.read(file, block);
  using _lock = await page.lock("exclusive");
  page.bytes.fill(byte);
  page.markDirty();
}

/** The first and the last byte of a block, as the file has it. */
export async function onDisk(path: string, block: number): Promise<number[]> {
  const bytes = await Deno.readFile(path);
  return [bytes[block * PAGE_BYTES]!, bytes[(block + 1) * PAGE_BYTES - 1]!];
}

/** The pool's memory as its parts see it. */
export function memoryOf(aio: Aio, pool: PagePool): PoolMemory {
  return new PoolMemory(backendOf(aio).arena, { offset: pool.token.offset, bytes: 0 });
}

/** The buffer of a block that is in the pool: of a file, or of the first that has one. */
export function bufferOf(pool: PagePool, block: number, path?: string): number {
  return pool.pages().find((row) =>
    row.block === block && (path === undefined || row.path === path)
  )!.buffer;
}

/** As if the clock's hand had come by so often that no page counts as used. */
export function forgetUses(aio: Aio, pool: PagePool): void {
  const memory = memoryOf(aio, pool);
  for (let buffer = 0; buffer < memory.pages; buffer++) {
    memory.words[memory.at(buffer) + BUFFER.usage] = 0;
  }
}

/** A `beforeWrite` that is held up at its first call. */
export class HeldHook {
  readonly #begun = Promise.withResolvers<void>();
  readonly #held = Promise.withResolvers<void>();
  #calls = 0;
  /** To be given to a pool. */
  readonly beforeWrite = (): Promise<void> | void => {
    if (++this.#calls > 1) return;
    this.#begun.resolve();
    return this.#held.promise;
  };

  /** Whether it was called. */
  get isCalled(): boolean {
    return this.#calls > 0;
  }

  /** Resolves once it is called. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  /** Lets it go on. */
  end(): void {
    this.#held.resolve();
  }
}
