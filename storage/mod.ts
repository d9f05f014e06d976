/**
 * What users build with: {@linkcode Aio} and {@linkcode AioFile}. The main module exports it.
 *
 * @module
 */

export { Aio } from "./aio.ts";
export type { Advice } from "./file/advise.ts";
export type { Alignment } from "./file/alignment.ts";
export type { AllocateOptions } from "./file/allocate.ts";
export { AioFile } from "./file/file.ts";
export { OpenFile } from "./file/open_file.ts";
export type {
  AppendOptions,
  ReadOptions,
  TransferOptions,
  WriteOptions,
} from "./file/file_parts.ts";
export type { LockOptions, LockRange, TryLockOptions } from "./file/file_locks.ts";
export type { PublishOptions, TemporaryOptions } from "./file/temporary.ts";
export type { FileRange } from "./file/read_ranges.ts";
export type { FileTransfer, ManyTransfersError } from "./file/many_transfer.ts";
export type { ReadableOptions } from "./stream/readable.ts";
export { ReadStream } from "./stream/read_stream.ts";
export type { ReadStreamOptions } from "./stream/stream_options.ts";
export { StreamPage } from "./stream/stream_page.ts";
export { FileWritable, type WritableOptions } from "./stream/writable.ts";
export { type FlushOptions, WriteStream, type WriteStreamOptions } from "./stream/write_stream.ts";
export type { StreamState } from "./stream/stream_state.ts";
export { StreamStats } from "./stream/stream_stats.ts";
export type { LockMode } from "./pool/content_lock.ts";
export type { AttachPoolOptions, OpenPoolOptions } from "./pool/open_pool.ts";
export { Page, PageLock } from "./pool/page.ts";
export type { PageRow } from "./pool/page_rows.ts";
export { type PageReadOptions, PagesRead } from "./pool/pages_read.ts";
export { PagePool, type PoolToken } from "./pool/pool.ts";
export { PoolStreamPage } from "./pool/pool_pages.ts";
export type { BackgroundWriterOptions } from "./pool/background_writer.ts";
export type { PoolCounts, PoolStats } from "./pool/pool_counts.ts";
export type { PoolStreamOptions } from "./pool/pool_stream.ts";
export type { DirectMode, OpenFileOptions } from "../core/inside.ts";
export { Log, type LogRecovery, type LogToken } from "./log/log.ts";
export type { OpenLogOptions } from "./log/log_options.ts";
export type { LogReadOptions, LogRecord } from "./log/log_reader.ts";
export type { LogFigures } from "./log/log_stats.ts";
