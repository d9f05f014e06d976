/**
 * copying.ts: copies a tree. First it looks at everything there is, makes the directories and the
 * links, and lists the files; then it copies those: large ones as `large_file.ts` does, small ones,
 * which are not worth two openings of ours, by Deno, several at a time. Last it gives directories
 * their modes and times, and makes the names durable.
 *
 * @module
 */

import { basename, dirname, join, sep } from "node:path";
import type { Aio } from "../../mod.ts";
import { type Attributes, copyLarge, together } from "./large_file.ts";

/** How it copies. */
export interface CopyOptions {
  /** Files that are there already are replaced. Default: false. */
  readonly force?: boolean;
  /** All is on disk at the end. Default: false. */
  readonly sync?: boolean;
  /** Copies are read and compared. Default: false. */
  readonly verify?: boolean;
  /** Large files go through the page cache, not past it. Default: false. */
  readonly buffered?: boolean;
  /** The file system has both files share what they are made of, where it can. Default: false. */
  readonly reflink?: boolean;
  /** Ends it early. */
  readonly signal?: AbortSignal;
  /** Hears how much there is to copy. */
  readonly onPlanned?: (bytes: number) => void | Promise<void>;
  /** Hears of each piece that is done. */
  readonly onCopied?: (bytes: number) => void;
}

/** What was copied. */
export interface Copied {
  files: number;
  bytes: number;
}

/** One file to copy. */
interface Job extends Attributes {
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
  /** Whether something may be at `to` already. */
  readonly isToBeLookedAt: boolean;
}

const LARGE_BYTES = 1024 * 1024;
/** Small files under way. */
const SMALL_FILES = 4;
const PERMISSIONS = 0o7777;
/** Whatever a directory is to hold has to be written first. */
const OWNERS = 0o700;

/** One copying, of a file or of a tree. */
class Copying {
  readonly #aio: Aio;
  readonly #options: CopyOptions;
  readonly #large: Job[] = [];
  readonly #small: Job[] = [];
  /** Those that were made or were there, the outermost first. */
  readonly #directories: (Attributes & { readonly path: string })[] = [];
  readonly #copied: Copied = { files: 0, bytes: 0 };

  constructor(aio: Aio, options: CopyOptions) {
    this.#aio = aio;
    this.#options = options;
  }

  async run(from: string, to: string): Promise<Copied> {
    this.#plan(from, to, true);
    const jobs = [...this.#large, ...this.#small];
    await this.#options.onPlanned?.(jobs.reduce((sum, { bytes }) => sum + bytes, 0));
    for (const job of this.#large) await this.#copyLarge(job);
    let next = 0;
    await together(SMALL_FILES, async () => {
      while (next < this.#small.length) await this.#copySmall(this.#small[next++]!);
    });
    await this.#finishDirectories();
    if (this.#options.sync === true) await this.#aio.syncDirectory(dirname(to));
    return this.#copied;
  }

  /** Makes directories and links, and lists the files. Calls that block are quicker for that. */
  #plan(from: string, to: string, isToBeLookedAt: boolean): void {
    this.#options.signal?.throwIfAborted();
    const info = Deno.lstatSync(from);
    const attributes = attributesOf(info);
    if (info.isFile) {
      const jobs = info.size >= LARGE_BYTES ? this.#large : this.#small;
      jobs.push({ from, to, bytes: info.size, isToBeLookedAt, ...attributes });
    } else if (info.isSymlink) {
      if (this.#options.force === true) removeIfThere(to);
      Deno.symlinkSync(Deno.readLinkSync(from), to);
    } else if (info.isDirectory) {
      const isNew = this.#makeDirectory(to, attributes);
      for (const { name } of Deno.readDirSync(from)) {
        this.#plan(join(from, name), join(to, name), !isNew);
      }
    } else {
      throw new Deno.errors.NotSupported(`Cannot copy "${from}": it is no file, directory or link`);
    }
  }

  /** @returns whether it was not there */
  #makeDirectory(path: string, attributes: Attributes): boolean {
    this.#directories.push({ path, ...attributes });
    try {
      Deno.mkdirSync(path, { mode: attributes.mode | OWNERS });
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
    const { buffered = false, reflink = false, sync = false, verify = false } = this.#options;
    this.#clear(job);
    await copyLarge(this.#aio, job.from, job.to, job, {
      // What both files are to share goes through the page cache where they cannot.
      direct: buffered || reflink ? "off" : "optional",
      reflink,
      sync,
      verify,
      signal: this.#options.signal,
      onCopied: (bytes) => this.#note(bytes),
    });
    this.#copied.files++;
  }

  async #copySmall(job: Job): Promise<void> {
    const { from, to, bytes, mode, atime, mtime } = job;
    this.#options.signal?.throwIfAborted();
    this.#clear(job);
    let isWhole = false;
    try {
      await Deno.copyFile(from, to);
      if (this.#options.verify === true) await compareSmall(from, to);
      await Deno.utime(to, atime, mtime);
      await Deno.chmod(to, mode);
      if (this.#options.sync === true) await syncFile(to);
      isWhole = true;
    } finally {
      if (!isWhole) removeIfThere(to);
    }
    this.#copied.files++;
    this.#note(bytes);
  }

  #note(bytes: number): void {
    this.#copied.bytes += bytes;
    this.#options.onCopied?.(bytes);
  }

  /** The innermost first: what is made in a directory changes its times. */
  async #finishDirectories(): Promise<void> {
    for (const { path, mode, atime, mtime } of this.#directories.reverse()) {
      if (this.#options.sync === true) await this.#aio.syncDirectory(path);
      Deno.utimeSync(path, atime, mtime);
      Deno.chmodSync(path, mode);
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

function attributesOf({ mode, atime, mtime }: Deno.FileInfo): Attributes {
  const modified = mtime ?? new Date(0);
  return { mode: (mode ?? 0o666) & PERMISSIONS, atime: atime ?? modified, mtime: modified };
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

async function compareSmall(from: string, to: string): Promise<void> {
  const [one, two] = await Promise.all([Deno.readFile(from), Deno.readFile(to)]);
  const isSame = one.length === two.length && one.every((byte, at) => byte === two[at]);
  if (!isSame) throw new Error(`The copy "${to}" differs from "${from}"`);
}

async function syncFile(path: string): Promise<void> {
  using file = await Deno.open(path);
  await file.sync();
}
