/**
 * observed_files.ts: the files of a program as it sees them itself, put together from what it has
 * them told. At the end they must be what is really there: else something was not seen.
 *
 * @module
 */

import { join } from "node:path";
import { type Change, DIRECTORY, directoryOf, type Step } from "./changes.ts";

/** Files by path, from a directory on; null is a directory. */
export type FileTree = ReadonlyMap<string, Uint8Array | null>;

/** Reads all that is in a directory. */
export async function readTree(directory: string): Promise<Map<string, Uint8Array | null>> {
  const tree = new Map<string, Uint8Array | null>();
  const visit = async (folder: string): Promise<void> => {
    for await (const { name, isDirectory, isFile } of Deno.readDir(join(directory, folder))) {
      const path = folder === "" ? name : `${folder}/${name}`;
      if (isDirectory) {
        tree.set(path, null);
        await visit(path);
      } else if (isFile) tree.set(path, await Deno.readFile(join(directory, path)));
      else throw new Error(`Cannot record "${path}": neither a file nor a directory`);
    }
  };
  await visit("");
  return tree;
}

/** What a file holds, as the program sees it. */
class Content {
  #bytes: Uint8Array;
  size: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.size = bytes.length;
  }

  /** A copy of a range, with zeros where nothing is. */
  slice(from: number, to: number): Uint8Array {
    const slice = new Uint8Array(Math.max(0, Math.min(to, this.size) - from));
    slice.set(this.#bytes.subarray(from, from + slice.length));
    return slice;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#reserve(offset + bytes.length);
    this.#bytes.set(bytes, offset);
    this.size = Math.max(this.size, offset + bytes.length);
  }

  resize(size: number): void {
    this.zero(size, this.size);
    this.size = size;
  }

  zero(from: number, to: number): void {
    this.#bytes.fill(0, from, Math.max(from, to));
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(bytes, 2 * this.#bytes.length));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

/** The files, and all that happened to them. */
export class ObservedFiles {
  /** What was there at the beginning, by path. */
  readonly base: FileTree;
  readonly changes: Change[] = [];
  readonly steps: Step[] = [];
  /** The names now. */
  readonly names = new Map<string, number>();
  readonly #contents: Content[] = [];

  /** @param base what is there already, all of it durable */
  constructor(base: FileTree) {
    this.base = base;
    for (const [path, bytes] of base) {
      this.names.set(path, bytes === null ? DIRECTORY : this.addNode(bytes.slice()));
    }
  }

  /** A file without a name. @returns its number */
  addNode(bytes: Uint8Array = new Uint8Array()): number {
    return this.#contents.push(new Content(bytes)) - 1;
  }

  /** Bytes of a file now. */
  sizeOf(node: number): number {
    return this.#contents[node]!.size;
  }

  /** A range of a file now. */
  slice(node: number, from: number, length: number): Uint8Array {
    return this.#contents[node]!.slice(from, from + length);
  }

  /** A change begins. @returns its number */
  begin(change: Change): number {
    const number = this.changes.push(change) - 1;
    this.steps.push({ kind: "begin", change: number });
    return number;
  }

  /** A change is over. @param result what the system said: below 0 if it failed */
  end(number: number, result: number): void {
    const change = this.changes[number]!;
    const ok = result >= 0;
    if (ok && change.kind === "write" && result < change.bytes.length) {
      change.bytes = change.bytes.subarray(0, result);
    }
    this.steps.push({ kind: "end", change: number, ok });
    if (ok) this.#apply(change);
  }

  /** A change that is over at once. */
  add(change: Change): void {
    this.end(this.begin(change), Infinity);
  }

  /** The program has reached something. */
  mark(): void {
    this.steps.push({ kind: "mark" });
  }

  #apply(change: Change): void {
    switch (change.kind) {
      case "write":
        return this.#contents[change.node]!.write(change.offset, change.bytes);
      case "cut":
        return this.#contents[change.node]!.resize(change.size);
      case "extend": {
        const content = this.#contents[change.node]!;
        content.size = Math.max(content.size, change.size);
        return;
      }
      case "zero": {
        const content = this.#contents[change.node]!;
        content.zero(change.from, change.to);
        if (change.extends) content.size = Math.max(content.size, change.to);
        return;
      }
      case "name":
        if (change.from !== null) this.names.delete(change.from);
        if (change.node === null) this.names.delete(change.path);
        else this.names.set(change.path, change.node);
    }
  }

  /** Compares with what is really there. @throws if something was not seen */
  check(real: FileTree): void {
    const paths = new Set([...this.names.keys(), ...real.keys()]);
    for (const path of [...paths].sort()) {
      const why = this.#difference(path, real.get(path));
      if (why === null) continue;
      throw new Error(
        `The recording did not see all that happened to "${path}": ${why}; write to it by the ` +
          "recorded Aio alone, or by one that recorder.watch() was given, in this thread, and make, " +
          "rename and remove files by it or by Deno",
      );
    }
  }

  #difference(path: string, real: Uint8Array | null | undefined): string | null {
    const node = this.names.get(path);
    if (real === undefined) return "it is not there";
    if (node === undefined) {
      return directoryOf(path) !== "" && !this.names.has(directoryOf(path))
        ? "nor was its directory seen"
        : "it was not seen to be made";
    }
    if (node === DIRECTORY || real === null) {
      return (node === DIRECTORY) === (real === null) ? null : "it is of another type";
    }
    const { size } = this.#contents[node]!;
    if (size !== real.length) return `it has ${real.length} bytes, not ${size}`;
    const seen = this.slice(node, 0, size);
    const at = seen.findIndex((byte, i) => byte !== real[i]);
    return at < 0 ? null : `byte ${at} is another one`;
  }
}
