/**
 * file_stream.ts: a read stream over a plain file, with pages of its own.
 *
 * @module
 */

import { get, type Steps } from "../../core/inside.ts";
import type { FileInside } from "../file/file_inside.ts";
import { PrivatePages } from "./private_pages.ts";
import { type ReadStream, readStreamOf } from "./read_stream.ts";
import {
  type BlockRange,
  checkPageSize,
  checkStreamOptions,
  rangeOf,
  readAheadOptionsOf,
  type ReadStreamOptions,
} from "./stream_options.ts";
import type { StreamPage } from "./stream_page.ts";

/** One stream takes at most this part of the arena. */
const ARENA_SHARE = 4;

/**
 * See `AioFile.readStream`.
 *
 * @param arenaShare it takes at most this part of the arena
 */
export function fileStream<T>(
  file: FileInside,
  options: ReadStreamOptions<T>,
  arenaShare = ARENA_SHARE,
): ReadStream<StreamPage<T>> {
  const { path, transfers: { backend } } = file;
  file.checkAccess("read", 0);
  checkStreamOptions(path, options);
  options.signal?.throwIfAborted();
  const pageSize = checkPageSize(file, options.pageSize ?? backend.options.pageSize);
  const range = rangeOf(options);
  const source = new PrivatePages<T>(file, pageSize, arenaShare);
  return readStreamOf({
    source,
    home: file,
    backend,
    options: readAheadOptionsOf(path, pageSize, options, range, backend.options),
    begin: range === null ? null : (isBlocking) => measure(file, source, range, isBlocking),
    restart: range === null ? null : () => range.restart(),
    signal: options.signal,
  });

  /** Takes the file's size for the end of a range that has none. */
  function* measure(
    file: FileInside,
    source: PrivatePages<T>,
    range: BlockRange,
    isBlocking: boolean,
  ): Steps<void> {
    if (range.isOpen) {
      const { size } = yield* fileStat(file, isBlocking);
      range.endAt(Math.ceil(size / pageSize));
      source.fileBytes = size;
    }
    source.blocksMax = range.count;
  }
}

/**
 * What the system says of a file.
 *
 * @throws {Deno.errors.BadResource} if it is closed: its descriptor may be another file's by now
 */
export function* fileStat(file: FileInside, isBlocking: boolean): Steps<{ readonly size: number }> {
  const { awaited, blocking } = file.calls;
  file.checkOpen("read");
  const calls = isBlocking ? blocking : awaited;
  return yield* file.during(get(calls.stat(file.fd, file.path)));
}
