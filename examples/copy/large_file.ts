/**
 * large_file.ts: one large file copied past the page cache, several pieces at a time, and compared
 * with its copy. What both files are made of is in memory of the arena: nothing is copied twice.
 *
 * @module
 */

import type { Aio, AioFile, DirectMode } from "../../mod.ts";

/** How it is copied. */
export interface LargeCopyOptions {
  /** `"optional"`: past the page cache where that can be. */
  readonly direct: DirectMode;
  /** The file system has both files share what they are made of, where it can. */
  readonly reflink: boolean;
  /** The copy is on disk at the end. */
  readonly sync: boolean;
  /** The copy is read, and compared. */
  readonly verify: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Hears of each piece that is done. */
  readonly onCopied: (bytes: number) => void;
}

/** What else the copy has of the file. */
export interface Attributes {
  readonly mode: number;
  readonly atime: Date;
  readonly mtime: Date;
}

const PIECE_BYTES = 1024 * 1024;
/** Pieces under way. */
const PIECES = 4;

/** Copies a file to where none is. What is left of it is removed, should that end early. */
export async function copyLarge(
  aio: Aio,
  from: string,
  to: string,
  { mode, atime, mtime }: Attributes,
  options: LargeCopyOptions,
): Promise<void> {
  const { direct } = options;
  await using source = await aio.openFile(from, { direct });
  const making = { read: true, write: true, createNew: true, direct } as const;
  const target = await aio.openFile(to, making);
  let isWhole = false;
  try {
    if (options.reflink) await share(source, target, options);
    else await copyPieces(aio, source, target, options);
    if (options.verify) await compare(aio, source, target, options);
    await target.chmod(mode);
    await target.utimes(atime, mtime);
    if (options.sync) await target.sync();
    isWhole = true;
  } finally {
    await target[Symbol.asyncDispose]();
    if (!isWhole) await Deno.remove(to);
  }
}

async function share(
  source: AioFile,
  target: AioFile,
  { signal, onCopied }: LargeCopyOptions,
): Promise<void> {
  const bytes = await source.size();
  for (let at = 0; at < bytes;) {
    const copied = await source.copyRangeTo(target, at, at, bytes - at, signal && { signal });
    if (copied === 0) break;
    onCopied(copied);
    at += copied;
  }
}

async function copyPieces(
  aio: Aio,
  source: AioFile,
  target: AioFile,
  { signal, onCopied }: LargeCopyOptions,
): Promise<void> {
  const unit = Math.max(source.alignment.offset, target.alignment.offset);
  const bytes = await source.size();
  await tryAllocate(target, bytes);
  await inPieces(aio, bytes, signal, async (piece, offset) => {
    const read = await source.readAt(piece, offset);
    // Direct writes have whole blocks.
    const written = Math.ceil(read / unit) * unit;
    piece.fill(0, read, written);
    await target.writeAt(piece.subarray(0, written), offset);
    onCopied(read);
  });
  await target.truncate(Math.min(bytes, await source.size()));
}

/**
 * Has the system find the space at once: writes within a file are under way side by side, those
 * that make it longer one after another.
 */
async function tryAllocate(file: AioFile, bytes: number): Promise<void> {
  if (bytes === 0) return;
  try {
    await file.allocate(0, bytes);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotSupported)) throw error;
  }
}

/** @throws if they differ */
async function compare(
  aio: Aio,
  source: AioFile,
  target: AioFile,
  { signal }: LargeCopyOptions,
): Promise<void> {
  // What the system has not written yet would be compared in its memory.
  await target.sync();
  const bytes = await target.size();
  const others = Array.from({ length: PIECES }, () => aio.alloc(PIECE_BYTES));
  try {
    await inPieces(aio, bytes, signal, async (piece, offset, number) => {
      const other = others[number]!;
      const [one, two] = await Promise.all([
        source.readAt(piece, offset),
        target.readAt(other, offset),
      ]);
      const isSame = one === two && indexOfDifference(piece, other, one) < 0;
      if (!isSame) throw new Error(`The copy "${target.path}" differs from byte ${offset} on`);
    });
  } finally {
    for (const other of others) aio.free(other);
  }
}

function indexOfDifference(one: Uint8Array, two: Uint8Array, bytes: number): number {
  for (let at = 0; at < bytes; at++) {
    if (one[at] !== two[at]) return at;
  }
  return -1;
}

/** Has each piece of a file worked on, some at a time, each of those with memory of its own. */
async function inPieces(
  aio: Aio,
  bytes: number,
  signal: AbortSignal | undefined,
  work: (piece: Uint8Array, offset: number, number: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  await together(PIECES, async (number) => {
    using piece = aio.alloc(PIECE_BYTES);
    while (next < bytes) {
      signal?.throwIfAborted();
      const offset = next;
      next += PIECE_BYTES;
      await work(piece, offset, number);
    }
  });
}

/** Does the same several times at once, and ends when all have ended: the first failure counts. */
export async function together(
  times: number,
  work: (number: number) => Promise<void>,
): Promise<void> {
  const ended = await Promise.allSettled(Array.from({ length: times }, (_, i) => work(i)));
  for (const one of ended) {
    if (one.status === "rejected") throw one.reason;
  }
}
