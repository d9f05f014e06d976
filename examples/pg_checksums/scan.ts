/**
 * Which files of a cluster hold data pages: those that the server would checksum.
 * `check_files.ts` reads what this finds, and the progress bar takes its total from it.
 *
 * Pages are under global (shared catalogs), base (databases) and pg_tblspc (links to tablespaces,
 * where each server version has a directory of its own). A relation is a group of files: one for
 * each fork (main, _fsm, _vm, _init), each cut into segments (.1, .2, …).
 *
 * Its calls block: each is a fraction of the work of handing it to another thread.
 *
 * @module
 */

import { CheckFailure, systemFailure } from "./failure.ts";
import { Pauses } from "./pauses.ts";

/** One segment of one fork of a relation. */
export interface DataFile {
  /** The data directory as the user gave it, and the way from there. */
  path: string;
  /** 0 for a file without a suffix, 1 for `.1`, and so on. */
  segmentNumber: number;
}

const ROOTS = ["global", "base", "pg_tblspc"] as const;
/** Temporary files and directories start with this. */
const TEMPORARY_PREFIX = "pgsql_tmp";
/** Left behind by a macOS file manager. */
const FOREIGN_FILES: ReadonlySet<string> = new Set([".DS_Store"]);
/** Files of the server without pages. */
const PAGELESS_FILES: ReadonlySet<string> = new Set([
  "pg_control",
  "pg_filenode.map",
  "PG_VERSION",
]);
/** The relation cache, which has a suffix while it is being written. */
const PAGELESS_PREFIX = "pg_internal.init";

const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
/** How the names of a relation's forks go on behind its number, and their order. */
const FORKS: ReadonlyMap<string, number> = new Map([
  ["", 0],
  ["_fsm", 1],
  ["_init", 2],
  ["_vm", 3],
]);
/** Knows where any name belongs. Made when first needed: it loads the tables of a language. */
let dictionary: Intl.Collator | undefined;

/** A search for a cluster's data files, in an order that depends on nothing but their names. */
export class FileSearch {
  /** What was found; after a failure, what comes before. */
  readonly files: DataFile[] = [];
  readonly #dataDirectory: string;
  readonly #versionDirectory: string;
  readonly #signal: AbortSignal;
  readonly #pauses = new Pauses();

  /**
   * @param dataDirectory The cluster's directory.
   * @param versionDirectory The name of the server's directory in a tablespace.
   * @param signal Ends the search early.
   */
  constructor(dataDirectory: string, versionDirectory: string, signal: AbortSignal) {
    this.#dataDirectory = dataDirectory;
    this.#versionDirectory = versionDirectory;
    this.#signal = signal;
  }

  /**
   * Finds them all.
   *
   * @throws {CheckFailure} A directory cannot be read, or a file name has a bad segment number.
   */
  async run(): Promise<void> {
    for (const root of ROOTS) {
      await this.#look(`${this.#dataDirectory}/${root}`, root === "pg_tblspc");
    }
  }

  async #look(directory: string, isTablespaceRoot: boolean): Promise<void> {
    await this.#pauses.pause();
    for (const entry of readDirectory(directory)) {
      if (this.#signal.aborted) return;
      const path = `${directory}/${entry.name}`;
      if (entry.isFile) {
        const segmentNumber = parseSegmentNumber(entry.name, path);
        this.files.push({ path, segmentNumber });
      } else if (entry.isDirectory || entry.isSymlink) {
        // A link is followed as a directory: relations are never links.
        const subdirectory = isTablespaceRoot ? `${path}/${this.#versionDirectory}` : path;
        if (isTablespaceRoot) statFile(subdirectory);
        await this.#look(subdirectory, false);
      }
    }
  }
}

/** The entries of a directory that may count, in the order of their names. */
function readDirectory(directory: string): Deno.DirEntry[] {
  const entries: Deno.DirEntry[] = [];
  try {
    for (const entry of Deno.readDirSync(directory)) {
      if (entry.name.startsWith(TEMPORARY_PREFIX) || FOREIGN_FILES.has(entry.name)) continue;
      if (entry.isFile && isPageless(entry.name)) continue;
      entries.push(entry);
    }
  } catch (error) {
    throw systemFailure(`could not open directory "${directory}"`, error);
  }
  return entries.sort((one, other) => compareNames(one.name, other.name));
}

/** Compares by number, then by fork; all other names as a dictionary has them. */
export function compareNames(one: string, other: string): number {
  return leadingNumber(one) - leadingNumber(other) || forkOf(one) - forkOf(other) ||
    (dictionary ??= new Intl.Collator("en", { numeric: true })).compare(one, other);
}

/** Not a number where there is none. */
function leadingNumber(name: string): number {
  const first = name.charCodeAt(0);
  return first >= DIGIT_0 && first <= DIGIT_9 ? Number.parseInt(name, 10) : NaN;
}

/** Likewise. */
function forkOf(name: string): number {
  return FORKS.get(name.replace(/^\d+/, "")) ?? NaN;
}

function isPageless(name: string): boolean {
  return PAGELESS_FILES.has(name) || name.startsWith(PAGELESS_PREFIX);
}

/** The number after the first dot of a file's name, which the server never writes as zero. */
function parseSegmentNumber(name: string, path: string): number {
  const dot = name.indexOf(".");
  if (dot === -1) return 0;
  const segmentNumber = Number.parseInt(name.slice(dot + 1), 10) || 0;
  if (segmentNumber !== 0) return segmentNumber;
  throw new CheckFailure(`invalid segment number 0 in file name "${path}"`);
}

/** What the system says of a file. @throws {CheckFailure} */
export function statFile(path: string): Deno.FileInfo {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    throw systemFailure(`could not stat file "${path}"`, error);
  }
}
