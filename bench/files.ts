/**
 * files.ts: files as people use them: copying by `examples/copy.ts` beside `cp`, downloads from
 * `examples/range_server.ts` beside `Deno.serve` with `Deno.FsFile.readable`, and `readRanges`
 * beside as many `readAt`. Ours and the peer alternate, each in processes of its own.
 *
 * Run: deno task bench:files [--rounds N] [--dir DIR]
 *
 * @module
 */

import { join } from "@std/path";
import { parseArgs } from "node:util";
import { RangeServer } from "../examples/range_server.ts";
import { Aio, type AioFile } from "../mod.ts";
import { withFile } from "./batches.ts";
import { CHILD, runChild } from "./child.ts";
import { describeMachine } from "./machine.ts";
import type { PageCache } from "./page_cache.ts";
import { figures, ratios, ROUND_OPTIONS } from "./rounds.ts";

const COPY_PROGRAM = join(import.meta.dirname!, "..", "examples", "copy.ts");

const SMALL_DIRECTORIES = 200;
const SMALL_FILES_EACH = 100;
const SMALL_BYTES_MAX = 16_000;

const DOWNLOAD_BYTES = 100_000_000;
const CLIENTS = 8;
const CLIENT_BUFFER_BYTES = 256 * 1024;

const RANGES = 1000;
const RANGE_BYTES = 4096;
/** So often ranges are read in a round, behind as often for the compiler. */
const RANGE_REPEATS = 20;

/** What is measured: the seconds that ours took, and the peer. */
interface Case {
  readonly what: string;
  readonly wanted: number;
  /** Runs untimed before each. */
  readonly before: () => Promise<void>;
  readonly ours: () => Promise<number>;
  readonly peer: () => Promise<number>;
}

/** Runs a command. @returns the seconds that it took */
async function timeCommand(command: string, ...args: readonly string[]): Promise<number> {
  const start = performance.now();
  const { success, stderr } = await new Deno.Command(command, { args: [...args] }).output();
  if (!success) throw new Error(`${command} failed: ${new TextDecoder().decode(stderr)}`);
  return (performance.now() - start) / 1000;
}

function timeCopy(...args: readonly string[]): Promise<number> {
  return timeCommand(Deno.execPath(), "run", "-A", COPY_PROGRAM, ...args);
}

async function makeSmallFiles(dir: string): Promise<void> {
  const content = new Uint8Array(SMALL_BYTES_MAX).fill(0x2e);
  for (let at = 0; at < SMALL_DIRECTORIES; at++) {
    await Deno.mkdir(join(dir, `${at}`), { recursive: true });
    for (let file = 0; file < SMALL_FILES_EACH; file++) {
      const bytes = 1 + (at * SMALL_FILES_EACH + file) * 7919 % SMALL_BYTES_MAX;
      Deno.writeFileSync(join(dir, `${at}`, `${file}`), content.subarray(0, bytes));
    }
  }
}

function copyCases(dir: string, path: string, cache: PageCache): readonly Case[] {
  const [copied, small] = [join(dir, "bench_copied"), join(dir, "bench_small")];
  const remove = async () => {
    await Deno.remove(copied, { recursive: true }).catch(() => {});
    await timeCommand("sync");
  };
  return [
    {
      what: "copy.ts, 1 GiB past the page cache, flushed, beside cp and sync",
      wanted: 1,
      before: async () => {
        await remove();
        cache.drop();
      },
      ours: () => timeCopy("--sync", path, copied),
      peer: async () => await timeCommand("cp", path, copied) + await timeCommand("sync", copied),
    },
    {
      what: "copy.ts, 20,000 small files, beside cp -r",
      wanted: 0.5,
      before: async () => {
        await remove();
        // After an untimed copy both find the files in memory.
        await timeCommand("cp", "-r", small, copied);
        await remove();
      },
      ours: () => timeCopy(small, copied),
      peer: () => timeCommand("cp", "-r", small, copied),
    },
  ];
}

function downloadCase(path: string): Case {
  return {
    what: "range_server.ts, 8 downloads of 100 MB, beside Deno.serve with FsFile.readable",
    wanted: 1.5,
    before: async () => {
      using file = await Deno.open(path);
      const buffer = new Uint8Array(CLIENT_BUFFER_BYTES);
      for (let bytes = 0; bytes < DOWNLOAD_BYTES;) bytes += await file.read(buffer) ?? Infinity;
    },
    ours: () => timeDownloads("serve", path),
    peer: () => timeDownloads("serve by Deno", path),
  };
}

/** Starts a server, and downloads from it by as many clients, once to warm up and once timed. */
async function timeDownloads(order: string, path: string): Promise<number> {
  const server = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", import.meta.filename!, CHILD, order, path],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  try {
    const said = server.stdout.getReader();
    const port = Number(new TextDecoder().decode((await said.read()).value));
    said.releaseLock();
    await downloadByAll(port, path);
    const start = performance.now();
    await downloadByAll(port, path);
    return (performance.now() - start) / 1000;
  } finally {
    server.kill();
    await server.stdout.cancel();
    await server.status;
  }
}

async function downloadByAll(port: number, path: string): Promise<void> {
  await Promise.all(Array.from({ length: CLIENTS }, () => download(port, path)));
}

/** A client that costs little: it counts bytes. */
async function download(port: number, path: string): Promise<void> {
  using connection = await Deno.connect({ port });
  const name = path.split("/").at(-1);
  const range = `bytes=0-${DOWNLOAD_BYTES - 1}`;
  const request = `GET /${name} HTTP/1.1\r\nhost: bench\r\nrange: ${range}\r\n` +
    "connection: close\r\n\r\n";
  await connection.write(new TextEncoder().encode(request));
  const buffer = new Uint8Array(CLIENT_BUFFER_BYTES);
  let bytes = 0;
  for (let read; (read = await connection.read(buffer)) !== null;) bytes += read;
  if (bytes < DOWNLOAD_BYTES) throw new Error(`A download ended after ${bytes} bytes`);
}

/** The child that serves. */
async function serve(order: string, path: string): Promise<void> {
  const onListen = ({ port }: Deno.NetAddr) => console.log(port);
  if (order === "serve") {
    const aio = await Aio.open();
    const server = new RangeServer(aio, await Deno.realPath(join(path, "..")));
    Deno.serve({ port: 0, onListen }, server.answer);
    return;
  }
  const headers = { "content-length": `${DOWNLOAD_BYTES}` };
  Deno.serve({ port: 0, onListen }, async () => {
    const file = await Deno.open(path);
    return new Response(file.readable.pipeThrough(takeBytes(DOWNLOAD_BYTES)), { headers });
  });
}

/** Ends a stream after so many bytes. */
function takeBytes(bytes: number): TransformStream<Uint8Array, Uint8Array> {
  let left = bytes;
  return new TransformStream({
    transform(chunk, controller) {
      controller.enqueue(chunk.subarray(0, left));
      left -= Math.min(left, chunk.length);
      if (left === 0) controller.terminate();
    },
  });
}

/** Into memory that is there, as `readAt` does it; or into memory of its own. */
type Memory = "given" | "new";

function rangesCase(
  path: string,
  cache: PageCache,
  order: "scattered" | "adjoining",
  memory: Memory,
  wanted: number,
): Case {
  const before = async () => await Promise.resolve(cache.drop());
  const into = memory === "given" ? "" : ", new memory";
  return {
    what: `readRanges of 1,000 ranges of 4 KiB, direct, ${order}${into}, beside 1,000 readAt`,
    wanted,
    before,
    ours: () => runChild<number>(import.meta.filename!, `ranges ${memory} ${order}`, path),
    peer: () => runChild<number>(import.meta.filename!, `reads ${order}`, path),
  };
}

/** The child that reads ranges. @returns seconds for all repeats */
async function readRanges(order: string, path: string): Promise<number> {
  await using aio = await Aio.open();
  await using file = await aio.openFile(path, { direct: "required" });
  const blocks = await file.size() / RANGE_BYTES;
  const isScattered = order.endsWith("scattered");
  const offsets = (): number[] => {
    const first = Math.floor(Math.random() * (blocks - RANGES));
    return Array.from(
      { length: RANGES },
      (_, i) => RANGE_BYTES * (isScattered ? Math.floor(Math.random() * blocks) : first + i),
    );
  };
  const [how, memory] = order.split(" ");
  const read = how === "ranges"
    ? readByRanges(memory === "given" ? { into: aio.alloc(RANGES * RANGE_BYTES) } : {})
    : readOneByOne(Array.from({ length: RANGES }, () => aio.alloc(RANGE_BYTES)));
  for (let i = 0; i < RANGE_REPEATS; i++) await read(file, offsets());
  const start = performance.now();
  for (let i = 0; i < RANGE_REPEATS; i++) await read(file, offsets());
  return (performance.now() - start) / 1000;
}

type ReadAll = (file: AioFile, offsets: readonly number[]) => Promise<void>;

function readByRanges(options: { into?: Uint8Array }): ReadAll {
  return async (file, offsets) => {
    await file.readRanges(offsets.map((offset) => ({ offset, length: RANGE_BYTES })), options);
  };
}

function readOneByOne(buffers: readonly Uint8Array[]): ReadAll {
  return async (file, offsets) => {
    await Promise.all(offsets.map((offset, i) => file.readAt(buffers[i]!, offset)));
  };
}

async function measure(one: Case, rounds: number): Promise<Record<string, unknown>> {
  const [ours, peer]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    await one.before();
    ours.push(await one.ours());
    await one.before();
    peer.push(await one.peer());
  }
  const { median, min, max } = ratios(peer, ours);
  return {
    "ours, s": figures(ours).median.toFixed(2),
    "it, s": figures(peer).median.toFixed(2),
    "times as fast": median.toFixed(2),
    from: min.toFixed(2),
    to: max.toFixed(2),
    wanted: one.wanted,
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: ROUND_OPTIONS });
  console.log(await describeMachine(values.dir));
  const dir = await Deno.makeTempDir({ dir: values.dir, prefix: "aio-bench-" });
  try {
    await makeSmallFiles(join(dir, "bench_small"));
    await withFile(dir, async (path, cache) => {
      const cases = [
        ...copyCases(dir, path, cache),
        downloadCase(path),
        rangesCase(path, cache, "scattered", "given", 1),
        rangesCase(path, cache, "adjoining", "given", 3),
        rangesCase(path, cache, "scattered", "new", 1),
        rangesCase(path, cache, "adjoining", "new", 1),
      ];
      const table: Record<string, unknown> = {};
      for (const one of cases) table[one.what] = await measure(one, Number(values.rounds));
      console.table(table);
    });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

if (import.meta.main) {
  const [child, order, path] = Deno.args;
  if (child !== CHILD) await main();
  else if (order!.startsWith("serve")) await serve(order!, path!);
  else console.log(JSON.stringify(await readRanges(order!, path!)));
}
