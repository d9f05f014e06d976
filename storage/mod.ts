/**
 * What users build with: {@linkcode Aio} and {@linkcode AioFile}. The main module exports it.
 *
 * @module
 */

export { Aio } from "./aio.ts";
export type { Alignment } from "./file/alignment.ts";
export { AioFile } from "./file/file.ts";
export type { ReadOptions, TransferOptions, WriteOptions } from "./file/file_parts.ts";
export type { FileTransfer, ManyTransfersError } from "./file/many_transfer.ts";
export type { DirectMode, OpenFileOptions } from "../core/inside.ts";
