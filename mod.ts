/**
 * File I/O for Deno that storage engines can be built on: positioned, vectored, batched, direct and
 * durable, awaited or waited for, with PostgreSQL's asynchronous I/O subsystem underneath.
 *
 * {@linkcode Aio} and {@linkcode AioFile} are what most programs need. The subsystem itself (handles,
 * wait references, callbacks, batch mode) is there too, in {@linkcode AioCore} and around it.
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

export * from "./core/mod.ts";
export * from "./methods/mod.ts";
export * from "./storage/mod.ts";
