/**
 * sentinel.ts: what finds an IO that writes to memory which is not its own any more. Whoever issues
 * IO forgets the memory and collects; then *sentinels* of the same sizes take whatever was freed,
 * filled with a pattern. A late write changes the pattern of one of them.
 *
 * The parts are used by `sentinel_program.ts` and its Workers, `sentinel_worker.ts`, which need
 * `--v8-flags=--expose-gc`.
 *
 * @module
 */

import type { Aio, AioFile, AioToken, FileToken } from "../../../mod.ts";
import type { Prng } from "../prng.ts";

/** Sizes of the memory that is read into, and of the sentinels. */
export const SIZES = [4096, 65_536, 1_048_576] as const;
/** Bytes of the file: any read of any size fits at some offset. */
export const FILE_BYTES = 2 * 1_048_576;
/** The seed of its content. */
export const FILE_SEED = 4711;

/** Where IO can go. */
export const KINDS = ["arena", "adopted", "local", "plain"] as const;

/** How a Worker ends: by `close()`, or in the middle of things. */
export type Ending = "close" | "terminate" | "selfClose";

/** The first message to a Worker. */
export interface SentinelOrder {
  readonly token: AioToken;
  readonly file: FileToken;
  readonly seed: number;
  readonly ending: Ending;
}

/** What it answers at its end. */
export interface SentinelAnswer {
  /** Of its own sentinels. */
  readonly changed: number;
  /** Bytes that its plain reads brought. */
  readonly bytes: number;
}

/** What the program prints. */
export interface SentinelReports {
  readonly threads: SentinelReport;
  readonly canary: SentinelReport;
}

/** What was done and found. */
export interface SentinelReport {
  /** IOs that were held until their issuer had ended or collected, and then performed. */
  readonly performed: number;
  /** Of these into memory of the arena, with what the file has. */
  readonly verified: number;
  /** Bytes of the main thread's sentinels. */
  readonly sentinelBytes: number;
  /** Sentinels of all threads that had another byte than the pattern at the end. */
  readonly changed: number;
}

const PATTERN = 0x5a;
const PATTERN_WORD = 0x5a5a5a5a;

/** Frees whatever nobody holds, now. */
export function collect(): void {
  const { gc } = globalThis as typeof globalThis & { gc?: () => void };
  if (gc === undefined) throw new Error("Run it with --v8-flags=--expose-gc");
  gc();
}

/** Memory with a pattern in it. */
export class Sentinels {
  readonly #all: Uint8Array[] = [];

  /** How much memory they take. */
  get bytes(): number {
    return this.#all.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** Makes one. */
  add(bytes: number): Uint8Array<ArrayBuffer> {
    const sentinel = new Uint8Array(bytes).fill(PATTERN);
    this.#all.push(sentinel);
    return sentinel;
  }

  /** Makes some of each size, about so many bytes in all of each. */
  addOfEachSize(bytes: number): void {
    for (const size of SIZES) {
      for (let made = 0; made < bytes; made += size) this.add(size);
    }
  }

  /** How many have another byte than the pattern. */
  changed(): number {
    return this.#all.filter((sentinel) => {
      const words = new Int32Array(sentinel.buffer);
      return words.some((word) => word !== PATTERN_WORD);
    }).length;
  }
}

/**
 * Starts reads into memory of each kind, of which nobody holds anything afterwards.
 *
 * @returns what comes of the plain ones: bytes
 */
export function issueAndForget(aio: Aio, file: AioFile, random: Prng, each: number): {
  readonly plain: readonly Promise<number>[];
} {
  const plain: Promise<number>[] = [];
  for (const kind of random.shuffled(KINDS.flatMap((kind) => new Array(each).fill(kind)))) {
    const bytes = random.pick(kind === "arena" ? SIZES.slice(0, 2) : SIZES);
    const offset = random.below(FILE_BYTES - bytes);
    if (kind === "plain") plain.push(file.readAt(new Uint8Array(bytes), offset));
    else startRead(aio, file, kind, bytes, offset);
    if (random.chance(1, 4)) collect();
  }
  collect();
  return { plain };
}

function startRead(
  aio: Aio,
  file: AioFile,
  kind: "arena" | "adopted" | "local",
  bytes: number,
  offset: number,
): void {
  const view = makeView(aio, kind, bytes);
  const handle = aio.acquire();
  if (kind === "local") handle.setFlag("referencesLocal");
  handle.setIovec(view);
  file.startReadv(handle, offset);
}

function makeView(aio: Aio, kind: "arena" | "adopted" | "local", bytes: number): Uint8Array {
  if (kind === "arena") return aio.alloc(bytes);
  if (kind === "local") return new Uint8Array(bytes);
  const memory = new SharedArrayBuffer(bytes);
  aio.adoptMemory(memory);
  return new Uint8Array(memory);
}
