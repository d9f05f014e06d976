/**
 * uring_program.ts: reads that are started and forgotten: nobody holds their handles, their buffers
 * or what they would have resolved, and what was freed is filled with sentinels (`sentinel.ts`)
 * before the kernel is done with them. Prints a {@linkcode UringReport} as JSON.
 *
 * Arguments: what to read, the form of the ring, the path of a file, a seed, how many reads.
 * `files` are read into memory of all kinds; `pipes` stay in the kernel until all is forgotten and
 * collected; `left` is the same without an end: nobody closes anything. `canary` points a read at
 * plain memory by force, so that it must be found.
 *
 * @module
 */

import { backendOf } from "../../../core/inside.ts";
import { writeIovec } from "../../../core/io/operation.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { createIoUringMethod } from "../../../methods/io_uring.ts";
import type { RingForm } from "../../../methods/io_uring/setup.ts";
import { Aio } from "../../../mod.ts";
import type { AioFile } from "../../../mod.ts";
import { Prng } from "../prng.ts";
import { collect, issueAndForget, KINDS, Sentinels } from "../sentinel/sentinel.ts";
import { Pipe } from "./uring.ts";

/** Handles that there are. */
export const HANDLES = 1024;

/** What the program does. */
export type UringTask = "files" | "pipes" | "left" | "canary";

/** What it prints. */
export interface UringReport {
  /** Reads that were in the kernel when all memory had been collected. */
  readonly late: number;
  /** Bytes that all reads brought. */
  readonly bytesRead: number;
  /** Handles that were idle at the end. */
  readonly idle: number;
  readonly sentinelBytes: number;
  /** Sentinels that had another byte than the pattern at the end. */
  readonly changed: number;
}

/** What the program works with. */
interface Work {
  readonly aio: Aio;
  readonly file: AioFile;
  readonly pipe: Pipe;
  /** How many reads are forgotten. */
  readonly reads: number;
  readonly sentinels: Sentinels;
}

/** Bytes of a read; one write to a pipe brings as many. */
export const READ_BYTES = 16_384;
/** Room for all at once: what is read into plain memory goes through it. */
const ARENA_BYTES = 160 * 1_048_576;
const SENTINEL_BYTES = 8 * 1_048_576;
const GROUPS = 10;
const ATTEMPTS_MAX = 50;
const SENTINELS_PER_ATTEMPT = 300;
const LAYERS = new URL("../../core/fixtures/layers.ts", import.meta.url);

function openAio(form: RingForm): Promise<Aio> {
  return Aio.open({
    method: "io_uring",
    arenaBytes: ARENA_BYTES,
    maxConcurrency: HANDLES,
    callbackModules: [LAYERS],
    // Each read of the file is to be an IO.
  }, [{ ...createIoUringMethod(form), copiesCached: false }]);
}

function startPipeRead(aio: Aio, fd: number, view: Uint8Array): number {
  const handle = aio.acquire();
  handle.setIovec(view);
  handle.setTarget(aio.targetId("page"));
  handle.startReadv(fd, 0);
  return handle.index;
}

function adopt(aio: Aio): Uint8Array {
  const memory = new SharedArrayBuffer(READ_BYTES);
  aio.adoptMemory(memory);
  return new Uint8Array(memory);
}

/** Starts reads into memory of so many kinds by turns, and holds nothing of them afterwards. */
function forgetPipeReads(work: Work, kinds: number): void {
  const { aio, file, pipe: { fd }, reads } = work;
  for (let i = 0; i < reads; i++) {
    if (i % kinds === 0) startPipeRead(aio, fd, aio.alloc(READ_BYTES));
    else if (i % kinds === 1) startPipeRead(aio, fd, adopt(aio));
    else forgetPlainRead(aio, file, fd);
  }
}

/**
 * Starts a read of the file into plain memory, then puts the pipe in the place of the file's
 * descriptor, as no `AioFile` can be a pipe.
 */
function forgetPlainRead(aio: Aio, file: AioFile, fd: number): void {
  const { control } = backendOf(aio);
  aio.batch(() => {
    file.readAt(new Uint8Array(READ_BYTES), 0);
    for (let index = 0; index < HANDLES; index++) {
      const handle = backendOf(aio).handleOf(index);
      if (handle.state === "staged") control.words[handle.base + HANDLE.fd] = fd;
    }
  });
}

/** Points the kernel itself at memory that was freed, and is a sentinel's by now. */
function forceRead(aio: Aio, fd: number, address: number): void {
  const { control } = backendOf(aio);
  aio.batch(() => {
    const index = startPipeRead(aio, fd, aio.alloc(READ_BYTES));
    writeIovec(control.words, control.iovecAt(index), address, READ_BYTES);
  });
}

/** A function of its own, so that nothing holds the memory. */
function addressOfForgotten(aio: Aio): number {
  return backendOf(aio).libc.addressOf(new Uint8Array(READ_BYTES));
}

/**
 * Where plain memory was and a sentinel is. Now and then somebody else is faster, and takes a
 * place.
 */
function findReused(aio: Aio, sentinels: Sentinels): number {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const address = addressOfForgotten(aio);
    collect();
    for (let made = 0; made < SENTINELS_PER_ATTEMPT; made++) {
      if (backendOf(aio).libc.addressOf(sentinels.add(READ_BYTES)) === address) return address;
    }
  }
  throw new Error("No sentinel came where memory had been");
}

/** Waits for all that is in the kernel. */
async function endAll(aio: Aio): Promise<void> {
  const backend = backendOf(aio);
  for (let ref = backend.oldestInFlight(); ref !== null; ref = backend.oldestInFlight()) {
    await aio.wait(ref);
  }
}

/** @returns how many reads were late; there may be none */
function runFiles({ aio, file, reads, sentinels }: Work, random: Prng): number {
  for (let group = 0; group < GROUPS; group++) {
    issueAndForget(aio, file, random, reads / KINDS.length / GROUPS);
    sentinels.addOfEachSize(SENTINEL_BYTES / GROUPS);
  }
  return 0;
}

function runPipes(work: Work, task: UringTask): number {
  const { aio, pipe, reads, sentinels } = work;
  if (task === "canary") forceRead(aio, pipe.fd, findReused(aio, sentinels));
  // A file's own read is awaited by the file, which would keep the program running.
  else forgetPipeReads(work, task === "left" ? 2 : 3);
  aio.submitStaged();
  collect();
  for (let made = 0; made < reads; made++) sentinels.add(READ_BYTES);
  sentinels.addOfEachSize(SENTINEL_BYTES);
  collect();
  const late = backendOf(aio).inFlightCount;
  if (task !== "left") { for (let i = 0; i < late; i++) pipe.feed(READ_BYTES); }
  return late;
}

async function main(): Promise<void> {
  const [task, form, path, seed, reads] = Deno.args as [UringTask, RingForm, ...string[]];
  const aio = await openAio(form);
  const backend = backendOf(aio);
  const file = await aio.openFile(path!);
  const pipe = await Pipe.open();
  const sentinels = new Sentinels();
  const work: Work = { aio, file, pipe, reads: Number(reads), sentinels };
  const late = task === "files" ? runFiles(work, new Prng(Number(seed))) : runPipes(work, task);
  const isEnding = task !== "left";
  // The file waits for reads that it has not started yet, too.
  if (isEnding) await file.close();
  if (isEnding) await endAll(aio);
  collect();
  const report: UringReport = {
    late,
    idle: backend.idleCount,
    bytesRead: aio.backends()[0]!.counters.bytesRead,
    sentinelBytes: sentinels.bytes,
    changed: sentinels.changed(),
  };
  if (isEnding) await aio.close();
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(report)));
}

if (import.meta.main) await main();
