/**
 * wal_target.ts: the target `wal`, which names IO on a log by the number of the segment. Its words
 * are those of the target `file`, so that it is looked after like IO on any other file.
 *
 * @module
 */

import { segmentAt, shownSegment } from "./segment_names.ts";

/** Its name. */
export const WAL_TARGET_NAME = "wal";

/** What descriptions call a segment, by the path of its file; null: it was closed since. */
export function segmentOf(path: string | null): string {
  const segment = path === null ? null : segmentAt(path);
  return segment === null ? "a segment that was closed" : shownSegment(segment);
}
