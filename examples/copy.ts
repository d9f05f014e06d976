/**
 * copy.ts: copies a file, or a directory with all that is in it, as `cp -r` does.
 *
 * Large files go past the page cache where the file system can, several pieces at a time: that is
 * faster than through it, and leaves it to those who need it. Deno copies small ones, several at a
 * time. What is there already is not touched, unless `--force` allows it; a file whose copying
 * ends early is removed again. With `--sync` everything is on disk at the end.
 *
 * Run: deno run --allow-read --allow-write --allow-ffi examples/copy.ts [--force] [--sync] FROM TO
 *
 * @module
 */

import { basename, dirname, join, sep } from "node:path";
import { parseArgs } from "node:util";
import { Aio, type AioFile } from "../mod.ts";

/** How it copies. */
export interface CopyOptions {
  /** Files that are there already are replaced. */
  readonly force?: boolean;
  /** All is on disk at the end. */
  readonly sync?: boolean;
  /** Ends it early. */
  readonly signal?: AbortSignal;
  /** Hears of each piece that is done. */
  readonly onCopied?: (bytes: number) => void;
}

/** What was copied. */
export interface Copied {
  files: number;
  bytes: number;
}

/** One file to copy. */
interface Job {
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
  readonly mode: number;
  /** Whether something may be at `to` already. */
  readonly isToBeLookedAt: boolean;
}

/** Smaller files are not worth two openings of ours. */
const LARGE_BYTES = 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;
/** Pieces of a large file under way. */
const PIECES = 4;
/** Small files under way. */
const SMALL_FILES = 4;
const PERMISSIONS = 0o777;

/** One copying, of a file or of a tree. */
class Copying {
  readonly #aio: Aio;
  readonly #options: CopyOptions;
  readonly #large: Job[] = [];
  readonly #small: Job[] = [];
  /** Those that were made, the outermost first. */
  readonly #directories: string[] = [];
  readonly #copied: Copied = { files: 0, bytes: 0 };

  constructor(aio: Aio, options: CopyOptions) {
    this.#aio = aio;
    this.#options = options;
  }

  async run(from: string, to: string): Promise<Copied> {
    this.#plan(from, to, true);
    for (const job of this.#large) await this.#copyLarge(job);
    let next = 0;
    await together(SMALL_FILES, async () => {
      while (next < this.#small.length) await this.#copySmall(this.#small[next++]!);
    });
    if (this.#options.sync === true) await this.#syncNames(to);
    return this.#copied;
  }

  /** Makes directories and links, and lists the files. Calls that block are quicker for that. */
  #plan(from: string, to: string, isToBeLookedAt: boolean): void {
    this.#options.signal?.throwIfAborted();
    const info = Deno.lstatSync(from);
    const mode = (info.mode ?? 0o666) & PERMISSIONS;
    if (info.isFile) {
      const jobs = info.size >= LARGE_BYTES ? this.#large : this.#small;
      jobs.push({ from, to, bytes: info.size, mode, isToBeLookedAt });
    } else if (info.isSymlink) {
      if (this.#options.force === true) removeIfThere(to);
      Deno.symlinkSync(Deno.readLinkSync(from), to);
    } else if (info.isDirectory) {
      const isNew = this.#makeDirectory(to, mode);
      for (const { name } of Deno.readDirSync(from)) {
        this.#plan(join(from, name), join(to, name), !isNew);
      }
    } else {
      throw new Deno.errors.NotSupported(`Cannot copy "${from}": it is no file, directory or link`);
    }
  }

  /** @returns whether it was not there */
  #makeDirectory(path: string, mode: number): boolean {
    this.#directories.push(path);
    try {
      // Whatever it is to hold has to be written first.
      Deno.mkdirSync(path, { mode: mode | 0o700 });
      return true;
    } catch (error) {
      const isThere = error instanceof Deno.errors.AlreadyExists;
      if (isThere && this.#options.force === true && Deno.statSync(path).isDirectory) return false;
      throw error;
    }
  }

  /** Files that are there are replaced, not written over: they may have other names. */
  #clear({ to, isToBeLookedAt }: Job): void {
    if (!isToBeLookedAt) return;
    if (this.#options.force === true) removeIfThere(to);
    else refuseIfThere(to);
  }

  async #copyLarge(job: Job): Promise<void> {
    const { from, to, bytes, mode } = job;
    this.#clear(job);
    await using source = await this.#aio.openFile(from, { direct: "optional" });
    const target = await this.#aio.openFile(to, {
      read: true,
      write: true,
      createNew: true,
      direct: "optional",
      mode,
    });
    let isWhole = false;
    try {
      await this.#copyPieces(source, target, bytes);
      if (this.#options.sync === true) await target.sync();
      isWhole = true;
    } finally {
      await target[Symbol.asyncDispose]();
      if (!isWhole) await Deno.remove(to);
    }
    this.#copied.files++;
  }

  async #copyPieces(source: AioFile, target: AioFile, bytes: number): Promise<void> {
    const { signal } = this.#options;
    const unit = Math.max(source.alignment.offset, target.alignment.offset);
    let next = 0;
    await together(PIECES, async () => {
      using piece = this.#aio.alloc(PIECE_BYTES);
      while (next < bytes) {
        signal?.throwIfAborted();
        const offset = next;
        next += PIECE_BYTES;
        const read = await source.readAt(piece, offset);
        const written = Math.ceil(read / unit) * unit;
        piece.fill(0, read, written);
        await target.writeAt(piece.subarray(0, written), offset);
        this.#note(Math.min(read, bytes - offset));
      }
    });
    // The last write may be longer than the file: direct ones have whole blocks.
    await target.truncate(Math.min(bytes, await source.size()));
  }

  async #copySmall(job: Job): Promise<void> {
    const { from, to, bytes } = job;
    this.#options.signal?.throwIfAborted();
    this.#clear(job);
    await Deno.copyFile(from, to);
    if (this.#options.sync === true) {
      using file = await Deno.open(to);
      await file.sync();
    }
    this.#copied.files++;
    this.#note(bytes);
  }

  #note(bytes: number): void {
    this.#copied.bytes += bytes;
    this.#options.onCopied?.(bytes);
  }

  /** Makes the names durable: those in a directory first, then its own. */
  async #syncNames(to: string): Promise<void> {
    for (const path of [dirname(to), ...this.#directories].reverse()) {
      await this.#aio.syncDirectory(path);
    }
  }
}

/**
 * Copies a file or a directory.
 *
 * @param aio opens the large files
 * @param from what is copied
 * @param to what it becomes; into it, where it is a directory
 * @param options see {@linkcode CopyOptions}
 * @returns what was copied
 */
export async function copy(
  aio: Aio,
  from: string,
  to: string,
  options: CopyOptions = {},
): Promise<Copied> {
  const into = await isDirectory(to) ? join(to, basename(from)) : to;
  const [source, target] = [await Deno.realPath(from), await realTarget(into)];
  if (target === source || target.startsWith(`${source}${sep}`)) {
    throw new TypeError(`Cannot copy "${from}" to "${into}": that is itself, or inside of it`);
  }
  return await new Copying(aio, options).run(from, into);
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Where a path leads that may not be there yet. */
async function realTarget(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return join(await Deno.realPath(dirname(path)), basename(path));
  }
}

function removeIfThere(path: string): void {
  if (isThere(path)) Deno.removeSync(path);
}

function refuseIfThere(path: string): void {
  if (!isThere(path)) return;
  throw new Deno.errors.AlreadyExists(`Cannot copy to "${path}": it is there already`);
}

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Does the same several times at once, and ends when all have ended: the first failure counts. */
async function together(times: number, work: () => Promise<void>): Promise<void> {
  const ended = await Promise.allSettled(Array.from({ length: times }, work));
  for (const one of ended) {
    if (one.status === "rejected") throw one.reason;
  }
}

async function main(): Promise<number> {
  const options = { force: { type: "boolean" }, sync: { type: "boolean" } } as const;
  const { values, positionals: [from, to, ...more] } = parseArgs({
    options,
    allowPositionals: true,
  });
  if (from === undefined || to === undefined || more.length > 0) {
    console.error("Usage: copy.ts [--force] [--sync] FROM TO");
    return 2;
  }
  const interrupt = new AbortController();
  const stop = () => interrupt.abort(new Error("Interrupted"));
  Deno.addSignalListener("SIGINT", stop);
  try {
    await using aio = await Aio.open();
    const { files, bytes } = await copy(aio, from, to, { ...values, signal: interrupt.signal });
    console.log(`${files} files, ${bytes} bytes`);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    Deno.removeSignalListener("SIGINT", stop);
  }
}

if (import.meta.main) Deno.exitCode = await main();
