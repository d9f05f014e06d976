/**
 * pool.ts: a buffer pool over a file of 1 GiB, beside fio, `Map.get` and bare `readAt`.
 *
 * Ours and the peer alternate, each in a process of its own whose code is compiled by then; ratios
 * are of the same run. Before each run past the page cache that is dropped.
 *
 * Run: deno task bench:pool [--rounds N] [--seconds N] [--dir DIR]
 *
 * @module
 */

import { parseArgs } from "node:util";
import { FILE_BYTES, onCache, withFile } from "./batches.ts";
import { type Contender, denoContender, fio } from "./compare/contender.ts";
import { hasFio } from "./fio.ts";
import { describeMachine } from "./machine.ts";
import type { PageCache } from "./page_cache.ts";
import { figures, ratios, ROUND_OPTIONS } from "./rounds.ts";

const DEPTH = 32;
const PAGE_BYTES = 4096;
const STREAM_PAGE_BYTES = 8192;
const SEQUENTIAL = { blockBytes: 128 * 1024, depth: 8 } as const;

/** One row of the table. */
interface Case {
  readonly what: string;
  readonly ours: (path: string) => Contender;
  readonly peer: (path: string) => Contender;
  /** What one IO of the peer is worth in ours. */
  readonly peerUnits?: number;
  readonly isDirect: boolean;
  readonly wanted: number;
}

function own(what: string): (path: string) => Contender {
  return (path) => denoContender(what, "../pool/pool_child.ts", [what, path, String(FILE_BYTES)]);
}

const DIRECT_FIO = { engine: "io_uring", direct: true } as const;

const CASES: readonly Case[] = [
  ...[1024, 65_536].map((pages): Case => ({
    what: `hit, ${pages} pages, beside Map.get`,
    ours: own(`hits, ${pages} pages`),
    peer: own(`Map.get, ${pages}`),
    isDirect: false,
    wanted: pages === 1024 ? 0.3 : 0.2,
  })),
  {
    what: "hit, four threads, beside one",
    ours: own("hits, four threads"),
    peer: own("hits, 1024 pages"),
    isDirect: false,
    wanted: 1.7,
  },
  {
    what: "random reads, 1 % hits, O_DIRECT, 32 tasks, beside readAt",
    ours: own("random reads"),
    peer: own("bare readAt"),
    isDirect: true,
    wanted: 0.9,
  },
  {
    what: "stream through 64 MiB, O_DIRECT, beside fio io_uring, 128 KiB, depth 8",
    ours: own("stream"),
    peer: (path) => fio("fio", { path, ...DIRECT_FIO, rw: "read", ...SEQUENTIAL }),
    peerUnits: SEQUENTIAL.blockBytes / STREAM_PAGE_BYTES,
    isDirect: true,
    wanted: 0.85,
  },
  {
    what: "eviction of changed pages, random, 32 tasks, beside fio randwrite",
    ours: own("dirty evictions"),
    peer: (path) =>
      fio("fio", {
        path,
        ...DIRECT_FIO,
        rw: "randwrite",
        blockBytes: PAGE_BYTES,
        depth: DEPTH,
      }),
    isDirect: true,
    wanted: 0.7,
  },
];

async function measure(
  { ours, peer, peerUnits = 1, isDirect, wanted }: Case,
  path: string,
  cache: PageCache,
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
): Promise<Record<string, unknown>> {
  await using mine = ours(path);
  await using theirs = peer(path);
  const results = { ours: [] as number[], peer: [] as number[], ownCpu: 0, peerCpu: 0 };
  // The first round has the code compiled.
  for (let round = -1; round < rounds; round++) {
    const run = (contender: Contender) => () => contender.run(seconds);
    const one = isDirect ? await onCache(cache, true, run(mine)) : await mine.run(seconds);
    const other = isDirect ? await onCache(cache, true, run(theirs)) : await theirs.run(seconds);
    if (round < 0 || one === null || other === null) continue;
    results.ours.push(one.iops);
    results.peer.push(other.iops * peerUnits);
    results.ownCpu = one.cpuUs;
    results.peerCpu = other.cpuUs / peerUnits;
  }
  const spread = ratios(results.ours, results.peer);
  const [own, other] = [figures(results.ours).median, figures(results.peer).median];
  return {
    "ours k/s": Math.round(own / 1000),
    "peer k/s": Math.round(other / 1000),
    "ratio of medians": (own / other).toFixed(2),
    "rounds": `${spread.min.toFixed(2)} to ${spread.max.toFixed(2)}`,
    wanted,
    "ours µs of processor": results.ownCpu.toFixed(1),
    "peer's": results.peerCpu.toFixed(1),
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: ROUND_OPTIONS });
  if (!await hasFio()) throw new Error("fio is not installed: on Debian, apt-get install fio");
  const plan = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
  console.log(await describeMachine(values.dir));
  await withFile(values.dir, async (path, cache) => {
    const table: Record<string, unknown> = {};
    for (const one of CASES) {
      table[one.what] = await measure(one, path, cache, plan);
      console.error(one.what);
    }
    console.table(table);
  });
}

await main();
