/**
 * clusters.ts: two clusters for the benchmark of pg_checksums, made by `initdb` and then filled
 * with files that no server has written, whose pages have right checksums all the same.
 *
 * @module
 */

import { pageChecksum } from "../../examples/pg_checksums/page.ts";

const BINARIES = "/usr/lib/postgresql/15/bin";
/** PostgreSQL's own program. */
export const PG_CHECKSUMS = `${BINARIES}/pg_checksums`;
/** The server's programs refuse to run as root. */
const SERVER_USER = "postgres";

const PAGE_BYTES = 8192;
const PAGE_WORDS = PAGE_BYTES / Uint32Array.BYTES_PER_ELEMENT;
const CHECKSUM_WORD = 2;
const SEGMENT_BLOCKS = 131_072;
const CHUNK_BLOCKS = 2048;
/** Each has some 300 files. */
const DATABASE_COPIES = 41;

/** Makes both in a folder. @returns Their data directories */
export async function makeClusters(folder: string): Promise<{ large: string; small: string }> {
  const isRoot = Deno.uid() === 0;
  if (isRoot) await run("chown", SERVER_USER, folder);
  const data = `${folder}/large`;
  const initdb = [`${BINARIES}/initdb`, "-k", "-N", "--locale", "C", "-U", SERVER_USER, "-D", data];
  await run(...isRoot ? ["runuser", "-u", SERVER_USER, "--", ...initdb] : initdb);
  await Deno.remove(`${data}/pg_wal`, { recursive: true });
  const small = `${folder}/small`;
  await run("cp", "-r", data, small);
  for (let i = 0; i < DATABASE_COPIES; i++) {
    await run("cp", "-r", `${data}/base/1`, `${small}/base/${20_000 + i}`);
  }
  await writeSegment(`${data}/base/1/20000`);
  await run("sync");
  return { large: data, small };
}

async function writeSegment(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const words = new Uint32Array(CHUNK_BLOCKS * PAGE_WORDS).map((_, i) => Math.imul(i, 2654435761));
  for (let block = 0; block < SEGMENT_BLOCKS; block++) {
    const start = block % CHUNK_BLOCKS * PAGE_WORDS;
    const checksum = pageChecksum(words, start, PAGE_WORDS, block);
    words[start + CHECKSUM_WORD] = words[start + CHECKSUM_WORD]! & 0xffff0000 | checksum;
    if ((block + 1) % CHUNK_BLOCKS !== 0) continue;
    const bytes = new Uint8Array(words.buffer);
    for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
  }
}

async function run(...[command, ...args]: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command!, { args }).output();
  if (!success) throw new Error(`${command} failed: ${new TextDecoder().decode(stderr)}`);
}
