/**
 * closing_file.ts: the end of an open file in one thread, and of its descriptors with the last
 * user.
 *
 * Closing any descriptor of a file drops the process's POSIX locks on it, and may block for as long
 * as the system writes back. So none is closed before the last user of the file is done, in
 * whichever thread, and then by another thread: by a Worker where closing can fail
 * (call_workers.ts).
 *
 * ```text
 * last user: IO on it is over ─► a duplicate, or ours, is closed: tells the error ─► slot free ─┐
 * thread that opened it:                             Deno's descriptor is closed ◄─ over ◄──────┘
 * ```
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { finishOn, firstOn } from "./closing_fd.ts";
import type { Descriptors } from "./descriptors.ts";
import { shown, systemError } from "../base/errors.ts";
import type { FileCalls } from "../files/file_calls.ts";
import type { AioHandle } from "../io/handle.ts";
import { layersOf } from "./made_layers.ts";
import { SUBMITTED } from "../memory/handle_state.ts";
import { LOOK_AGAIN_MS, LOOKS_UNTIL_CHECK } from "../base/pauses.ts";
import { FILE_FLAGS } from "../files/file_table.ts";
import type { FileSlot } from "../files/file_slot.ts";
import { HANDLE } from "../memory/shared_memory.ts";
import { get, type Steps } from "../base/steps.ts";

/** An open file as one thread has it. */
export interface ClosingFile {
  /** Its path, for errors. */
  readonly path: string;
  /** Its place in the table of open files. */
  readonly slot: FileSlot;
  /** The descriptor of its IO. */
  readonly fd: number;
  /** Deno's descriptor, if this thread opened it; else -1. */
  readonly denosFd: number;
  /** Bits of `FILE_FLAGS`. */
  readonly flags: number;
}

/**
 * Takes this thread's use of a file away, and closes the file if that was the last one. Everything
 * is given back, whatever fails.
 *
 * @throws what the system says of closing it
 */
export function* closingSteps(
  { backend, held }: Descriptors,
  calls: FileCalls,
  file: ClosingFile,
): Steps<void> {
  const { files } = backend;
  if (!files.detach(file.slot.slot)) {
    if (file.denosFd >= 0) held.hold(file.slot, file.denosFd, file.flags);
    return;
  }
  const denosFd = file.denosFd >= 0 ? file.denosFd : held.take(file.slot);
  let result = 0;
  try {
    yield* finish(backend, calls, file);
    // Deno's descriptor shares the locks, and so may a child process that is being started.
    if (files.hasLocks(file.slot.slot)) yield* get(calls.unlockAll(file.fd));
    result = yield* closeDescriptor(backend, calls, file);
  } finally {
    layersOf(backend).closingFile(file.slot.slot);
    files.free(file.slot.slot);
    if (denosFd >= 0) yield* get(calls.closeDenos(denosFd, file.flags));
  }
  if (result >= 0) return;
  throw systemError(-result, `Cannot close ${shown(file.path)} without an error`, {
    syscall: "close",
    path: file.path,
  });
}

/** Waits for all IO on the descriptor, of any thread, and has the method let go of the file. */
function* finish(backend: Backend, calls: FileCalls, { fd, slot }: ClosingFile): Steps<void> {
  if (!calls.areBlocking) yield* awaitAllOn(backend, calls, fd);
  finishOn(backend, fd, [slot.slot]);
}

/** Nobody starts any more, so there is nothing to wait for afterwards. */
function* awaitAllOn(backend: Backend, calls: FileCalls, fd: number): Steps<void> {
  backend.staging.submit();
  for (let waits = 1;; waits++) {
    const handle = firstOn(backend, fd);
    if (handle === null) return;
    backend.log?.io("debug2", handle, `waits for it before descriptor ${fd} is closed`);
    yield* awaitALittle(backend, calls, handle);
    if (waits % LOOKS_UNTIL_CHECK === 0) backend.reapDead("eventLoop");
  }
}

/** An issuer that is refused stays handed out without an operation, so one state is waited for. */
function* awaitALittle(backend: Backend, calls: FileCalls, handle: AioHandle): Steps<void> {
  const { waiting } = backend;
  const ref = { index: handle.index, generation: waiting.generationOf(handle.base) };
  if (Atomics.load(handle.words, handle.base + HANDLE.state) !== SUBMITTED) {
    // Completed by another thread just now, or about to be submitted.
    backend.collect();
    yield* get(calls.pause(LOOK_AGAIN_MS));
    return;
  }
  yield* get(
    new Promise<void>((resolve) => {
      if (waiting.whenDone(ref, { completed: resolve })) resolve();
    }),
  );
}

/**
 * Closes our own descriptor. Of a file that only has Deno's a duplicate is closed: closing Deno's
 * does not tell what went wrong. Where nothing was written there is nothing to report.
 *
 * @returns 0, or -errno
 */
function* closeDescriptor(
  { libc }: Backend,
  calls: FileCalls,
  { fd, flags }: ClosingFile,
): Steps<number> {
  if ((flags & FILE_FLAGS.isDenos) === 0) return yield* get(calls.close(fd, flags));
  if ((flags & FILE_FLAGS.write) === 0) return 0;
  const duplicate = libc.duplicate(fd);
  return duplicate < 0 ? 0 : yield* get(calls.close(duplicate, flags));
}
