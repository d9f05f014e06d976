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
import { LogBytes, type LogBytesHost } from "./log_bytes.ts";
import { LOG, type LogMemory } from "./log_memory.ts";
import { KIND } from "./record.ts";
import { FragmentReader } from "./record_reader.ts";
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
function noteDurable(
  { aio, memory, directory }: UpkeepParts,
  start: number,
  isClosed: boolean,
): Promise<void> {
  const { identity, segmentBytes, opening, flushed: durable, ring: { length: bufferBytes } } =
    memory;
  const control = { identity, segmentBytes, opening, start, durable, bufferBytes, isClosed };
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
export function truncateBefore(
  parts: UpkeepParts & LogBytesHost,
  position: number,
): Promise<void> {
  const { memory, segments, directory, awaited } = parts;
  return alone(parts, async () => {
    const { start, flushed, segmentBytes } = memory;
    if (position <= start) return;
    const what = `Cannot truncate the log in ${shown(directory)} before ${position}`;
    if (position > flushed) throw new RangeError(`${what}: it is durable up to ${flushed}`);
    if (position < flushed && !await isRecordAt(parts, position)) {
      throw new RangeError(`${what}: no record begins there, or it is damaged`);
    }
    await noteDurable(parts, position, false);
    positions.setPosition(memory.words, LOG.start, position);
    const used = Math.floor(memory.inserted / segmentBytes) - Math.floor(start / segmentBytes);
    const spare = Math.min(SPARE_MAX, used + 1);
    await runSteps(segments.removeBefore(Math.floor(position / segmentBytes), spare, awaited));
  });
}

/** Whether a record begins at a position of what is durable and kept. */
async function isRecordAt(host: LogBytesHost, position: number): Promise<boolean> {
  const { segmentBytes, identity, opening } = host.memory;
  const fragments = new FragmentReader(segmentBytes, identity);
  const source = new LogBytes(host, position + 1);
  try {
    const bytes = await source.load(position);
    if (bytes === null) return false;
    const state = fragments.read(bytes, 0, position, 0, opening);
    return state === "valid" && fragments.kind !== KIND.middle && fragments.kind !== KIND.last;
  } finally {
    await source.close();
  }
}

/**
 * Says at the end of a log how far it is, as {@linkcode truncateBefore} may in another thread that
 * has just come: of two at once the one with the older beginning could be the one that stays.
 */
export function noteEnd(parts: UpkeepParts): Promise<void> {
  return alone(parts, () => noteDurable(parts, parts.memory.start, true));
}
