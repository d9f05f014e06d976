/**
 * log_upkeep.ts: what a log does to its directory beside its segments' content: it says in the
 * control file how far it is, and gives up what is no longer wanted.
 *
 * @module
 */

import { join } from "node:path";
import { positions, runSteps, shown } from "../../core/inside.ts";
import type { LogAio, LogCalls } from "./calls.ts";
import { CONTROL_NAME, encodeControl, type LogControl } from "./control_file.ts";
import { LOG, type LogMemory } from "./log_memory.ts";
import type { Segments } from "./segments.ts";

/**
 * So many segments are kept for what is appended next, at most: as many as the log had, since it
 * will have as many again.
 */
const SPARE_MAX = 64;

/** Replaces the control file of a directory. */
export function writeControl(
  aio: Pick<LogAio, "replaceFile">,
  directory: string,
  control: LogControl,
): Promise<void> {
  return aio.replaceFile(join(directory, CONTROL_NAME), encodeControl(control));
}

/** What upkeep needs of the thread. */
export interface UpkeepParts {
  readonly aio: Pick<LogAio, "replaceFile">;
  readonly memory: LogMemory;
  readonly segments: Segments;
  readonly directory: string;
  readonly awaited: LogCalls;
}

/** Says in the control file how far the log is. The caller keeps others from that. */
function noteDurable({ aio, memory, directory }: UpkeepParts, start: number): Promise<void> {
  const { identity, segmentBytes, opening, flushed, ring } = memory;
  const bufferBytes = ring.length;
  const control = { identity, segmentBytes, opening, start, durable: flushed, bufferBytes };
  return writeControl(aio, directory, control);
}

/** Does something while no other thread makes or removes segments, or says where the log begins. */
async function alone({ segments, awaited }: UpkeepParts, work: () => Promise<void>): Promise<void> {
  await runSteps(segments.takeOver(awaited));
  try {
    await work();
  } finally {
    segments.letGo();
  }
}

/**
 * Gives up what is before a position: nothing of it is read any more, and segments that are wholly
 * before it are used again, or removed.
 */
export function truncateBefore(parts: UpkeepParts, position: number): Promise<void> {
  const { memory, segments, directory, awaited } = parts;
  return alone(parts, async () => {
    const { start, flushed, segmentBytes } = memory;
    if (position <= start) return;
    if (position > flushed) {
      throw new RangeError(
        `Cannot truncate the log in ${shown(directory)} before ${position}: ` +
          `it is durable up to ${flushed}`,
      );
    }
    await noteDurable(parts, position);
    positions.setPosition(memory.words, LOG.start, position);
    const used = Math.floor(memory.inserted / segmentBytes) - Math.floor(start / segmentBytes);
    const spare = Math.min(SPARE_MAX, used + 1);
    await runSteps(segments.removeBefore(Math.floor(position / segmentBytes), spare, awaited));
  });
}

/**
 * Says at the end of a log how far it is, as {@linkcode truncateBefore} may in another thread that
 * has just come: of two at once the one with the older beginning could be the one that stays.
 */
export function noteEnd(parts: UpkeepParts): Promise<void> {
  return alone(parts, () => noteDurable(parts, parts.memory.start));
}
