/**
 * The command line: what may be asked for, and the text of `--help`. `main.ts` starts with it.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { methodNames } from "../../methods/mod.ts";
import { JOBS_MAX } from "./workers.ts";

/** What the user asked for. */
export type Command = { kind: "help" } | { kind: "check"; options: CheckOptions };

/** How to check a cluster. */
export interface CheckOptions {
  /** The cluster's directory, as given. */
  dataDirectory: string;
  /** The name of an I/O method, or `auto`. */
  method: string;
  /** Read past the page cache where the file system can. */
  direct: boolean;
  /** How many threads read and verify. */
  jobs: number;
  /** Report as one JSON document. */
  json: boolean;
}

/** The command line cannot be understood. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** What `--help` prints. */
export const HELP = `\
pg_checksums verifies the data checksums of a PostgreSQL database cluster that is shut down.

Usage:
  deno run -A pg_checksums.ts [OPTION]... DATADIR

Options:
  --method NAME  how to read: ${["auto", ...methodNames()].join(", ")} (default: auto)
  --direct       read past the page cache where the file system can
  --jobs N       read and verify in so many threads, 1 to ${JOBS_MAX} (default: 1)
  --json         report as one JSON document (1 MB is 1,000,000 bytes)
  --help         show this help, then exit

Exit status: 0 all checksums are right, 1 some are wrong or the check could not be done,
2 the command line is wrong, 130 interrupted.
`;

/**
 * Reads the command line.
 *
 * @param args The arguments after the program's name.
 * @throws {UsageError} Something in it is unknown, missing or too much.
 */
export function parseCommand(args: string[]): Command {
  const { values, positionals } = parse(args);
  if (values.help) return { kind: "help" };

  const [dataDirectory, extra] = positionals;
  if (dataDirectory === undefined) throw new UsageError("no data directory specified");
  if (extra !== undefined) {
    throw new UsageError(`too many command-line arguments (first is "${extra}")`);
  }
  const names = ["auto", ...methodNames()];
  if (!names.includes(values.method)) {
    throw new UsageError(`unknown method "${values.method}": it is none of ${names.join(", ")}`);
  }
  const { method, direct, json } = values;
  const jobs = parseJobs(values.jobs);
  return { kind: "check", options: { dataDirectory, method, direct, jobs, json } };
}

function parseJobs(text: string): number {
  const jobs = /^\d+$/.test(text) ? Number(text) : 0;
  if (jobs >= 1 && jobs <= JOBS_MAX) return jobs;
  throw new UsageError(`invalid number of jobs "${text}": it is not from 1 to ${JOBS_MAX}`);
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        method: { type: "string", default: "auto" },
        direct: { type: "boolean", default: false },
        jobs: { type: "string", default: "1" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}
