/**
 * deno_contenders.ts: what Deno has today: `Deno.FsFile`, and `node:fs`.
 *
 * @module
 */

import fs from "node:fs";
import { open } from "node:fs/promises";
import {
  type ByManner,
  type Contender,
  expectBytes,
  type NextOffset,
  offsetsOf,
  runBlocking,
  runTasks,
  TASKS,
  type Workload,
} from "./contender.ts";

/** What the verdict calls them. */
const FS_FILE = "Deno.FsFile";
const NODE = "node:fs";

/** A file with a position, which is moved only where the next read is not there already. */
class PositionedFile {
  readonly #file: Deno.FsFile;
  readonly #buffer: Uint8Array;
  readonly #workload: Workload;
  #position = 0;

  constructor(file: Deno.FsFile, workload: Workload) {
    this.#file = file;
    this.#workload = workload;
    this.#buffer = new Uint8Array(workload.readBytes);
  }

  async read(offset: number): Promise<void> {
    if (offset !== this.#position) await this.#file.seek(offset, Deno.SeekMode.Start);
    expectBytes(this.#workload, await this.#file.read(this.#buffer));
    this.#position = offset + this.#workload.readBytes;
  }

  readSync(offset: number): void {
    if (offset !== this.#position) this.#file.seekSync(offset, Deno.SeekMode.Start);
    expectBytes(this.#workload, this.#file.readSync(this.#buffer));
    this.#position = offset + this.#workload.readBytes;
  }
}

/**
 * Opens what Deno has.
 *
 * @param workload what is read
 * @param resources closes what is opened here
 * @returns the contenders by manner; the first of each is the measure
 */
export async function denoContenders(
  workload: Workload,
  resources: AsyncDisposableStack,
): Promise<ByManner> {
  const files: PositionedFile[] = [];
  for (let i = 0; i < TASKS; i++) {
    const file = resources.use(await Deno.open(workload.path));
    files.push(new PositionedFile(file, workload));
  }
  const next = offsetsOf(workload);
  const first = files[0]!;
  const node = await nodeContenders(workload, resources);
  return {
    tasks: [{
      name: "Deno.FsFile seek + read, a file per task",
      inVerdict: FS_FILE,
      run: (until) => runTasks(TASKS, until, (task) => files[task]!.read(next())),
    }, ...node.tasks],
    oneTask: [{
      name: workload.isSequential ? "Deno.FsFile read" : "Deno.FsFile seek + read",
      inVerdict: FS_FILE,
      run: (until) => runTasks(1, until, () => first.read(next())),
    }, ...node.oneTask],
    blocking: [{
      name: workload.isSequential ? "Deno.FsFile readSync" : "Deno.FsFile seekSync + readSync",
      inVerdict: FS_FILE,
      run: (until) => runBlocking(until, () => first.readSync(next())),
    }, ...node.blocking],
  };
}

async function nodeContenders(
  workload: Workload,
  resources: AsyncDisposableStack,
): Promise<ByManner> {
  const handle = await open(workload.path);
  resources.defer(() => handle.close());
  const next = offsetsOf(workload);
  const { readBytes } = workload;
  const buffers = Array.from({ length: TASKS }, () => new Uint8Array(readBytes));
  const readPromise = async (task: number): Promise<void> => {
    const { bytesRead } = await handle.read(buffers[task]!, 0, readBytes, next());
    expectBytes(workload, bytesRead);
  };
  const readSync = (): void => {
    expectBytes(workload, fs.readSync(handle.fd, buffers[0]!, 0, readBytes, next()));
  };
  const awaited = (tasks: number): Contender[] => [{
    name: "node:fs/promises FileHandle.read",
    inVerdict: NODE,
    run: (until) => runTasks(tasks, until, readPromise),
  }, {
    name: "node:fs read, callbacks",
    run: (until) => runCallbacks(workload, handle.fd, buffers.slice(0, tasks), next, until),
  }];
  return {
    tasks: awaited(TASKS),
    oneTask: awaited(1),
    blocking: [{
      name: "node:fs readSync",
      inVerdict: NODE,
      run: (until) => runBlocking(until, readSync),
    }],
  };
}

/** Keeps one read going in each buffer, each started by the callback of the one before. */
function runCallbacks(
  workload: Workload,
  fd: number,
  buffers: readonly Uint8Array[],
  next: NextOffset,
  until: number,
): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let reads = 0;
  let running = buffers.length;
  const readNext = (buffer: Uint8Array): void => {
    if (performance.now() >= until) {
      running--;
      if (running === 0) resolve(reads);
      return;
    }
    fs.read(fd, buffer, 0, workload.readBytes, next(), (error, bytes) => {
      if (error !== null) return reject(error);
      try {
        expectBytes(workload, bytes);
      } catch (short) {
        return reject(short);
      }
      reads++;
      readNext(buffer);
    });
  };
  for (const buffer of buffers) readNext(buffer);
  return promise;
}
