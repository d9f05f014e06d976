/**
 * pool_case.ts: a file whose blocks say their numbers, and a pool for it, for the tests of pools
 * that differ in little else.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { Aio, type AioFile, type AioOptions, type PagePool } from "../../../mod.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import { directUnitHere } from "../disks/direct_io.ts";
import { isOfForgottenFiles } from "../forgotten.ts";
import { HeldMethod } from "../held_method.ts";
import { openAio, testEachMethod } from "../methods.ts";
import { tempDir } from "../temp.ts";
import type { MethodChoice } from "../turns.ts";

/** Bytes of a page. */
export const PAGE_BYTES = 4096;
/** Whether reads can go past the page cache here: those that are in it, methods execute at once. */
const isDirectHere = (await directUnitHere() ?? Infinity) <= PAGE_BYTES;

/** What a test needs. */
export interface PoolNeeds {
  /** Blocks of the file; default: 40. */
  readonly blocks?: number;
  /** Pages of the pool; default: 64. */
  readonly pages?: number;
  /** The first bytes of some blocks. */
  readonly wrong?: Readonly<Record<number, number>>;
  /** The name of a verifier. */
  readonly verify?: string;
  /** Whether reads go through the page cache; default: not where that can be. */
  readonly isBuffered?: boolean;
  /** Options of the Aio, in addition. */
  readonly options?: AioOptions;
  /** What chooses some of the methods. */
  readonly turns?: MethodChoice;
}

/** What a test gets. */
export interface PoolCase {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly path: string;
  /** The file, in messages. */
  readonly name: string;
  readonly pool: PagePool;
  readonly blocks: number;
  readonly warnings: string[];
  readonly logs: string[];
}

/** The same, with IO that waits for the test. */
export interface HeldPool extends PoolCase {
  readonly held: HeldMethod;
}

/** What all bytes of a block are. */
export function byteOf(block: number): number {
  return (block + 1) % 251;
}

/** Registers a test for each method; nothing may be pinned or in progress at its end. */
export function testPoolCase(
  name: string,
  fn: (it: PoolCase, method: IoMethodName) => Promise<void>,
  needs: PoolNeeds = {},
): void {
  testEachMethod(
    name,
    (method) => {
      const open = (options: AioOptions) => openAio(method, options);
      return withPool(open, needs, (it) => fn(it, method), () => {});
    },
    true,
    needs.turns ?? null,
  );
}

/** Registers a test whose IO waits until the test lets it go. */
export function testHeldPool(
  name: string,
  fn: (it: HeldPool) => Promise<void>,
  needs: PoolNeeds = {},
): void {
  Deno.test(`held: ${name}`, () => {
    const held = new HeldMethod();
    const open = (options: AioOptions) =>
      Aio.open({ method: "held", arenaBytes: 1024 * 1024, ...options } as AioOptions, [held]);
    return withPool(open, needs, (it) => fn({ ...it, held }), ({ aio }) => held.letGo(aio));
  });
}

async function withPool(
  open: (options: AioOptions) => Promise<Aio>,
  needs: PoolNeeds,
  use: (it: PoolCase) => Promise<void>,
  letGo: (it: PoolCase) => void,
): Promise<void> {
  const { blocks = 40, pages = 64, verify, isBuffered = !isDirectHere } = needs;
  await using dir = await tempDir();
  const path = dir.join("file");
  await Deno.writeFile(path, contentOf(blocks, needs.wrong ?? {}));
  const warnings: string[] = [];
  const logs: string[] = [];
  await using aio = await open({
    maxBackends: 4,
    logLevel: "log",
    onLog: (text) => logs.push(text),
    onWarning: (text) => {
      if (!isOfForgottenFiles(text)) warnings.push(text);
    },
    ...needs.options,
  });
  const direct = isBuffered ? "off" : "required";
  await using file = await aio.openFile(path, { read: true, write: true, direct });
  const pool = await aio.openPool({
    pages,
    pageSize: PAGE_BYTES,
    ...(verify === undefined ? {} : { verify }),
  });
  const name = `file ${JSON.stringify(path)}`;
  const it = { aio, file, path, name, pool, blocks, warnings, logs };
  try {
    await use(it);
    if (!pool.isClosed) assertEquals(leftIn(pool), []);
  } finally {
    letGo(it);
  }
  await pool.close();
}

function contentOf(blocks: number, wrong: Readonly<Record<number, number>>): Uint8Array {
  const content = new Uint8Array(blocks * PAGE_BYTES);
  for (let block = 0; block < blocks; block++) {
    content.fill(byteOf(block), block * PAGE_BYTES, (block + 1) * PAGE_BYTES);
  }
  for (const [block, byte] of Object.entries(wrong)) content[Number(block) * PAGE_BYTES] = byte;
  return content;
}

/** The blocks that are pinned, or that an IO has. */
export function leftIn(pool: PagePool): number[] {
  return pool.pages().filter(({ io, pinningBackends }) => io !== null || pinningBackends.length > 0)
    .map(({ block }) => block!);
}

/** The first and the last byte of a page must be those of its block. */
export function checkPage({ block, bytes }: { block: number; bytes: Uint8Array }): void {
  assertEquals([block, bytes[0], bytes.at(-1)], [block, byteOf(block), byteOf(block)]);
}
