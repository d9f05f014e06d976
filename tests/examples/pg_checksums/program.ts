/**
 * program.ts: runs examples/pg_checksums.ts as a user would, beside PostgreSQL's own pg_checksums,
 * and damages files for both to find.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { assertEquals } from "@std/assert";
import { pageChecksum } from "../../../examples/pg_checksums/page.ts";
import {
  type Cluster,
  copyCluster,
  postgresAvailable,
  runPgChecksums,
} from "../../support/postgres.ts";
import { type ChildOptions, type ChildResult, runChild } from "../../support/temp.ts";

export const PROGRAM: string = fileURLToPath(
  new URL("../../../examples/pg_checksums.ts", import.meta.url),
);
export const PAGE_BYTES = 8192;
export const BLOCKS_PER_SEGMENT = 131_072;

/** The arguments with which Deno runs the program, and leaves no lock file in the checkout. */
export function denoArgs(args: string[]): string[] {
  return ["run", "--allow-all", "--no-lock", PROGRAM, ...args];
}

/** Runs the program. */
export async function runProgram(args: string[], options: ChildOptions = {}): Promise<ChildResult> {
  return await runChild(denoArgs(args), options);
}

/**
 * Runs both on a data directory, and asserts that they print the same and exit with the same code.
 * The original takes files in the order of the file system, so lines of errors are compared sorted.
 *
 * @returns What both said.
 */
export async function assertSameAsOriginal(
  cluster: Cluster,
  options: string[] = [],
): Promise<ChildResult> {
  const [result, original] = await Promise.all([
    runProgram([...options, cluster.data]),
    runPgChecksums([cluster.data]),
  ]);
  assertEquals(sortedLines(result.stderr), sortedLines(original.stderr));
  assertEquals(result.stdout, original.stdout);
  assertEquals(result.code, original.code);
  return result;
}

function sortedLines(text: string): string[] {
  return text.split("\n").sort();
}

/** How many lines of errors were printed. */
export function errorCount(result: ChildResult): number {
  return result.stderr.split("\n").filter((line) => line !== "").length;
}

/** Flips one bit of a file. */
export async function flipBit(path: string, offset: number): Promise<void> {
  using file = await Deno.open(path, { read: true, write: true });
  const byte = new Uint8Array(1);
  await file.seek(offset, Deno.SeekMode.Start);
  await file.read(byte);
  byte[0]! ^= 0x10;
  await file.seek(offset, Deno.SeekMode.Start);
  await file.write(byte);
}

/** Writes bytes over a part of a file, or at its end. */
export async function overwrite(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true });
  await file.seek(offset, Deno.SeekMode.Start);
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

/** A page of a file. */
export async function readPage(path: string, block: number): Promise<Uint8Array> {
  const bytes = await Deno.readFile(path);
  return bytes.slice(block * PAGE_BYTES, (block + 1) * PAGE_BYTES);
}

/** A cluster's test: `change` damages a copy of the cluster, then both programs look at it. */
export function testCopy(name: string, fn: (cluster: Cluster) => Promise<void>): void {
  Deno.test({
    name,
    ignore: !postgresAvailable,
    fn: async () => {
      await using cluster = await copyCluster();
      await fn(cluster);
    },
  });
}

/** A page as the server would write it at that place. */
export function withChecksum(page: Uint8Array, blockNumber: number): Uint8Array {
  const copy = page.slice();
  const words = new Uint32Array(copy.buffer);
  const checksum = pageChecksum(words, 0, words.length, blockNumber);
  new DataView(copy.buffer).setUint16(8, checksum, true);
  return copy;
}

/** The document that `--json` prints. */
export interface Document {
  verdict: string;
  filesScanned: number;
  blocksScanned: number;
  badChecksums: number;
  bytesScanned: number;
  badPages: { file: string; block: number; calculated: number; stored: number }[];
  dataChecksumVersion?: number;
  message?: string;
  method?: string;
  direct?: boolean;
  seconds?: number;
  megabytesPerSecond: number;
}

/** Runs the program with `--json`. */
export async function runJson(cluster: Cluster): Promise<{ document: Document; code: number }> {
  const { stdout, code } = await runProgram(["--json", cluster.data]);
  return { document: JSON.parse(stdout), code };
}
