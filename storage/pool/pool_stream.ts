/**
 * pool_stream.ts: a read stream over a pool.
 *
 * @module
 */

import { shown, type Steps } from "../../core/inside.ts";
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
import { BufferRing, ringSize } from "./buffer_ring.ts";
import type { PageHost } from "./page.ts";
import { flagsOfRead, type PageReadOptions } from "./pages_read.ts";
import { PoolPages, type PoolStreamPage } from "./pool_pages.ts";

/** How a file is read page by page through a pool. */
export interface PoolStreamOptions<T = undefined>
  extends Omit<ReadStreamOptions<T>, "pageSize">, PageReadOptions {
  /**
   * How the stream uses the pool. `"normal"` (default): as any other read. `"bulkRead"`, for large
   * scans: it uses a few buffers over and over, 256 KiB and what may be in flight, at most an
   * eighth of the pool, so that other pages stay there.
   */
  readonly strategy?: "normal" | "bulkRead" | undefined;
}

/** See `PagePool.readStream`. */
export function poolStream<T>(
  host: PageHost,
  file: FileInside,
  number: number,
  { mode, ignoreChecksums, strategy = "normal", ...options }: PoolStreamOptions<T>,
): ReadStream<PoolStreamPage<T>> {
  const { backend, memory, combineLimit } = host.awaited;
  const { path } = file;
  checkStreamOptions(path, options);
  options.signal?.throwIfAborted();
  if (strategy !== "normal" && strategy !== "bulkRead") {
    throw new TypeError(
      `Cannot stream ${shown(path)} with the strategy ${shown(strategy)}: "normal" or "bulkRead"`,
    );
  }
  const range = rangeOf(options);
  const ahead = readAheadOptionsOf(path, memory.pageBytes, options, range, backend.options);
  const ring = strategy === "normal"
    ? null
    : new BufferRing(ringSize(memory, combineLimit, ahead.maxIos));
  const flags = flagsOfRead({ mode, ignoreChecksums });
  return readStreamOf({
    source: new PoolPages<T>(host, number, file.direct, flags, ring),
    home: file,
    backend,
    options: ahead,
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
