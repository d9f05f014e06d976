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
  BlockRange,
  checkedNext,
  checkPageSize,
  checkStreamOptions,
  type ReadStreamOptions,
} from "./stream_options.ts";
import type { StreamPage } from "./stream_page.ts";

/** See `AioFile.readStream`. */
export function fileStream<T>(
  file: FileInside,
  options: ReadStreamOptions<T>,
): ReadStream<StreamPage<T>> {
  const { path, transfers: { backend } } = file;
  file.checkAccess("read", 0);
  checkStreamOptions(path, options);
  options.signal?.throwIfAborted();
  const inForce = backend.options;
  const pageSize = checkPageSize(file, options.pageSize ?? inForce.pageSize);
  const range = options.next === undefined
    ? new BlockRange(options.from ?? 0, options.until ?? Infinity)
    : null;
  const source = new PrivatePages<T>(file, pageSize);
  return readStreamOf({
    source,
    home: file,
    backend,
    options: {
      maxIos: options.maintenance === true
        ? inForce.maintenanceIoConcurrency
        : inForce.effectiveIoConcurrency,
      ioCombineLimit: inForce.ioCombineLimit,
      sequential: options.sequential ?? range !== null,
      full: options.full ?? false,
      batching: options.batching ?? false,
      next: checkedNext(path, pageSize, options.next ?? range!.next),
      makeData: options.pageData ?? null,
    },
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

function* fileStat(file: FileInside, isBlocking: boolean): Steps<{ readonly size: number }> {
  const { awaited, blocking } = file.calls;
  file.begin();
  try {
    const calls = isBlocking ? blocking : awaited;
    return yield* get(calls.stat(file.fd, file.path));
  } finally {
    file.end();
  }
}
