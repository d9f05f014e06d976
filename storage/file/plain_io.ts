/**
 * plain_io.ts: how an operation that moves no bytes becomes an IO of the core: flushes, advice, and
 * what changes where a file has its place on the device.
 *
 * @module
 */

import {
  type AioCore,
  type AioHandle,
  AioReturn,
  type Operands,
  type StartedName,
  type StartOptions,
} from "../../core/mod.ts";
import { waitOrCancel } from "./abortable.ts";

/** Which operation, and what it is started with. */
export interface PlainIo {
  /** Which. */
  readonly operation: Exclude<StartedName, "readv" | "writev">;
  /** Its range and its flags; none: it is about the file. */
  readonly operands?: Operands;
}

/** What it needs of its file. */
export interface PlainIoFile {
  /** Starts it on a handle. */
  startPlain(handle: AioHandle, what: PlainIo, options?: StartOptions): void;
  /** Counts an operation that the descriptor must outlive. */
  begin(): void;
  /** The end of what `begin` counted. */
  end(): void;
}

/** Executes one, awaiting it. @returns what came of it */
export async function runPlain(
  aio: AioCore,
  file: PlainIoFile,
  what: PlainIo,
  signal: AbortSignal | undefined,
): Promise<AioReturn> {
  const ret = new AioReturn();
  const start = (handle: AioHandle) => {
    const ref = handle.waitRef();
    file.startPlain(handle, what, { submit: "endOfTurn" });
    return ref;
  };
  file.begin();
  try {
    const ref = await aio.acquireAsync(start, null, ret, signal);
    await waitOrCancel(aio, ref, signal);
    return ret;
  } finally {
    file.end();
  }
}

/** The same, blocking. */
export function runPlainSync(aio: AioCore, file: PlainIoFile, what: PlainIo): AioReturn {
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.setFlag("synchronous");
  try {
    file.startPlain(handle, what);
  } catch (error) {
    if (handle.state === "handedOut") handle.release();
    throw error;
  }
  aio.waitSync(ref);
  return ret;
}
