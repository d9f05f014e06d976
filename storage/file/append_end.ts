/**
 * append_end.ts: how a thread learns from the system where a file ends that is appended to.
 *
 * @module
 */

import { type Backend, type FileCalls, type FileSlot, get, type Steps } from "../../core/inside.ts";

type Ends = Backend["files"]["ends"];

interface EndedFile {
  readonly slot: FileSlot;
  readonly fd: number;
  readonly path: string;
}

/** Asks where the file ends, once. */
export function* learnEnd(
  ends: Ends,
  calls: FileCalls,
  { slot: { slot }, fd, path }: EndedFile,
): Steps<void> {
  if (ends.isKnown(slot)) return;
  ends.link(slot);
  for (;;) {
    const setBack = ends.setBackAt(slot);
    const reached = ends.writesEnd(slot);
    const { size } = yield* get(calls.stat(fd, path));
    if (ends.tryLearn(slot, setBack, size, reached)) return;
  }
}

/**
 * Makes the end that of the file again, after something that may have cut or extended it, or has
 * not extended it as far as it should have.
 */
export function* settleEnd(
  ends: Ends,
  calls: FileCalls,
  { slot: { slot }, fd, path }: EndedFile,
): Steps<void> {
  if (!ends.isLinked(slot)) return;
  for (let tries = 0; tries < SETTLE_TRIES; tries++) {
    const version = ends.askedVersion(slot);
    const reached = ends.writesEnd(slot);
    const { size } = yield* get(calls.stat(fd, path));
    if (ends.tryReset(slot, version, Math.max(size, reached))) return;
  }
}

/** Others append all the time: they have moved the end, and what was cut stays a hole before it. */
const SETTLE_TRIES = 100;
