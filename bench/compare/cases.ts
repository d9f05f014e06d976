/**
 * cases.ts: what compare.ts measures: groups of contenders that take turns on the same file in the
 * same state, and the rows that set one of them beside another.
 *
 * @module
 */

import { ChildContender, type Contender, denoContender, fio, ours } from "./contender.ts";
import type { FioJob } from "../fio.ts";
import type { OursOrder } from "./ours.ts";

/** One row of the table. */
export interface Row {
  readonly what: string;
  /** Names of contenders of the group. */
  readonly ours: string;
  readonly peer: string;
  /** The ratio that is wanted at least. */
  readonly wanted: number;
  /** The ratio of processor time an IO that is wanted at most; left out: any. */
  readonly processorMax?: number;
  /** Of one IO; {@linkcode BLOCK_BYTES} where it is not said. */
  readonly blockBytes?: number;
}

/** Contenders that take turns. */
export interface Group {
  readonly name: string;
  /** Whether the page cache is dropped before each run; else it is warmed. */
  readonly direct: boolean;
  /** Makes them; null: it is not installed. */
  readonly contenders: Readonly<Record<string, (() => Contender) | null>>;
  readonly rows: readonly Row[];
}

/** What is there to compare with. */
export interface Peers {
  /** Whether fio is installed. */
  readonly hasFio: boolean;
  /** Where Node.js is; null: it is not installed. */
  readonly node: string | null;
}

/** Of one IO, unless said otherwise. */
export const BLOCK_BYTES = 4096;
const TASKS = 32;
const CACHED = "ours, arena";
const MANY = "ours, readAtMany";
const USERS = "ours, a user's loop";
const PLAIN = "ours, plain memory";
const OURS = "ours";
const POOL = "ours, pool";
const SMALL_PAGES = "pages of 4 KiB";
const PSYNC = "fio psync";
const PSYNC_THREADS = "fio psync, 16 threads";
/** Workers of the rows past the page cache. */
const MANY_WORKERS = 16;
const SEQUENTIAL_BYTES = 128 * 1024;
const SEQUENTIAL_DEPTH = 8;
const FIO = "fio io_uring";
const NATIVE = "ours, linux_aio";
const LIBAIO = "fio libaio";
const COMMIT = "ours, write and syncData";
const DURABLE = "ours, durable";
const NODE_COMMIT = "Node.js fs.write, fs.fdatasync";
/** Of a record that is committed. */
const RECORD_BYTES = 128;
const DENO_FILE = "Deno.FsFile";
const NODE_IN_DENO = "node:fs in Deno";
const NODE = "Node.js fs.read";

/** Cached reads in blocks of the arena by io_uring: the others differ from it. */
function plainOrder(path: string, fileBytes: number): OursOrder {
  return {
    path,
    fileBytes,
    blockBytes: BLOCK_BYTES,
    tasks: TASKS,
    method: "io_uring",
    direct: false,
    writes: false,
    isPlain: false,
    isMany: false,
    commits: null,
    isUsers: false,
    isSequential: false,
    hasSmallPages: false,
    workers: null,
    isAllPooled: false,
    ticks: false,
  };
}

/** All groups, on one file. */
export function groupsOn(path: string, fileBytes: number, { hasFio, node }: Peers): Group[] {
  const plain = plainOrder(path, fileBytes);
  const own = (name: string, more: Partial<OursOrder> = {}) => () =>
    ours(name, { ...plain, ...more });
  const withFio = (direct: boolean, depth: number, more: Partial<FioJob> = {}, name = FIO) => {
    const job = {
      path,
      engine: "io_uring",
      rw: "randread",
      direct,
      depth,
      blockBytes: BLOCK_BYTES,
      ...more,
    } as const;
    return hasFio ? () => fio(name, job) : null;
  };
  const sequence = {
    direct: true,
    tasks: SEQUENTIAL_DEPTH,
    blockBytes: SEQUENTIAL_BYTES,
    isSequential: true,
  };
  const records = { tasks: 1, writes: true, blockBytes: RECORD_BYTES, isSequential: true };
  const nodeCommit = new URL("./node_commit.mjs", import.meta.url).pathname;
  const commitArgs = [nodeCommit, path, String(fileBytes), String(RECORD_BYTES)];
  const peerArgs = (tasks: number) => [path, ...[fileBytes, tasks, BLOCK_BYTES].map(String)];
  const denoFile = (tasks: number) => () =>
    denoContender(DENO_FILE, "./deno_file.ts", peerArgs(tasks));
  const nodeFs = new URL("./node_fs.mjs", import.meta.url).pathname;
  return [
    {
      name: "32 tasks, page cache",
      direct: false,
      contenders: {
        [CACHED]: own(CACHED),
        [MANY]: own(MANY, { isMany: true }),
        [USERS]: own(USERS, { isUsers: true }),
        [PLAIN]: own(PLAIN, { isPlain: true }),
        [POOL]: own(POOL, { method: "worker" }),
        [FIO]: withFio(false, TASKS),
        [DENO_FILE]: denoFile(TASKS),
        [NODE_IN_DENO]: () => denoContender(NODE_IN_DENO, "./node_fs.mjs", peerArgs(TASKS)),
        [NODE]: node === null
          ? null
          : () => new ChildContender(NODE, node, [nodeFs, ...peerArgs(TASKS)]),
      },
      rows: [
        { what: "32 tasks await readAt, page cache", ours: CACHED, peer: FIO, wanted: 1 },
        {
          what: "the same with a clock and a random number a read",
          ours: USERS,
          peer: FIO,
          wanted: 0.9,
        },
        { what: "32 tasks await readAt, page cache", ours: CACHED, peer: DENO_FILE, wanted: 8 },
        { what: "32 tasks await readAt, page cache", ours: CACHED, peer: NODE_IN_DENO, wanted: 20 },
        { what: "32 tasks await readAt, page cache", ours: CACHED, peer: NODE, wanted: 2 },
        { what: "readAtMany of 32, page cache", ours: MANY, peer: FIO, wanted: 1.1 },
        { what: "32 tasks, plain Uint8Array, page cache", ours: PLAIN, peer: FIO, wanted: 0.85 },
        { what: "worker: 32 tasks, page cache", ours: POOL, peer: DENO_FILE, wanted: 3 },
      ],
    },
    {
      name: "1 task, page cache",
      direct: false,
      contenders: {
        [OURS]: own(OURS, { tasks: 1 }),
        [POOL]: own(POOL, { tasks: 1, method: "worker" }),
        [DENO_FILE]: denoFile(1),
      },
      rows: [
        { what: "1 task awaits readAt, page cache", ours: OURS, peer: DENO_FILE, wanted: 10 },
        { what: "worker: 1 task, page cache", ours: POOL, peer: DENO_FILE, wanted: 3 },
      ],
    },
    {
      name: "32 tasks, O_DIRECT",
      direct: true,
      contenders: {
        [OURS]: own(OURS, { direct: true }),
        [POOL]: own(POOL, { direct: true, method: "worker", workers: MANY_WORKERS }),
        [NATIVE]: own(NATIVE, { direct: true, method: "linux_aio" }),
        [FIO]: withFio(true, TASKS),
        [LIBAIO]: withFio(true, TASKS, { engine: "libaio" }, LIBAIO),
        [PSYNC]: withFio(true, 1, { engine: "psync" }, PSYNC),
        [PSYNC_THREADS]: withFio(
          true,
          1,
          { engine: "psync", threads: MANY_WORKERS },
          PSYNC_THREADS,
        ),
      },
      rows: [
        {
          what: "32 tasks await readAt, O_DIRECT",
          ours: OURS,
          peer: FIO,
          wanted: 0.95,
          processorMax: 1.8,
        },
        { what: "linux_aio: 32 tasks, O_DIRECT", ours: NATIVE, peer: LIBAIO, wanted: 0.85 },
        { what: "worker: 32 tasks, O_DIRECT, 16 Workers", ours: POOL, peer: FIO, wanted: 0.75 },
        { what: "worker: 32 tasks, O_DIRECT, 16 Workers", ours: POOL, peer: PSYNC, wanted: 4 },
        // What a pool of 16 can reach: the same calls without one.
        {
          what: "worker: 32 tasks, O_DIRECT, 16 Workers",
          ours: POOL,
          peer: PSYNC_THREADS,
          wanted: 0.8,
          processorMax: 1.5,
        },
      ],
    },
    {
      name: "1 task, O_DIRECT",
      direct: true,
      contenders: {
        [OURS]: own(OURS, { direct: true, tasks: 1 }),
        [NATIVE]: own(NATIVE, { direct: true, tasks: 1, method: "linux_aio" }),
        [FIO]: withFio(true, 1),
        [LIBAIO]: withFio(true, 1, { engine: "libaio" }, LIBAIO),
      },
      rows: [
        {
          what: "1 task awaits readAt, O_DIRECT",
          ours: OURS,
          peer: FIO,
          wanted: 0.9,
          processorMax: 1.5,
        },
        { what: "linux_aio: 1 task, O_DIRECT", ours: NATIVE, peer: LIBAIO, wanted: 0.9 },
      ],
    },
    {
      name: "32 tasks, writes, O_DIRECT",
      direct: true,
      contenders: {
        [OURS]: own(OURS, { direct: true, writes: true }),
        [FIO]: withFio(true, TASKS, { rw: "randwrite" }),
      },
      rows: [{ what: "32 tasks await writeAt, O_DIRECT", ours: OURS, peer: FIO, wanted: 0.95 }],
    },
    {
      name: "commits, one at a time",
      direct: false,
      contenders: {
        [COMMIT]: own(COMMIT, { ...records, commits: "flush" }),
        [DURABLE]: own(DURABLE, { ...records, commits: "durable" }),
        [NODE_COMMIT]: node === null
          ? null
          : () => new ChildContender(NODE_COMMIT, node, commitArgs),
      },
      rows: [
        {
          what: "write and syncData, one at a time",
          ours: COMMIT,
          peer: NODE_COMMIT,
          wanted: 0.8,
          processorMax: 1,
          blockBytes: RECORD_BYTES,
        },
        {
          what: "durable write, one at a time",
          ours: DURABLE,
          peer: COMMIT,
          wanted: 1,
          blockBytes: RECORD_BYTES,
        },
      ],
    },
    {
      name: "8 tasks in sequence, O_DIRECT",
      direct: true,
      contenders: {
        [OURS]: own(OURS, sequence),
        [POOL]: own(POOL, { ...sequence, method: "worker" }),
        [SMALL_PAGES]: own(SMALL_PAGES, { ...sequence, method: "worker", hasSmallPages: true }),
        [FIO]: withFio(true, SEQUENTIAL_DEPTH, { rw: "read", blockBytes: SEQUENTIAL_BYTES }),
      },
      rows: [
        {
          what: "128 KiB in sequence, 8 tasks, O_DIRECT",
          ours: OURS,
          peer: FIO,
          wanted: 0.9,
          blockBytes: SEQUENTIAL_BYTES,
        },
        {
          what: "worker: 128 KiB in sequence, 8 tasks, O_DIRECT",
          ours: POOL,
          peer: FIO,
          wanted: 0.85,
          blockBytes: SEQUENTIAL_BYTES,
        },
        {
          what: "worker: 128 KiB in sequence, 8 tasks, O_DIRECT",
          ours: POOL,
          peer: SMALL_PAGES,
          wanted: 1,
          blockBytes: SEQUENTIAL_BYTES,
        },
      ],
    },
    {
      name: "worker: 32 and 8 Workers, page cache",
      direct: false,
      contenders: {
        "32 Workers": own("32 Workers", { method: "worker", workers: 32 }),
        "8 Workers": own("8 Workers", { method: "worker", workers: 8 }),
        "32 Workers, all": own("32 Workers, all", {
          method: "worker",
          workers: 32,
          isAllPooled: true,
        }),
        "8 Workers, all": own("8 Workers, all", {
          method: "worker",
          workers: 8,
          isAllPooled: true,
        }),
      },
      rows: [
        {
          what: "worker: 32 Workers, page cache",
          ours: "32 Workers",
          peer: "8 Workers",
          wanted: 0.9,
        },
        {
          what: "worker: 32 Workers, all by the pool",
          ours: "32 Workers, all",
          peer: "8 Workers, all",
          wanted: 0.9,
        },
      ],
    },
  ];
}

/** Those whose ticks are counted, by method. */
export function tickingOn(
  path: string,
  fileBytes: number,
  methods: readonly string[],
): Contender[] {
  const plain = plainOrder(path, fileBytes);
  return methods.map((method) => ours(method, { ...plain, method, ticks: true }));
}
