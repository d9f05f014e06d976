/**
 * pool_faults.ts: reads of a pool that the system cuts short or refuses, as injected results.
 *
 * @module
 */

import type { Aio } from "../../../mod.ts";
import type { CallbackHandle } from "../../../core/mod.ts";
import { PAGE_BYTES } from "./pool_case.ts";

const POINT = "aio-process-completion-before-shared";

/** Has a function say what came of each IO, until the end of its scope. */
export function injecting(
  aio: Aio,
  hook: (handle: CallbackHandle, result: number) => number,
): Disposable {
  aio.attachInjectionPoint(POINT, hook);
  return { [Symbol.dispose]: () => void aio.detachInjectionPoint(POINT) };
}

/** The result of a read that got fewer bytes; what it did not get is not in its memory. */
export function cutTo(handle: CallbackHandle, result: number, bytes: number): number {
  if (result <= bytes) return result;
  let at = 0;
  for (const view of handle.buffers()) {
    view.fill(0xee, Math.min(view.length, Math.max(0, bytes - at)));
    at += view.length;
  }
  return bytes;
}

/** A disk that cannot read some blocks: a read ends before the first of them, or fails at it. */
export function brokenDisk(aio: Aio, isBroken: (block: number) => boolean, errno: number) {
  return injecting(aio, (handle, result) => {
    const { offset, length } = handle.operationData;
    for (let at = offset; at < offset + length; at += PAGE_BYTES) {
      if (!isBroken(at / PAGE_BYTES)) continue;
      return at === offset ? -errno : cutTo(handle, result, at - offset);
    }
    return result;
  });
}
