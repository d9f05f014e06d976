/**
 * file_model.ts: random reads, writes and truncations, many at once, against a model in memory. The
 * error shows the seed where they differ.
 *
 * @module
 */

import { assertEquals } from "./assert/assert.ts";
import { backendOf } from "../../core/inside.ts";
import type { IoMethodName } from "../../methods/mod.ts";
import type { AioFile } from "../../storage/mod.ts";
import { openAio } from "./methods.ts";
import { fillContent, type Prng, withPrng } from "./prng.ts";
import { tempDir } from "./temp.ts";

const FILE_BYTES_MAX = 200_000;
const ROUNDS = 25;
const OPERATIONS_PER_ROUND_MAX = 40;

/** The file as it should be. */
export class Model {
  bytes = new Uint8Array(0);

  write(data: Uint8Array, offset: number): void {
    this.truncate(Math.max(this.bytes.length, offset + data.length));
    this.bytes.set(data, offset);
  }

  truncate(length: number): void {
    const next = new Uint8Array(length);
    next.set(this.bytes.subarray(0, length));
    this.bytes = next;
  }
}

/** Arena memory of one round, handed out from the start, unaligned. */
class RoundMemory {
  readonly #block: Uint8Array;
  #used = 0;

  constructor(block: Uint8Array) {
    this.#block = block;
  }

  /** @returns null if there is no room left in this round */
  tryTake(bytes: number): Uint8Array | null {
    if (this.#used + bytes > this.#block.length) return null;
    this.#used += bytes;
    return this.#block.subarray(this.#used - bytes, this.#used);
  }
}

/** A list of 1 to 20 buffers, of memory of every kind. */
function randomBuffers(prng: Prng, memory: RoundMemory): Uint8Array[] {
  const sizeMax = prng.pick([10, 1_000, 10_000]);
  return Array.from({ length: prng.chance(1, 2) ? 1 : prng.between(2, 20) }, () => {
    const bytes = prng.between(1, sizeMax);
    const straight = prng.chance(1, 2) ? memory.tryTake(bytes) : null;
    return straight ?? new Uint8Array(bytes);
  });
}

function joined(buffers: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(buffers.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const buffer of buffers) {
    bytes.set(buffer, at);
    at += buffer.length;
  }
  return bytes;
}

/** Writes that do not overlap, all at once; the model has them when they are done. */
async function writeRound(
  prng: Prng,
  memory: RoundMemory,
  file: AioFile,
  model: Model,
): Promise<void> {
  const writes: Promise<unknown>[] = [];
  let offset = prng.below(FILE_BYTES_MAX / 10);
  for (let i = 0; i < OPERATIONS_PER_ROUND_MAX && offset < FILE_BYTES_MAX; i++) {
    const buffers = randomBuffers(prng, memory);
    for (const buffer of buffers) fillContent(buffer, prng.uint32(), 0);
    const data = joined(buffers);
    model.write(data, offset);
    const isSync = prng.chance(1, 5);
    const at = offset;
    if (isSync) assertEquals(file.writeAtSync(buffers, at), data.length);
    else writes.push(file.writeAt(buffers, at).then((bytes) => assertEquals(bytes, data.length)));
    offset += data.length + prng.below(5_000);
  }
  await Promise.all(writes);
}

/** Reads anywhere, all at once. */
async function readRound(
  prng: Prng,
  memory: RoundMemory,
  file: AioFile,
  model: Model,
): Promise<void> {
  const check = (buffers: readonly Uint8Array[], offset: number, bytes: number) => {
    const expected = model.bytes.subarray(offset, offset + joined(buffers).length);
    assertEquals(bytes, expected.length, `bytes read at ${offset}`);
    assertEquals(joined(buffers).subarray(0, bytes), expected, `content at ${offset}`);
  };
  await Promise.all(
    Array.from({ length: prng.between(1, OPERATIONS_PER_ROUND_MAX) }, async () => {
      const buffers = randomBuffers(prng, memory);
      const offset = prng.below(model.bytes.length + 1_000);
      if (prng.chance(1, 5)) check(buffers, offset, file.readAtSync(buffers, offset));
      else check(buffers, offset, await file.readAt(buffers, offset));
    }),
  );
}

/** Compares file and model through random rounds; `distort` falsifies the model at the end. */
export async function runModel(
  method: IoMethodName,
  seed: number,
  distort: (model: Model) => void = () => {},
): Promise<void> {
  await using dir = await tempDir();
  await withPrng(async (prng) => {
    await using aio = await openAio(method, {
      arenaBytes: prng.pick([65_536, 262_144]),
      maxConcurrency: prng.pick([1, 2, 5, 64]),
      ioMaxCombineLimit: prng.pick([1, 4, 16]),
    });
    const { path } = dir;
    const options = { read: true, write: true, create: true };
    await using file = await aio.openFile(`${path}/file`, options);
    const block = aio.alloc(aio.options.arenaBytes / 4);
    const freeBytes = backendOf(aio).arena.freeBytes;
    const model = new Model();
    for (let round = 0; round < ROUNDS; round++) {
      await writeRound(prng, new RoundMemory(block), file, model);
      if (round === ROUNDS - 1) distort(model);
      await readRound(prng, new RoundMemory(block), file, model);
      if (prng.chance(1, 4)) {
        const length = prng.below(FILE_BYTES_MAX);
        model.truncate(length);
        await file.truncate(length);
      }
      assertEquals(await file.size(), model.bytes.length);
      assertEquals(backendOf(aio).arena.freeBytes, freeBytes);
    }
    assertEquals(await Deno.readFile(`${path}/file`), model.bytes);
  }, seed);
}
