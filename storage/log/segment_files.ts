/**
 * segment_files.ts: opens the files of a log. IO on a segment has the target `wal`, whichever part
 * of the log does it.
 *
 * @module
 */

import type { Backend } from "../../core/inside.ts";
import type { AioFile } from "../file/file.ts";
import { insideOf } from "../file/open_file.ts";
import type { LogAio } from "./calls.ts";
import { segmentAt, shownSegment } from "./segment_names.ts";
import { WAL_TARGET_NAME } from "./wal_target.ts";

/** An Aio that opens segments as such. */
export function withSegments(aio: LogAio, { targets }: Backend): LogAio {
  const targetId = targets.idOf(WAL_TARGET_NAME);
  const named = (file: AioFile): AioFile => {
    const segment = segmentAt(file.path);
    if (segment !== null) insideOf(file).takeTarget(targetId, shownSegment(segment));
    return file;
  };
  return {
    openFile: async (path, options) => named(await aio.openFile(path, options)),
    openFileSync: (path, options) => named(aio.openFileSync(path, options)),
    attachFile: (token) => aio.attachFile(token),
    syncDirectory: (path) => aio.syncDirectory(path),
    replaceFile: (path, content) => aio.replaceFile(path, content),
  };
}
