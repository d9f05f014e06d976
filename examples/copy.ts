/**
 * copy.ts: copies a file, or a directory with all that is in it, with modes and times.
 *
 * Large files go past the page cache where the file system can, several pieces at a time: that is
 * faster than through it, and leaves it to those who need it. `--buffered` goes through it, and
 * `--reflink` has the file system share what they are made of, as btrfs and XFS can. What is there
 * already is not touched, unless `--force` allows it; a file whose copying ends early is removed
 * again. With `--sync` everything is on disk at the end, and `--verify` reads and compares it.
 *
 * In `copy/`: `copying.ts` goes through the tree, `large_file.ts` copies the large files.
 *
 * Run: deno run --allow-read --allow-write --allow-ffi examples/copy.ts [--force] [--sync]
 * [--verify] [--buffered | --reflink] FROM TO
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Aio } from "../mod.ts";
import { copy } from "./copy/copying.ts";
import { writeText } from "./terminal/output.ts";
import { NO_PROGRESS, type Progress, startProgress } from "./terminal/progress.ts";

const USAGE = "Usage: copy.ts [--force] [--sync] [--verify] [--buffered | --reflink] FROM TO\n";
const EXIT_STATUS = { copied: 0, failed: 1, usage: 2 } as const;
const FLAG = { type: "boolean", default: false } as const;
const OPTIONS = { force: FLAG, sync: FLAG, verify: FLAG, buffered: FLAG, reflink: FLAG } as const;

type Command = ReturnType<typeof parseCommand>;

/** @returns null for what cannot be a command */
function parseCommand(args: string[]) {
  try {
    const { values, positionals } = parseArgs({ args, options: OPTIONS, allowPositionals: true });
    const [from, to, ...more] = positionals;
    if (from === undefined || to === undefined || more.length > 0) return null;
    return values.buffered && values.reflink ? null : { ...values, from, to };
  } catch {
    return null;
  }
}

async function run({ from, to, ...options }: NonNullable<Command>): Promise<number> {
  const interrupt = new AbortController();
  const stop = () => interrupt.abort(new Error("Interrupted"));
  let progress: Progress = NO_PROGRESS;
  Deno.addSignalListener("SIGINT", stop);
  try {
    await using aio = await Aio.open();
    const { files, bytes } = await copy(aio, from, to, {
      ...options,
      signal: interrupt.signal,
      async onPlanned(bytes) {
        if (Deno.stderr.isTerminal()) progress = await startProgress("copy", bytes);
      },
      onCopied: (bytes) => progress.advance(bytes),
    });
    progress.stop();
    writeText(Deno.stdout, `${files} ${files === 1 ? "file" : "files"}, ${bytes} bytes\n`);
    return EXIT_STATUS.copied;
  } catch (error) {
    progress.stop();
    writeText(Deno.stderr, `${error instanceof Error ? error.message : error}\n`);
    return EXIT_STATUS.failed;
  } finally {
    Deno.removeSignalListener("SIGINT", stop);
  }
}

if (import.meta.main) {
  const command = parseCommand(Deno.args);
  if (command !== null) Deno.exitCode = await run(command);
  else {
    writeText(Deno.stderr, USAGE);
    Deno.exitCode = EXIT_STATUS.usage;
  }
}
