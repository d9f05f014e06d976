/**
 * File I/O for Deno that storage engines can be built on: positioned, vectored, batched, direct and
 * durable, awaited or waited for, with PostgreSQL's asynchronous I/O subsystem underneath.
 *
 * {@linkcode Aio} and {@linkcode AioFile} are what most programs need. Two more doors lead further:
 * `./core` to the subsystem itself (handles, wait references, callbacks, batch mode, resource
 * owners), `./methods` to the ways in which IO is executed.
 *
 * @example Read 4 KiB at an offset
 * ```ts
 * import { Aio } from "@deno-aio/aio";
 *
 * await using aio = await Aio.open();
 * await using file = await aio.openFile(new URL("./README.md", import.meta.url));
 * const buffer = new Uint8Array(4096);
 * const bytes = await file.readAt(buffer, 0);
 * if (bytes === 0) throw new Error("the file is empty");
 * ```
 *
 * @module
 */

export { Aio, AioFile, Log, OpenFile, Page, PageLock, PagePool, PagesRead } from "./storage/mod.ts";
export type {
  Advice,
  Alignment,
  AllocateOptions,
  AppendOptions,
  AttachPoolOptions,
  BackgroundWriterOptions,
  DirectMode,
  FileRange,
  FileTransfer,
  FileWritable,
  FlushOptions,
  LockMode,
  LockOptions,
  LockRange,
  LogFigures,
  LogReadOptions,
  LogRecord,
  LogRecovery,
  LogToken,
  ManyTransfersError,
  OpenFileOptions,
  OpenLogOptions,
  OpenPoolOptions,
  PageReadOptions,
  PageRow,
  PoolCounts,
  PoolStats,
  PoolStreamOptions,
  PoolStreamPage,
  PoolToken,
  PublishOptions,
  ReadableOptions,
  ReadOptions,
  ReadStream,
  ReadStreamOptions,
  StreamPage,
  StreamState,
  StreamStats,
  TemporaryOptions,
  TransferOptions,
  TryLockOptions,
  WritableOptions,
  WriteOptions,
  WriteStream,
  WriteStreamOptions,
} from "./storage/mod.ts";
export { AioApiError, AioInvariantError, AioSystemError } from "./core/mod.ts";
export type {
  AioOptions,
  AioToken,
  AttachOptions,
  BackendRow,
  CloseOptions,
  EffectiveOptions,
  FileToken,
  IoRow,
  IoRowResult,
  IoRowState,
  LibraryPaths,
  LogHook,
  LogLevel,
  SystemError,
  SystemErrorFields,
  WaitEvent,
  WorkerPoolOptions,
  WorkerRow,
} from "./core/mod.ts";
