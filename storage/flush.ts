/**
 * flush.ts: how `sync`, `syncData` and `flushRange` become IOs of the core.
 *
 * A failed flush is never tried again: the system may have marked the data clean, and a second try
 * would then report a success that is none.
 *
 * @module
 */

import type { AioCore } from "../core/aio.ts";
import { shown, systemError } from "../core/errors.ts";
import type { AioHandle, StartOptions } from "../core/handle.ts";
import { AioReturn } from "../core/result.ts";
import { abortable, waitOrCancel } from "./abortable.ts";

/** Which flush, by the name of its system call, and of what. */
export type Flush =
  | { readonly call: "fsync" | "fdatasync" }
  | { readonly call: "sync_file_range"; readonly offset: number; readonly length: number };

/** What a flush needs of its file. */
export interface FlushFile {
  /** Its path, for errors. */
  readonly path: string;
  /** Starts the flush on a handle. */
  startFlush(handle: AioHandle, flush: Flush, options?: StartOptions): void;
  /** Counts an operation that the descriptor must outlive. */
  begin(): void;
  /** The end of what `begin` counted. */
  end(): void;
}

/** Flushes, awaiting it. @throws what the system says, or the signal's reason */
export async function flush(
  aio: AioCore,
  file: FlushFile,
  what: Flush,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  const done = run(aio, file, what, signal);
  await (signal === undefined ? done : abortable(done, signal));
}

async function run(
  aio: AioCore,
  file: FlushFile,
  what: Flush,
  signal: AbortSignal | undefined,
): Promise<void> {
  const ret = new AioReturn();
  const start = (handle: AioHandle) => {
    const ref = handle.waitRef();
    file.startFlush(handle, what, { submit: "endOfTurn" });
    return ref;
  };
  file.begin();
  try {
    const ref = await aio.acquireAsync(start, null, ret, signal);
    await waitOrCancel(aio, ref, signal);
  } finally {
    file.end();
  }
  check(file, ret, what);
}

/** Flushes, blocking. @throws what the system says */
export function flushSync(aio: AioCore, file: FlushFile, what: Flush): void {
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.setFlag("synchronous");
  try {
    file.startFlush(handle, what);
  } catch (error) {
    if (handle.state === "handedOut") handle.release();
    throw error;
  }
  aio.waitSync(ref);
  check(file, ret, what);
}

function check(file: FlushFile, ret: AioReturn, { call }: Flush): void {
  if (ret.result.status !== "error") return;
  throw systemError(ret.result.errorData, `Cannot sync ${shown(file.path)}`, {
    syscall: call,
    path: file.path,
  });
}
