/**
 * pool_stream.ts: a read stream over a pool.
 *
 * @module
 */

import type { Steps } from "../../core/inside.ts";
import type { FileInside } from "../file/file_inside.ts";
import { fileStat } from "../stream/file_stream.ts";
import { type ReadStream, readStreamOf } from "../stream/read_stream.ts";
import {
  type BlockRange,
  checkStreamOptions,
  rangeOf,
  readAheadOptionsOf,
  type ReadStreamOptions,
} from "../stream/stream_options.ts";
import type { PageHost } from "./page.ts";
import { flagsOfRead, type PageReadOptions } from "./pages_read.ts";
import { PoolPages, type PoolStreamPage } from "./pool_pages.ts";

/** How a file is read page by page through a pool. */
export interface PoolStreamOptions<T = undefined>
  extends Omit<ReadStreamOptions<T>, "pageSize">, PageReadOptions {}

/** See `PagePool.readStream`. */
export function poolStream<T>(
  host: PageHost,
  file: FileInside,
  number: number,
  { mode, ignoreChecksums, ...options }: PoolStreamOptions<T>,
): ReadStream<PoolStreamPage<T>> {
  const { backend, memory } = host.awaited;
  const { path } = file;
  checkStreamOptions(path, options);
  options.signal?.throwIfAborted();
  const range = rangeOf(options);
  return readStreamOf({
    source: new PoolPages<T>(host, number, file.direct, flagsOfRead({ mode, ignoreChecksums })),
    home: file,
    backend,
    options: readAheadOptionsOf(path, memory.pageBytes, options, range, backend.options),
    begin: range === null || !range.isOpen ? null : (isBlocking) => measure(range, isBlocking),
    restart: range === null ? null : () => range.restart(),
    signal: options.signal,
  });

  /** Takes the file's size for the end of a range that has none. */
  function* measure(range: BlockRange, isBlocking: boolean): Steps<void> {
    const { size } = yield* fileStat(file, isBlocking);
    range.endAt(Math.ceil(size / memory.pageBytes));
  }
}
