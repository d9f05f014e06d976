/**
 * record_io.ts: runs a program and records what it has its files told, for crash_states.ts.
 *
 * @module
 */

import type { AioCore, AioOptions, IoMethod } from "../core/mod.ts";
import { closeLibc, openLibc } from "../ffi/libc.ts";
import { METHODS } from "../methods/registry.ts";
import { Aio } from "../storage/mod.ts";
import { watchDeno, watchLibrary } from "./calls_seen.ts";
import type { CrashState } from "./crash_state.ts";
import { DescriptorsSeen } from "./descriptors_seen.ts";
import { Interposed } from "./interpose.ts";
import { watchIo } from "./io_seen.ts";
import { ObservedFiles, readTree } from "./observed_files.ts";
import { type Recording, recordingOf } from "./recording.ts";

/** What a recorded program has beside its `Aio` and its directory. */
export interface IoRecorder<T> {
  /**
   * Notes that the program has reached something, such as an acknowledged record: a state of its
   * files after that has it in `acknowledged`.
   */
  mark(value: T): void;
  /** Records the IO of another `Aio` of this thread, too: one that the program opens itself. */
  watch(aio: AioCore): void;
}

/** A program that is recorded. */
export type RecordedProgram<T> = (
  aio: Aio,
  directory: string,
  recorder: IoRecorder<T>,
) => void | Promise<void>;

/** How a program is recorded. */
export interface RecordOptions<T> {
  /** What the power cut before has left: the program begins with these files. Default: none. */
  readonly from?: CrashState<T> | undefined;
  /** What its `Aio` is opened with. Default: the defaults. */
  readonly aio?: AioOptions | undefined;
  /** The methods there are, the best first. Default: those of this version. */
  readonly methods?: readonly IoMethod[] | undefined;
  /** Where its directory is made. Default: the system's place for temporary files. */
  readonly parent?: string | undefined;
}

let isRecording = false;

/**
 * Runs a program in a directory of its own, which is removed afterwards, and records all that it
 * writes and flushes there. Its `Aio` is closed behind it.
 *
 * What this thread does is seen: by the `Aio`, and names that are made, changed and removed by Deno
 * or by it. At the end the files are compared with what was seen.
 *
 * @param program gets an `Aio`, the path of the directory, and the recorder
 * @param options where it begins, and with what
 * @throws what the program throws
 * @throws {Error} if the program did something to its files that was not seen, naming the file
 * @throws {Deno.errors.NotSupported} on a system other than Linux
 * @throws {Deno.errors.Busy} while another program of this thread is recorded
 */
export async function recordIo<T = unknown>(
  program: RecordedProgram<T>,
  options: RecordOptions<T> = {},
): Promise<Recording<T>> {
  if (Deno.build.os !== "linux") {
    throw new Deno.errors.NotSupported("Cannot record IO: only the /proc of Linux tells enough");
  }
  if (isRecording) throw new Deno.errors.Busy("Cannot record IO: another recording is under way");
  isRecording = true;
  const { parent } = options;
  const made = await Deno.makeTempDir({ prefix: "aio-", ...(parent && { dir: parent }) });
  try {
    return await record(await Deno.realPath(made), program, options);
  } finally {
    isRecording = false;
    await Deno.remove(made, { recursive: true });
  }
}

async function record<T>(
  directory: string,
  program: RecordedProgram<T>,
  { from, aio: aioOptions, methods = METHODS }: RecordOptions<T>,
): Promise<Recording<T>> {
  await from?.writeTo(directory);
  const files = new ObservedFiles(await readTree(directory));
  const marks: T[] = [...from?.acknowledged ?? []];
  const marksBefore = marks.length;
  using watched = new DisposableStack();
  const libc = openLibc(aioOptions?.libraries?.libc);
  try {
    const descriptors = new DescriptorsSeen(files, directory);
    using hooks = new Interposed();
    watchLibrary(hooks, { libc, files, descriptors, directory });
    watchDeno(hooks, { libc, files, descriptors, directory });
    await using aio = await Aio.open(aioOptions, methods);
    const recorder: IoRecorder<T> = {
      mark(value) {
        marks.push(value);
        files.mark();
      },
      watch: (aio) => watched.defer(watchIo(aio, { libc, files, descriptors })),
    };
    recorder.watch(aio);
    await program(aio, directory, recorder);
  } finally {
    closeLibc(libc);
  }
  files.check(await readTree(directory));
  const { base, changes, steps } = files;
  return recordingOf({ base, changes, steps, marks, marksBefore });
}
