/**
 * flush.ts: how `sync` and `syncData` become IOs of the core.
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
import { abortable } from "./abortable.ts";

/** What a flush needs of its file. */
export interface FlushFile {
  /** Its path, for errors. */
  readonly path: string;
  /** Starts the flush on a handle. */
  startFlush(handle: AioHandle, options: StartOptions & { readonly dataOnly: boolean }): void;
  /** Counts an operation that the descriptor must outlive. */
  begin(): void;
  /** The end of what `begin` counted. */
  end(): void;
}

/** Flushes, awaiting it. @throws what the system says, or the signal's reason */
export async function flush(
  aio: AioCore,
  file: FlushFile,
  dataOnly: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  const done = run(aio, file, dataOnly, signal);
  await (signal === undefined ? done : abortable(done, signal));
}

async function run(
  aio: AioCore,
  file: FlushFile,
  dataOnly: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  const ret = new AioReturn();
  const start = (handle: AioHandle) => {
    if (signal?.aborted === true) {
      handle.release();
      return null;
    }
    const ref = handle.waitRef();
    file.startFlush(handle, { dataOnly, submit: "endOfTurn" });
    return ref;
  };
  file.begin();
  try {
    const ref = await aio.acquireAsync(start, null, ret);
    if (ref !== null) await aio.wait(ref);
  } finally {
    file.end();
  }
  check(file, ret, dataOnly);
}

/** Flushes, blocking. @throws what the system says */
export function flushSync(aio: AioCore, file: FlushFile, dataOnly: boolean): void {
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.setFlag("synchronous");
  try {
    file.startFlush(handle, { dataOnly });
  } catch (error) {
    if (handle.state === "handedOut") handle.release();
    throw error;
  }
  aio.waitSync(ref);
  check(file, ret, dataOnly);
}

function check(file: FlushFile, ret: AioReturn, dataOnly: boolean): void {
  if (ret.result.status !== "error") return;
  throw systemError(ret.result.errorData, `Cannot sync ${shown(file.path)}`, {
    syscall: dataOnly ? "fdatasync" : "fsync",
    path: file.path,
  });
}
