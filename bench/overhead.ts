/**
 * overhead.ts: what the library costs on top of the system call, and beside Deno's own files.
 *
 * Rows: the core's whole life cycle against a bare `preadv` through the same binding, and with
 * three idle threads attached against without; `readAtSync` against `Deno.FsFile` seekSync +
 * readSync; awaited `readAt` of one task against `Deno.FsFile` seek + read; the heap after a
 * million IOs; timer ticks kept while 32 tasks await cached reads.
 *
 * All reads are of 4 KiB at random places of a 1 GiB file in the page cache, which is read through
 * before each timed run. Contenders take turns; ratios are of the same round.
 *
 * Run: deno task bench
 *
 * @module
 */

import { AioReturn } from "../core/mod.ts";
import { Aio, type AioFile } from "../mod.ts";
import { closeLibc, openLibc } from "../ffi/libc.ts";
import { writeIovec } from "../core/io/operation.ts";
import { alternate, type Figures, figures, ratios } from "./rounds.ts";

const FILE_BYTES = 1024 * 1024 * 1024;
const CHUNK_BYTES = 16 * 1024 * 1024;
const READ_BYTES = 4096;
const BLOCKS = FILE_BYTES / READ_BYTES;
const ROUNDS = 9;
const CORE_CALLS = 1_000_000;
const IDLE_THREADS = 3;
const SYNC_CALLS = 200_000;
const AWAIT_CALLS = 20_000;

declare const gc: (() => void) | undefined;

/** The same sequence of offsets for everybody. */
function offsets(): () => number {
  let state = 12345;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return ((state >>> 0) % BLOCKS) * READ_BYTES;
  };
}

function expect(bytes: number): void {
  if (bytes !== READ_BYTES) throw new Error(`Read ${bytes} bytes instead of ${READ_BYTES}`);
}

interface Row {
  readonly what: string;
  readonly ours: Figures;
  readonly theirs: Figures;
  readonly ratio: Figures;
  readonly wanted: string;
}

function barePreadv(fd: number): { run(calls: number): void; close(): void } {
  const libc = openLibc();
  const memory = new Uint8Array(
    new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer,
  );
  const iovec = new Int32Array(4);
  writeIovec(iovec, 0, libc.addressOf(memory), READ_BYTES);
  const bytes = new Uint8Array(iovec.buffer);
  const offset = new BigInt64Array(1);
  const offsetWords = new Int32Array(offset.buffer);
  const next = offsets();
  return {
    run(calls) {
      for (let i = 0; i < calls; i++) {
        offsetWords[0] = next();
        expect(libc.preadv(fd, bytes, 1, offset[0]!));
      }
    },
    close: () => closeLibc(libc),
  };
}

function coreRead(aio: Aio, file: AioFile): (calls: number) => void {
  const page = aio.alloc(READ_BYTES);
  const ret = new AioReturn();
  const next = offsets();
  return (calls) => {
    for (let i = 0; i < calls; i++) {
      const handle = aio.acquire(null, ret);
      handle.setIovec(page);
      file.startReadv(handle, next());
      expect(ret.result.result);
    }
  };
}

async function coreRow(aio: Aio, file: AioFile, warm: () => void): Promise<Row> {
  const bare = barePreadv(file.fd);
  const contenders = { ours: coreRead(aio, file), theirs: bare.run };
  const { ours, theirs } = await alternate(contenders, ROUNDS, CORE_CALLS, warm);
  bare.close();
  return row("acquire to reclaimed, over bare preadv", ours!, theirs!, "time at most 1.5", false);
}

/** Opens another Aio that three more threads are attached to, which do nothing. */
async function openAccompanied(): Promise<{ aio: Aio; end: () => Promise<void> }> {
  const aio = await Aio.open({ method: "sync" });
  const url = new URL("./idle_worker.ts", import.meta.url);
  const workers = Array.from({ length: IDLE_THREADS }, () => new Worker(url, { type: "module" }));
  const answer = (worker: Worker) =>
    new Promise((resolve) => {
      worker.onmessage = resolve;
    });
  const tell = async (message: unknown) => {
    const answers = workers.map(answer);
    for (const worker of workers) worker.postMessage(message);
    await Promise.all(answers);
  };
  await tell(aio.token);
  const end = async () => {
    await tell("close");
    for (const worker of workers) worker.terminate();
    await aio.close();
  };
  return { aio, end };
}

async function accompaniedRow(
  alone: Aio,
  file: AioFile,
  path: string,
  warm: () => void,
): Promise<Row> {
  const { aio, end } = await openAccompanied();
  const same = await aio.openFile(path);
  const contenders = { ours: coreRead(aio, same), theirs: coreRead(alone, file) };
  const { ours, theirs } = await alternate(contenders, ROUNDS, CORE_CALLS, warm);
  await same.close();
  await end();
  return row("with three idle threads attached, over alone", ours!, theirs!, "time 1", false);
}

async function syncRow(file: AioFile, path: string, warm: () => void): Promise<Row> {
  using deno = Deno.openSync(path);
  const [mine, other] = [offsets(), offsets()];
  const buffer = new Uint8Array(READ_BYTES);
  const { ours, theirs } = await alternate(
    {
      ours(calls) {
        for (let i = 0; i < calls; i++) expect(file.readAtSync(buffer, mine()));
      },
      theirs(calls) {
        for (let i = 0; i < calls; i++) {
          deno.seekSync(other(), Deno.SeekMode.Start);
          expect(deno.readSync(buffer)!);
        }
      },
    },
    ROUNDS,
    SYNC_CALLS,
    warm,
  );
  return row(
    "readAtSync, against FsFile seekSync + readSync",
    ours!,
    theirs!,
    "rate at least 0.6",
    true,
  );
}

async function awaitRow(file: AioFile, path: string, warm: () => void): Promise<Row> {
  using deno = Deno.openSync(path);
  const [mine, other] = [offsets(), offsets()];
  const buffer = new Uint8Array(READ_BYTES);
  const { ours, theirs } = await alternate(
    {
      async ours(calls) {
        for (let i = 0; i < calls; i++) expect(await file.readAt(buffer, mine()));
      },
      async theirs(calls) {
        for (let i = 0; i < calls; i++) {
          await deno.seek(other(), Deno.SeekMode.Start);
          expect((await deno.read(buffer))!);
        }
      },
    },
    ROUNDS,
    AWAIT_CALLS,
    warm,
  );
  return row("await readAt, against FsFile seek + read", ours!, theirs!, "rate at least 3", true);
}

function row(what: string, ours: number[], theirs: number[], wanted: string, isRate: boolean): Row {
  const ratio = isRate ? ratios(theirs, ours) : ratios(ours, theirs);
  return { what, ours: figures(ours), theirs: figures(theirs), ratio, wanted };
}

/** Bytes of heap that stay after a million IOs and a forced collection. */
function heapGrowth(aio: Aio, file: AioFile): number {
  const read = coreRead(aio, file);
  read(CORE_CALLS);
  gc?.();
  const before = Deno.memoryUsage().heapUsed;
  read(CORE_CALLS);
  gc?.();
  return Deno.memoryUsage().heapUsed - before;
}

/** The share of its ticks that a 10 ms interval gets while 32 tasks await cached reads for 2 s. */
async function ticksKept(file: AioFile): Promise<number> {
  const [periodMs, lastsMs] = [10, 2000];
  let ticks = 0;
  const timer = setInterval(() => ticks++, periodMs);
  const end = performance.now() + lastsMs;
  await Promise.all(Array.from({ length: 32 }, async () => {
    const buffer = new Uint8Array(READ_BYTES);
    const next = offsets();
    while (performance.now() < end) expect(await file.readAt(buffer, next()));
  }));
  clearInterval(timer);
  return ticks / (lastsMs / periodMs);
}

async function makeFile(path: string): Promise<void> {
  using file = await Deno.open(path, { write: true });
  const chunk = new Uint8Array(CHUNK_BYTES).fill(1);
  for (let bytes = 0; bytes < FILE_BYTES; bytes += CHUNK_BYTES) {
    for (let done = 0; done < CHUNK_BYTES;) done += await file.write(chunk.subarray(done));
  }
}

/**
 * Reads all of the file, so that a timed run finds it in the page cache, whatever was reclaimed.
 */
function warmer(path: string): () => void {
  const chunk = new Uint8Array(CHUNK_BYTES);
  return () => {
    using file = Deno.openSync(path);
    while (file.readSync(chunk) !== null);
  };
}

async function main(): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "aio-bench-" });
  try {
    await makeFile(path);
    await using aio = await Aio.open({ method: "sync" });
    await using file = await aio.openFile(path);
    const warm = warmer(path);
    const rows = [
      await coreRow(aio, file, warm),
      await accompaniedRow(aio, file, path, warm),
      await syncRow(file, path, warm),
      await awaitRow(file, path, warm),
    ];
    console.table(Object.fromEntries(rows.map(({ what, ours, theirs, ratio, wanted }) => [what, {
      "ours ns": Math.round(ours.median),
      "theirs ns": Math.round(theirs.median),
      ratio: ratio.median.toFixed(2),
      spread: `${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)}`,
      wanted,
    }])));
    const heap = gc === undefined ? "run with --v8-flags=--expose-gc" : heapGrowth(aio, file);
    console.log(`Heap after ${CORE_CALLS} IOs: ${heap} bytes more (wanted: at most 65536)`);
    const ticks = await ticksKept(file);
    console.log(`Ticks kept while 32 tasks await cached reads: ${ticks.toFixed(2)} (wanted: 0.8)`);
  } finally {
    await Deno.remove(path);
  }
}

if (import.meta.main) await main();
