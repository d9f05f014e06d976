/**
 * calls.ts: what flushing and making segments are made of, in two forms: those that block, and
 * those that leave the event loop alone.
 *
 * @module
 */

import type { Backend, Eventually, OpenFileOptions, WaitWord } from "../../core/inside.ts";
import type { FileToken } from "../../core/mod.ts";
import type { AioFile } from "../file/file.ts";

/** The calls in either form. They throw what the system says. */
export interface LogCalls {
  /** Which form they are. */
  readonly areBlocking: boolean;
  open(path: string, options: OpenFileOptions): Eventually<AioFile>;
  /** Writes all of some buffers, durably if so wanted. */
  write(
    file: AioFile,
    buffers: readonly Uint8Array[],
    offset: number,
    durable: boolean,
  ): Eventually<number>;
  read(file: AioFile, into: Uint8Array, offset: number): Eventually<number>;
  size(file: AioFile): Eventually<number>;
  syncData(file: AioFile): Eventually<void>;
  sync(file: AioFile): Eventually<void>;
  close(file: AioFile): Eventually<void>;
  /** Gives a file another name as well. */
  link(path: string, name: string): Eventually<void>;
  /** Gives a file another name, which no file has. */
  rename(path: string, name: string): Eventually<void>;
  remove(path: string): Eventually<void>;
  syncDirectory(path: string): Eventually<void>;
  /** Waits until a word does not hold a value. */
  changed(word: WaitWord, value: number): Eventually<void>;
}

/** What of an Aio a log uses. */
export interface LogAio {
  openFile(path: string, options?: OpenFileOptions): Promise<AioFile>;
  openFileSync(path: string, options?: OpenFileOptions): AioFile;
  attachFile(token: FileToken): AioFile;
  syncDirectory(path: string): Promise<void>;
  replaceFile(path: string, content: string): Promise<void>;
}

/** The calls that leave the event loop alone. */
export function awaitedCalls(aio: LogAio, { wordWaits }: Backend): LogCalls {
  return {
    areBlocking: false,
    open: (path, options) => aio.openFile(path, options),
    write: (file, buffers, offset, durable) =>
      file.writeAt(buffers.length === 1 ? buffers[0]! : buffers, offset, { durable }),
    read: (file, into, offset) => file.readAt(into, offset),
    size: (file) => file.size(),
    syncData: (file) => file.syncData(),
    sync: (file) => file.sync(),
    close: (file) => file.close(),
    link: (path, name) => Deno.link(path, name),
    rename: (path, name) => Deno.rename(path, name),
    remove: (path) => Deno.remove(path),
    syncDirectory: (path) => aio.syncDirectory(path),
    changed: (word, value) => wordWaits.changed(word, value),
  };
}

/** The calls that block the thread. */
export function blockingCalls(aio: LogAio, { wordWaits }: Backend): LogCalls {
  return {
    areBlocking: true,
    open: (path, options) => aio.openFileSync(path, options),
    write: (file, buffers, offset, durable) => file.writeAtSync(buffers, offset, { durable }),
    read: (file, into, offset) => file.readAtSync(into, offset),
    size: (file) => file.sizeSync(),
    syncData: (file) => file.syncDataSync(),
    sync: (file) => file.syncSync(),
    close: (file) => file.closeSync(),
    link: (path, name) => Deno.linkSync(path, name),
    rename: (path, name) => Deno.renameSync(path, name),
    remove: (path) => Deno.removeSync(path),
    syncDirectory(path) {
      using folder = Deno.openSync(path, { read: true });
      folder.syncSync();
    },
    changed: (word, value) => wordWaits.waitSync(word, value),
  };
}
