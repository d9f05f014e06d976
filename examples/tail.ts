/**
 * tail.ts: the last lines of a file, and with `--follow` what is appended to it from then on, as
 * `tail -F` shows it: a file that was cut is read from its start again, and one that was renamed
 * away, as logs are, is read to its end before the new one of that name.
 *
 * Run: deno run --allow-read --allow-ffi examples/tail.ts [--lines N] [--follow] FILE
 *
 * @module
 */

import { basename, dirname, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Aio, type AioFile } from "../mod.ts";

/** What of a file is wanted. */
export interface TailOptions {
  /** How many of its last lines. Default: 10. */
  readonly lines?: number;
  /** Whether what is appended later is wanted too. Default: false. */
  readonly follow?: boolean;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

const BLOCK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/**
 * Yields the end of a file, in pieces.
 *
 * @param aio opens the file
 * @param path of the file
 * @param options see {@linkcode TailOptions}
 */
export async function* tail(
  aio: Aio,
  path: string,
  { lines = 10, follow = false, signal }: TailOptions = {},
): AsyncGenerator<Uint8Array, void, void> {
  // It watches before it reads: what is written in between is not missed.
  using changes = follow ? new Changes(path, signal) : null;
  let file = await aio.openFile(path);
  try {
    let at = await startOfLines(file, lines);
    while (true) {
      for await (const chunk of file.readable({ offset: at })) {
        at += chunk.length;
        yield chunk;
      }
      if (changes === null) return;
      const next = await newFile(aio, path, file);
      if (next !== null) {
        // What came after the reading and before the renaming.
        yield* file.readable({ offset: at });
        await file.close();
        [file, at] = [next, 0];
        // A file that was cut and has grown since to where it was looks like one that was not.
      } else if (await file.size() < at) at = 0;
      else if (!await changes.next()) return;
    }
  } finally {
    await file.close();
  }
}

/** Where the last lines of a file begin, looked for from its end. */
async function startOfLines(file: AioFile, lines: number): Promise<number> {
  const block = new Uint8Array(BLOCK_BYTES);
  const size = await file.size();
  let left = lines;
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const read = await file.readAt(block.subarray(0, end - start), start);
    for (let at = read - 1; at >= 0; at--) {
      // The newline at the end of the file ends the last line.
      if (block[at] !== NEWLINE || start + at === size - 1) continue;
      if (--left <= 0) return lines === 0 ? size : start + at + 1;
    }
    end = start;
  }
  return lines === 0 ? size : 0;
}

/** The file that has the name now; null: it is the same, or nobody has made the new one yet. */
async function newFile(aio: Aio, path: string, file: AioFile): Promise<AioFile | null> {
  try {
    const [{ dev, ino }, named] = await Promise.all([file.stat(), Deno.stat(path)]);
    return named.dev === dev && named.ino === ino ? null : await aio.openFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Hears of changes of a file, and of the files that take its name. */
class Changes implements Disposable {
  readonly #name: string;
  readonly #watcher: Deno.FsWatcher;
  readonly #signal: AbortSignal | undefined;
  readonly #events: AsyncIterator<Deno.FsEvent>;
  readonly #stop = (): void => this.#watcher.close();

  constructor(path: string, signal: AbortSignal | undefined) {
    signal?.throwIfAborted();
    this.#name = basename(path);
    this.#watcher = Deno.watchFs(dirname(resolve(path)), { recursive: false });
    this.#events = this.#watcher[Symbol.asyncIterator]();
    this.#signal = signal;
    signal?.addEventListener("abort", this.#stop);
  }

  /** Waits for one. @returns false: the signal has ended it */
  async next(): Promise<boolean> {
    while (true) {
      const { value, done } = await this.#events.next();
      if (done === true) return false;
      if (value.paths.some((path: string) => basename(path) === this.#name)) return true;
    }
  }

  [Symbol.dispose](): void {
    this.#signal?.removeEventListener("abort", this.#stop);
    if (this.#signal?.aborted !== true) this.#watcher.close();
  }
}

async function main(): Promise<number> {
  const { values: { lines, follow }, positionals: [path, ...more] } = parseArgs({
    options: {
      lines: { type: "string", short: "n", default: "10" },
      follow: { type: "boolean", short: "f", default: false },
    },
    allowPositionals: true,
  });
  if (path === undefined || more.length > 0 || !/^\d+$/.test(lines)) {
    console.error("Usage: tail.ts [--lines N] [--follow] FILE");
    return 2;
  }
  const interrupt = new AbortController();
  const stop = () => interrupt.abort();
  Deno.addSignalListener("SIGINT", stop);
  try {
    await using aio = await Aio.open();
    const options = { lines: Number(lines), follow, signal: interrupt.signal };
    const output = Deno.stdout.writable.getWriter();
    for await (const chunk of tail(aio, path, options)) await output.write(chunk);
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    Deno.removeSignalListener("SIGINT", stop);
  }
}

if (import.meta.main) Deno.exitCode = await main();
