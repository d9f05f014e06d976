/**
 * sample_file.ts: the file that the demo reads: one that is given and only read, or a temporary one
 * that is made and removed.
 *
 * @module
 */

import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { SEQUENTIAL_BYTES } from "./groups.ts";

const MIB = 1024 * 1024;
/** How much of a file is read, and how large a temporary one is, where there is room. */
const WINDOW_BYTES = 256 * MIB;
/** Less than this says nothing of reads at random. */
const GIVEN_BYTES_MIN = MIB;
const MADE_BYTES_MIN = 16 * MIB;
/** What `statfs` says of a tmpfs. */
const TMPFS_TYPE = 0x01021994;
/** Of free memory and free space at most one part in this many is taken. */
const SHARE = 4;
/** Most bytes that `crypto.getRandomValues` gives at once. */
const RANDOM_BYTES_MAX = 65_536;

/** A file that cannot be read from, told in one sentence. */
export class FileProblem extends Error {
  override readonly name = "FileProblem";
}

/** The file that is read. */
export class SampleFile implements Disposable {
  /** Its path. */
  readonly path: string;
  /** How much of it is read, from its start. */
  readonly windowBytes: number;
  /** Whether it was made here and goes away. */
  readonly isTemporary: boolean;
  #isRemoved = false;

  private constructor(path: string, windowBytes: number, isTemporary: boolean) {
    this.path = path;
    this.windowBytes = windowBytes;
    this.isTemporary = isTemporary;
  }

  /**
   * Takes a file that is there. It is never written to.
   *
   * @throws {FileProblem} if it cannot be used
   */
  static async given(path: string): Promise<SampleFile> {
    const stat = await statGiven(path);
    if (stat.isDirectory) throw new FileProblem(`"${path}" is a directory: give a file`);
    if (!stat.isFile) throw new FileProblem(`"${path}" is not a regular file`);
    if (stat.size === 0) throw new FileProblem(`"${path}" is empty`);
    if (stat.size < GIVEN_BYTES_MIN) {
      throw new FileProblem(
        `"${path}" is too small: it has ${stat.size.toLocaleString("en-US")} bytes, ` +
          `and the demo needs at least ${GIVEN_BYTES_MIN.toLocaleString("en-US")}`,
      );
    }
    const bytes = Math.min(stat.size, windowLimit());
    return new SampleFile(path, bytes - bytes % SEQUENTIAL_BYTES, false);
  }

  /**
   * Makes a temporary file, still without content: {@linkcode fill} gives it that. Synchronous, so
   * that no signal can come between making it and knowing of it.
   *
   * @throws {FileProblem} if it cannot be made, or there is too little room
   */
  static temporary(): SampleFile {
    const limit = windowLimit();
    const path = makeTemporary();
    const { bavail, bsize } = statfsSync(path);
    const room = Math.floor(bavail * bsize / SHARE);
    const bytes = Math.min(limit, room - room % MIB);
    if (bytes >= MADE_BYTES_MIN) return new SampleFile(path, bytes, true);
    Deno.removeSync(path);
    throw new FileProblem(
      `There is too little room for a temporary file in "${dirname(path)}": ` +
        "give a file to read, or set TMPDIR",
    );
  }

  /** Fills a temporary file with random bytes, which no layer below can compress. */
  async fill(): Promise<void> {
    using file = await Deno.open(this.path, { write: true });
    const chunk = new Uint8Array(MIB);
    for (let done = 0; done < this.windowBytes; done += chunk.length) {
      for (let i = 0; i < chunk.length; i += RANDOM_BYTES_MAX) {
        crypto.getRandomValues(chunk.subarray(i, i + RANDOM_BYTES_MAX));
      }
      for (let written = 0; written < chunk.length;) {
        written += await file.write(chunk.subarray(written));
      }
    }
    await file.syncData();
  }

  /** Whether it is in memory, so that direct reads come from there too. */
  get isInMemory(): boolean {
    return Deno.build.os === "linux" && statfsSync(this.path).type === TMPFS_TYPE;
  }

  /** Removes a temporary file; a given one stays as it is. */
  [Symbol.dispose](): void {
    if (!this.isTemporary || this.#isRemoved) return;
    this.#isRemoved = true;
    Deno.removeSync(this.path);
  }
}

function makeTemporary(): string {
  try {
    return Deno.makeTempFileSync({ prefix: "aio-demo-" });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : cause;
    throw new FileProblem(
      `A temporary file cannot be made: ${reason}; give a file to read, or set TMPDIR`,
      { cause },
    );
  }
}

/** Bytes that surely stay in the page cache together. */
function windowLimit(): number {
  const share = Math.floor(Deno.systemMemoryInfo().available / SHARE);
  return Math.max(MADE_BYTES_MIN, Math.min(WINDOW_BYTES, share - share % MIB));
}

async function statGiven(path: string): Promise<Deno.FileInfo> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new FileProblem(`There is no file "${path}"`);
    throw new FileProblem(
      `"${path}" cannot be read: ${error instanceof Error ? error.message : error}`,
    );
  }
}
