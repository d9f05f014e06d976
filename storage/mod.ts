/**
 * What users build with: {@linkcode Aio} and {@linkcode AioFile}.
 *
 * @example Read a file with several reads at once
 * ```ts
 * import { Aio } from "@deno-aio/aio/storage";
 *
 * await using aio = await Aio.open();
 * await using file = await aio.openFile(new URL("./mod.ts", import.meta.url));
 * const parts = [new Uint8Array(100), new Uint8Array(100)];
 * await Promise.all(parts.map((part, i) => file.readAt(part, i * 100)));
 * ```
 *
 * @module
 */

export { Aio } from "./aio.ts";
export type { Alignment } from "./file/alignment.ts";
export { AioFile } from "./file/file.ts";
export type { Flush } from "./file/flush.ts";
export type { TransferOptions } from "./file/file_parts.ts";
export type { DirectMode, OpenFileOptions } from "../core/inside.ts";
export type { CloseOptions } from "../core/mod.ts";
