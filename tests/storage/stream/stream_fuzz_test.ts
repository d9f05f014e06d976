/**
 * stream_fuzz_test.ts: random calls of random streams over one file, with reads that are cut or
 * fail: each page is the right one with the right bytes, and nothing is left behind.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { Aio, AioFile, ReadStream, StreamPage } from "../../../mod.ts";
import { POINT } from "../../support/flush_failures.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { contentAt, describeSeed, Prng } from "../../support/prng.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const SEED = 5;
const PAGE = 512;
const BLOCKS = 700;
const ROUNDS = 60;
const EIO = 5;

/** One stream, and what must come of it. */
class Case {
  readonly stream: ReadStream<StreamPage<unknown>>;
  readonly #prng: Prng;
  readonly #controller = new AbortController();
  /** The blocks that the callback gave and that did not come yet. */
  #given: number[] = [];
  #at: number;
  #direction = 1;
  #isPaused = false;

  constructor(file: AioFile, prng: Prng) {
    this.#prng = prng;
    this.#at = prng.below(BLOCKS);
    this.stream = file.readStream({
      pageSize: PAGE,
      full: prng.chance(1, 2),
      batching: prng.chance(1, 2),
      maintenance: prng.chance(1, 2),
      next: () => this.#next(),
      signal: this.#controller.signal,
    });
  }

  #next(): number | null {
    const prng = this.#prng;
    if (prng.chance(1, 60)) {
      this.#isPaused = true;
      return this.stream.pause();
    }
    if (prng.chance(1, 12)) {
      this.#at = prng.below(BLOCKS);
      this.#direction = prng.between(0, 2) - 1;
    }
    const block = this.#at;
    this.#at = (block + this.#direction + BLOCKS) % BLOCKS;
    this.#given.push(block);
    return block;
  }

  async step(): Promise<void> {
    const prng = this.#prng;
    const what = prng.below(40);
    if (what === 0) {
      this.stream.reset();
      this.#given = [];
    } else if (what === 1) {
      this.stream.pause();
      this.#isPaused = true;
    } else if (what === 2 && prng.chance(1, 3)) this.#controller.abort(new Error("not wanted"));
    else if (what === 3 && prng.chance(1, 3)) void this.stream.close();
    else if (what === 4 && prng.chance(1, 3)) await this.#endWhilePending();
    else await this.#take(what % 2 === 0);
  }

  async #endWhilePending(): Promise<void> {
    const pending = this.stream.next().catch(() => {});
    if (this.#prng.chance(1, 2)) await this.stream.close();
    else this.#controller.abort(new Error("not wanted"));
    await pending;
  }

  async #take(isBlocking: boolean): Promise<void> {
    const { stream } = this;
    let page: StreamPage<unknown> | null;
    try {
      page = isBlocking ? stream.nextSync() : await stream.next();
    } catch (error) {
      assert(error instanceof Error);
      if (error.message === "not wanted") {
        assert(this.#controller.signal.aborted);
        return;
      }
      assertEquals(Reflect.get(error, "code"), "EIO", error.message);
      assertEquals(Reflect.get(error, "block"), this.#given[0]);
      this.#given = [];
      stream.reset();
      return;
    }
    if (page === null) {
      assert(stream.isClosed || this.#isPaused);
      // A block that found no place before the pause comes after it.
      const { bufferedBlocknum } = stream.inspect();
      const left = bufferedBlocknum === null ? [] : [bufferedBlocknum];
      if (!stream.isClosed) assertEquals(this.#given, left);
      this.#isPaused = false;
      stream.resume();
      return;
    }
    const expected = this.#given.shift();
    assertEquals(page.block, expected);
    assertEquals(new Uint8Array(page.bytes), contentAt(SEED, page.block * PAGE, PAGE));
  }
}

/** Cuts some reads short, and has few fail. */
function disturb(aio: Aio, prng: Prng): Disposable {
  aio.attachInjectionPoint(POINT, (_handle, result) => {
    if (prng.chance(1, 100)) return -EIO;
    return prng.chance(1, 6) && result > 1 ? prng.between(1, result - 1) : undefined;
  });
  return { [Symbol.dispose]: () => aio.detachInjectionPoint(POINT) };
}

testEachMethod("random calls of streams get the right pages and leave nothing", async (method) => {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("file"), BLOCKS * PAGE, SEED);
  const runs = new Prng();
  for (const ioCombineLimit of [1, 5, 16]) {
    await using aio = await openAio(method, {
      ioCombineLimit,
      maxConcurrency: 8,
      effectiveIoConcurrency: runs.below(6),
      maintenanceIoConcurrency: 3,
    });
    const { arena } = backendOf(aio);
    const free = arena.freeBytes;
    for (let round = 0; round < ROUNDS; round++) {
      const prng = new Prng(runs.uint32());
      await using file = await aio.openFile(dir.join("file"));
      using _disturbed = disturb(aio, prng);
      const cases = Array.from({ length: prng.between(1, 3) }, () => new Case(file, prng));
      const steps = prng.between(1, 80);
      try {
        for (let i = 0; i < steps; i++) await prng.pick(cases).step();
        if (prng.chance(1, 2)) await Promise.all(cases.map(({ stream }) => stream.close()));
        await file.close();
        for (const { stream } of cases) await stream.close();
        assertEquals(arena.freeBytes, free);
        assertEquals(aio.ios(), []);
      } catch (error) {
        if (error instanceof Error) error.message += `; ${describeSeed(prng.seed)}`;
        throw error;
      }
    }
  }
});
