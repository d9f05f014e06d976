/**
 * stream.ts: read streams over a file of 1 GiB, beside fio, dd and `Deno.FsFile.readable`.
 *
 * Ours and the peer alternate, each in a process of its own that reads the whole file; the time is
 * that of the reading, once our code is compiled. Before each run the page cache is warmed, or
 * dropped; past it with `O_DIRECT`. The memory is the peak of our process above that of one that
 * does nothing.
 *
 * Run: deno task bench:stream [--rounds N] [--seconds N] [--dir DIR]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Aio } from "../mod.ts";
import { FILE_BYTES, onCache, withFile } from "./batches.ts";
import { hasFio, runFio } from "./fio.ts";
import { CHILD, runChild } from "./child.ts";
import { describeMachine } from "./machine.ts";
import type { PageCache } from "./page_cache.ts";
import { figures, ratios, ROUND_OPTIONS } from "./rounds.ts";

const PEER_BYTES = 128 * 1024;
const FIO_DEPTH = 8;
/** So often the beginning of the file is read before, until the code is compiled. */
const WARM_UPS = 100;
const WARM_UP_BLOCKS = 256;

/** What a child does. */
type Order =
  | "idle"
  | "awaited"
  | "blocking"
  | "awaited, direct"
  | "blocking, direct"
  | "readable()"
  | "readable(), direct"
  | "FsFile.readable";

/** What it did. */
interface Outcome {
  readonly bytesPerSecond: number;
  readonly peakBytes: number;
}

interface Case {
  readonly what: string;
  readonly ours: Order;
  readonly isCold: boolean;
  readonly wanted: number;
  /** Bytes a second. */
  peer(path: string, seconds: number): Promise<number>;
}

const CASES: readonly Case[] = [
  ...(["awaited, direct", "blocking, direct"] as const).map((ours): Case => ({
    what: `${ours}, beside fio io_uring, 128 KiB, depth 8`,
    ours,
    isCold: true,
    wanted: 0.95,
    peer: runFioSequence,
  })),
  ...(["awaited", "blocking"] as const).map((ours): Case => ({
    what: `${ours}, in the page cache, beside dd bs=128k`,
    ours,
    isCold: false,
    wanted: 0.8,
    peer: runDd,
  })),
  {
    what: "awaited, not in the page cache, beside Deno.FsFile.readable",
    ours: "awaited",
    isCold: true,
    wanted: 1.3,
    peer: runFsFile,
  },
  {
    what: "readable(), in the page cache, beside Deno.FsFile.readable",
    ours: "readable()",
    isCold: false,
    wanted: 2,
    peer: runFsFile,
  },
  {
    what: "readable(), direct, beside fio io_uring, 128 KiB, depth 8",
    ours: "readable(), direct",
    isCold: true,
    wanted: 0.85,
    peer: runFioSequence,
  },
];

async function runFsFile(path: string): Promise<number> {
  return (await runOrder("FsFile.readable", path)).bytesPerSecond;
}

async function runFioSequence(path: string, seconds: number): Promise<number> {
  const job = { path, engine: "io_uring", rw: "read", direct: true, depth: FIO_DEPTH } as const;
  return await runFio({ ...job, blockBytes: PEER_BYTES, seconds }) * PEER_BYTES;
}

async function runDd(path: string): Promise<number> {
  const args = [`if=${path}`, "of=/dev/null", "bs=128k"];
  const { stderr } = await new Deno.Command("dd", { args, env: { LC_ALL: "C" } }).output();
  const found = /([\d.e-]+) s,/.exec(new TextDecoder().decode(stderr));
  return FILE_BYTES / Number(found?.[1]);
}

function runOrder(order: Order, path: string): Promise<Outcome> {
  return runChild<Outcome>(import.meta.filename!, order, path);
}

/** The child's part. */
async function beChild(order: Order, path: string): Promise<void> {
  const seconds = order === "idle"
    ? 1
    : order === "FsFile.readable"
    ? await readFsFile(path)
    : order.startsWith("readable()")
    ? await readWebStream(path, order.endsWith("direct"))
    : await readStream(path, order.startsWith("blocking"), order.endsWith("direct"));
  const status = Deno.readTextFileSync("/proc/self/status");
  const peakBytes = Number(/VmHWM:\s*(\d+) kB/.exec(status)?.[1]) * 1024;
  const outcome: Outcome = { bytesPerSecond: FILE_BYTES / seconds, peakBytes };
  console.log(JSON.stringify(outcome));
}

async function readStream(path: string, isBlocking: boolean, isDirect: boolean): Promise<number> {
  await using aio = await Aio.open();
  await using file = await aio.openFile(path, { direct: isDirect ? "required" : "off" });
  const read = async (until?: number): Promise<number> => {
    await using stream = file.readStream(until === undefined ? {} : { until });
    let bytes = 0;
    if (isBlocking) {
      for (let page; (page = stream.nextSync()) !== null;) bytes += page.bytes.length;
    } else {
      for await (const page of stream) bytes += page.bytes.length;
    }
    return bytes;
  };
  for (let i = 0; i < WARM_UPS; i++) await read(WARM_UP_BLOCKS);
  const start = performance.now();
  return secondsSince(start, await read());
}

async function drain(stream: ReadableStream<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const chunk of stream) bytes += chunk.length;
  return bytes;
}

async function readWebStream(path: string, isDirect: boolean): Promise<number> {
  await using aio = await Aio.open();
  await using file = await aio.openFile(path, { direct: isDirect ? "required" : "off" });
  const length = WARM_UP_BLOCKS * aio.options.pageSize;
  for (let i = 0; i < WARM_UPS; i++) await drain(file.readable({ length }));
  const start = performance.now();
  return secondsSince(start, await drain(file.readable()));
}

async function readFsFile(path: string): Promise<number> {
  using file = await Deno.open(path);
  const start = performance.now();
  return secondsSince(start, await drain(file.readable));
}

function secondsSince(start: number, bytes: number): number {
  if (bytes !== FILE_BYTES) throw new Error(`Read ${bytes} of ${FILE_BYTES} bytes`);
  return (performance.now() - start) / 1000;
}

async function measure(
  { ours, isCold, wanted, peer }: Case,
  path: string,
  cache: PageCache,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<Record<string, unknown>> {
  const mine: number[] = [];
  const theirs: number[] = [];
  let peakBytes = 0;
  for (let round = 0; round < rounds; round++) {
    const own = await onCache(cache, isCold, () => runOrder(ours, path));
    const other = await onCache(cache, isCold, () => peer(path, seconds));
    if (own === null || other === null) continue;
    mine.push(own.bytesPerSecond);
    theirs.push(other);
    peakBytes = Math.max(peakBytes, own.peakBytes);
  }
  const idle = await runOrder("idle", path);
  const spread = ratios(mine, theirs);
  const inGb = (values: readonly number[]) => (figures(values).median / 1e9).toFixed(2);
  return {
    "ours GB/s": inGb(mine),
    "peer GB/s": inGb(theirs),
    "ratio of medians": (figures(mine).median / figures(theirs).median).toFixed(2),
    "rounds": `${spread.min.toFixed(2)} to ${spread.max.toFixed(2)}`,
    wanted,
    "peak MiB": Math.round((peakBytes - idle.peakBytes) / 1024 ** 2),
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: ROUND_OPTIONS });
  if (!await hasFio()) throw new Error("fio is not installed: on Debian, apt-get install fio");
  const plan = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
  console.log(await describeMachine(values.dir));
  await withFile(values.dir, async (path, cache) => {
    const table: Record<string, unknown> = {};
    for (const one of CASES) table[one.what] = await measure(one, path, cache, plan);
    console.table(table);
  });
}

if (import.meta.main) {
  const [child, order, path] = Deno.args;
  if (child === CHILD) await beChild(order as Order, path!);
  else await main();
}
