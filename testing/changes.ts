/**
 * changes.ts: what a program has its files told, as a recording keeps it: changes, each with a
 * beginning and an end, and flushes, which make earlier changes durable.
 *
 * @module
 */

/** A range of a file is written. */
export interface WriteChange {
  readonly kind: "write";
  readonly node: number;
  readonly offset: number;
  /** What is written; cut to what the system says that it wrote. */
  bytes: Uint8Array;
  /** Whether its end says that it is on disk (`RWF_DSYNC`, `O_DSYNC`). */
  readonly isDurable: boolean;
}

/** The size of a file is set (`ftruncate`), or at least so much (`fallocate`). */
export interface SizeChange {
  readonly kind: "cut" | "extend";
  readonly node: number;
  readonly size: number;
}

/** A range of a file is zeroed. */
export interface ZeroChange {
  readonly kind: "zero";
  readonly node: number;
  readonly from: number;
  readonly to: number;
  /** Whether the file is at least as long afterwards. */
  readonly extends: boolean;
}

/** A name comes, goes, or moves. */
export interface NameChange {
  readonly kind: "name";
  /** From the recorded directory on. */
  readonly path: string;
  /** What it names from now on; null: nothing. */
  readonly node: number | null;
  /** The name that goes with it, of a file that is renamed. */
  readonly from: string | null;
}

/** All that was written to a file before is made durable. */
export interface Flush {
  readonly kind: "flush";
  readonly node: number;
}

/** All names in a directory are made durable. */
export interface NamesFlush {
  readonly kind: "flushNames";
  /** From the recorded directory on, which is "". */
  readonly directory: string;
}

/** What changes the bytes or the size of a file. */
export type FileChange = WriteChange | SizeChange | ZeroChange;
/** What the system is asked for. */
export type Change = FileChange | NameChange | Flush | NamesFlush;

/** One moment of a program: a change begins, or ends, or the program marks what it has reached. */
export type Step =
  | { readonly kind: "begin"; readonly change: number }
  | { readonly kind: "end"; readonly change: number; readonly ok: boolean }
  | { readonly kind: "mark" };

/** Directories are nodes without content. */
export const DIRECTORY = -1;

/** The directory of a path; "" is the recorded one. */
export function directoryOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}

/** The names that a change is about. */
export function pathsOf({ path, from }: NameChange): readonly string[] {
  return from === null ? [path] : [from, path];
}

/** A change in words. */
export function describeChange(change: Change, nameOf: (node: number) => string): string {
  switch (change.kind) {
    case "write": {
      const { offset, bytes, isDurable } = change;
      const what = `${isDurable ? "durable " : ""}write of ${bytes.length} bytes at ${offset}`;
      return `${what} to ${nameOf(change.node)}`;
    }
    case "cut":
      return `truncation of ${nameOf(change.node)} to ${change.size} bytes`;
    case "extend":
      return `allocation of ${nameOf(change.node)} to ${change.size} bytes`;
    case "zero":
      return `zeroing of ${nameOf(change.node)} from ${change.from} to ${change.to}`;
    case "flush":
      return `flush of ${nameOf(change.node)}`;
    case "flushNames":
      return `flush of the directory "${change.directory}"`;
    case "name":
      if (change.from !== null) return `renaming of "${change.from}" to "${change.path}"`;
      return `${change.node === null ? "removal" : "making"} of "${change.path}"`;
  }
}
