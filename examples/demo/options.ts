/**
 * options.ts: the command line of the demo.
 *
 * @module
 */

import { parseArgs } from "node:util";

const SECONDS_DEFAULT = 5;
const SECONDS_DEFAULT_ALL = 12;
const SECONDS_MIN = 1;
const SECONDS_MAX = 3600;

/** What `--help` prints. */
export const HELP = `Reads a file with Deno, Node.js and this module, and prints how fast each is.

Usage: deno task demo [--all] [FILE]
       deno run -A examples/demo.ts [--all] [FILE]

Without FILE a temporary file of up to 256 MiB is made, in TMPDIR or /tmp, and removed at the end.
A FILE is only read: at most its first 256 MiB.

  -a, --all         Measure every way this machine can, and print a table of what each costs
  -s, --seconds N   How long all runs take together: ${SECONDS_MIN} to ${SECONDS_MAX};
                    unless given ${SECONDS_DEFAULT}, with --all ${SECONDS_DEFAULT_ALL}
  -h, --help        Print this and end
`;

/** A command line that makes no sense. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What the command line asks for. */
export interface DemoOptions {
  /** The file to read; undefined for a temporary one. */
  readonly path: string | undefined;
  /** Whether every way is measured, and the table printed. */
  readonly all: boolean;
  /** How long all runs take together. */
  readonly seconds: number;
  /** Whether only the help is wanted. */
  readonly help: boolean;
}

/** Reads the command line. @throws {UsageError} if it makes no sense */
export function parseCommand(args: readonly string[]): DemoOptions {
  const { values, positionals } = parse(args);
  if (positionals.length > 1) {
    throw new UsageError(`Give one file at most, not ${positionals.length}; see --help`);
  }
  if (positionals[0] === "") throw new UsageError("The name of the file is empty; see --help");
  const all = values.all ?? false;
  const seconds = Number(values.seconds ?? (all ? SECONDS_DEFAULT_ALL : SECONDS_DEFAULT));
  if (!(seconds >= SECONDS_MIN && seconds <= SECONDS_MAX)) {
    throw new UsageError(
      `--seconds takes a number from ${SECONDS_MIN} to ${SECONDS_MAX}, not "${values.seconds}"`,
    );
  }
  return { path: positionals[0], all, seconds, help: values.help ?? false };
}

function parse(args: readonly string[]) {
  try {
    const options = {
      all: { type: "boolean", short: "a" },
      help: { type: "boolean", short: "h" },
      seconds: { type: "string", short: "s" },
    } as const;
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const [sentence] = error.message.split(/\. |\n/);
    throw new UsageError(`${sentence}; see --help`);
  }
}
