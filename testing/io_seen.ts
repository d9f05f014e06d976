/**
 * io_seen.ts: sees each IO of an Aio, whichever method executes it, and whether that is in the
 * start call or not: two injection points are on the way of all of them.
 *
 * ```text
 * aio-after-staging    the change begins: its bytes are taken now
 * aio-before-reclaim   it is over, as far as this thread can know
 * ```
 *
 * @module
 */

import type { AioCore, CallbackHandle } from "../core/mod.ts";
import type { AioHandle } from "../core/io/handle.ts";
import { FLAG_BITS, FUSE_BIT } from "../core/io/handle_flag.ts";
import { HANDLE } from "../core/memory/shared_memory.ts";
import { FALLOCATE_MODES, RWF_DSYNC } from "../ffi/layout.ts";
import type { Libc } from "../ffi/libc.ts";
import type { Change } from "./changes.ts";
import type { DescriptorsSeen, Named } from "./descriptors_seen.ts";
import type { ObservedFiles } from "./observed_files.ts";

/** `RWF_SYNC` and `RWF_DSYNC`. */
const DURABLE_FLAGS = 4 | RWF_DSYNC;

/** What looking at IO needs. */
export interface IoSight {
  readonly libc: Libc;
  readonly files: ObservedFiles;
  readonly descriptors: DescriptorsSeen;
}

/**
 * Looks at all IO of one Aio from now on.
 *
 * @returns ends it
 */
export function watchIo(aio: AioCore, sight: IoSight): () => void {
  const pending = new Map<number, number>();
  aio.attachInjectionPoint("aio-after-staging", (handle) => {
    const change = changeOf(handle, sight);
    if (change !== null) pending.set(handle.id, sight.files.begin(change));
  });
  aio.attachInjectionPoint("aio-before-reclaim", (handle) => {
    const change = pending.get(handle.id);
    if (change === undefined) return;
    pending.delete(handle.id);
    const { words, base } = handle as AioHandle;
    sight.files.end(change, words[base + HANDLE.rawResult]!);
  });
  return () => {
    aio.detachInjectionPoint("aio-after-staging");
    aio.detachInjectionPoint("aio-before-reclaim");
  };
}

/** What an IO changes; null: nothing, or nothing that is recorded. */
function changeOf(handle: CallbackHandle, { libc, descriptors }: IoSight): Change | null {
  const { operation } = handle;
  if (!["writev", "fsync", "fdatasync", "fallocate"].includes(operation)) return null;
  const { fd, offset, length, flags } = handle.operationData;
  const named = descriptors.find(libc, fd);
  if (named === null) return null;
  if (operation !== "writev" && operation !== "fallocate") return flushOf(named);
  if (named.kind === "directory") return null;
  const { node } = named;
  if (operation === "fallocate") return allocationOf(node, offset, length, flags);
  const isDurable = !mayForgetDsync(handle as AioHandle) &&
    ((flags & DURABLE_FLAGS) !== 0 || descriptors.isDsync(libc, fd));
  return { kind: "write", node, offset, bytes: joined(handle.buffers()), isDurable };
}

/** FUSE may forget it of direct writes: a flush behind one makes it durable. */
function mayForgetDsync({ words, base }: AioHandle): boolean {
  return (words[base + HANDLE.flags]! & (FUSE_BIT | FLAG_BITS.buffered)) === FUSE_BIT;
}

/** What the flush of a descriptor makes durable. */
export function flushOf(named: Named): Change {
  return named.kind === "file"
    ? { kind: "flush", node: named.node }
    : { kind: "flushNames", directory: named.path };
}

function allocationOf(node: number, offset: number, length: number, mode: number): Change | null {
  const { keepSize, punchHole, zeroRange } = FALLOCATE_MODES;
  const to = offset + length;
  const isLonger = (mode & keepSize) === 0;
  switch (mode & ~keepSize) {
    case 0:
      return isLonger ? { kind: "extend", node, size: to } : null;
    case punchHole:
    case zeroRange:
      return { kind: "zero", node, from: offset, to, extends: isLonger };
  }
  throw new Error(`Cannot record fallocate() with the mode ${mode}: no state of it is known`);
}

/** A copy: the memory may be used again before anybody looks at it. */
function joined(buffers: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(buffers.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const buffer of buffers) {
    bytes.set(buffer, at);
    at += buffer.length;
  }
  return bytes;
}
