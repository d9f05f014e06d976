/**
 * write_stream.ts: {@linkcode WriteStream}: bytes one after another into a file, written behind the
 * program's back: what is written is copied into a buffer, a full buffer is one IO, and a few of
 * those are under way while the next one fills.
 *
 * An error of such an IO comes too late for the call that brought its bytes. So every later call
 * throws it, with the place from which on the file is not whole.
 *
 * @module
 */

import { atCaller, called, shown } from "../../core/inside.ts";
import type { Filler } from "../file/bounce.ts";
import type { FileUser } from "../file/file_end.ts";
import type { FileInside } from "../file/file_inside.ts";
import { flushBegun } from "../file/flush.ts";
import type { MemoryUser } from "../file/transfer.ts";
import { transferRequest } from "../file/transfer_request.ts";
import { becameSmaller, checkViews, shareMemory } from "../file/view_cursor.ts";
import { checkNames } from "../file/option_names.ts";

/** How a file is written one byte after another. */
export interface WriteStreamOptions {
  /** Where the first byte goes. Default: 0. Range: 0..2^53 - 1. */
  readonly offset?: number | undefined;
  /** Bytes of one IO. Default: 262144. Range: 4096..1048576. */
  readonly bufferBytes?: number | undefined;
  /** How many IOs are under way at the same time. Default: 4. Range: 1..64. */
  readonly buffers?: number | undefined;
}

/** What `flush` and `close` take. */
export interface FlushOptions {
  /** Whether the data is on disk when the promise resolves, as by `syncData()`. Default: false. */
  readonly durable?: boolean | undefined;
}

const BUFFER_BYTES = 262_144;
const BUFFERS = 4;
const LIMITS = {
  offset: [0, Number.MAX_SAFE_INTEGER],
  bufferBytes: [4096, 1_048_576],
  buffers: [1, 64],
} as const;

/** A part of the file that is filling, or under way. */
interface WriteBuffer {
  readonly view: Uint8Array<SharedArrayBuffer>;
  /** Where in the file it begins. */
  readonly offset: number;
  used: number;
}

/** Makes a stream. */
export let writeStreamOf: (file: FileInside, options: WriteStreamOptions) => WriteStream;

/**
 * Bytes one after another into a file. Made by `file.writeStream()`. Closing the file writes what
 * is buffered.
 */
export class WriteStream implements AsyncDisposable {
  readonly #file: FileInside;
  readonly #bufferBytes: number;
  readonly #buffersMax: number;
  readonly #start: number;
  readonly #user: FileUser;
  readonly #filler: Filler = { letGo: () => this.#letGo() };
  /** Where the next byte goes. */
  #at: number;
  #filling: WriteBuffer | null = null;
  /** In the order of their offsets; those that are done stay until all before them are. */
  readonly #sent: { readonly to: number; isDone: boolean }[] = [];
  #inFlight = 0;
  #onDone: (() => void)[] = [];
  /** Up to where all is written. */
  #writtenTo: number;
  #failure: { readonly error: unknown; readonly from: number } | null = null;
  /** The calls before. */
  #queue: Promise<unknown> | null = null;
  #isClosed = false;

  /** @ignore */
  private constructor(file: FileInside, options: WriteStreamOptions) {
    const { offset = 0, bufferBytes = BUFFER_BYTES, buffers = BUFFERS } = options;
    this.#file = file;
    this.#bufferBytes = Math.min(bufferBytes, file.transfers.space.pieceBytesMax);
    this.#buffersMax = buffers;
    this.#start = this.#at = this.#writtenTo = offset;
    this.#user = {
      closing: () => this.close(),
      // What is buffered counts as pending: then the file cannot be closed at once.
      closingSync: () => this.#leave(),
    };
    file.ending.users.add(this.#user);
  }

  static {
    writeStreamOf = (file, options) => {
      check(file, options);
      return new WriteStream(file, options);
    };
  }

  /** Where in the file the next byte goes. */
  get position(): number {
    return this.#at;
  }

  /** How many bytes, from the first one on, the system has taken. */
  get bytesWritten(): number {
    return this.#writtenTo - this.#start;
  }

  /**
   * Writes behind what was written before.
   *
   * @param data copied by the time the promise resolves
   * @returns resolves when there was room for it
   * @throws {TypeError} for data that is no Uint8Array
   * @throws {Deno.errors.BadResource} if the stream is closed
   * @throws what an earlier write has failed of, with `offset`: from there on not all is written
   */
  write(data: Uint8Array): Promise<void> {
    try {
      this.#checkOpen();
      checkData(this.#file.path, data);
      const buffer = this.#filling;
      if (this.#queue === null && buffer !== null) {
        if (data.byteLength < buffer.view.length - buffer.used) {
          this.#copy(buffer, data);
          return Promise.resolve();
        }
      }
    } catch (error) {
      return Promise.reject(atCaller(error, WriteStream.prototype.write));
    }
    return called(this.#writeInTurn(data));
  }

  /** Until all is copied its memory may not be freed. */
  async #writeInTurn(data: Uint8Array): Promise<void> {
    const { users } = this.#file.transfers;
    const user: MemoryUser = { isUsing: (view) => shareMemory(data, view) };
    const { byteLength } = data;
    users.add(user);
    try {
      await this.#begun(() => this.#write(data, byteLength));
    } finally {
      users.delete(user);
    }
  }

  /**
   * Resolves when all that was written until now is with the system, or on disk.
   *
   * @throws as {@linkcode write}
   */
  flush(options: FlushOptions = {}): Promise<void> {
    return called(this.#begun(() => {
      this.#checkOpen();
      return this.#flush(options);
    }));
  }

  /**
   * {@linkcode flush}, and the end of the stream; the file stays open. Later calls do nothing.
   *
   * @throws as {@linkcode write}
   */
  close(options: FlushOptions = {}): Promise<void> {
    return called(this.#begun(async () => {
      if (this.#isClosed) return;
      try {
        await this.#flush(options);
      } finally {
        await this.#end();
      }
    }));
  }

  /** Ends the stream without writing what is still buffered. */
  abort(): Promise<void> {
    return called(this.#inTurn(async () => {
      if (!this.#isClosed) await this.#end();
    }));
  }

  /** {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** One call after another. */
  #inTurn<T>(work: () => T | Promise<T>): Promise<T> {
    const before = this.#queue;
    const own = before === null ? Promise.try(work) : before.then(work, work);
    const over = own.then(() => {}, () => {}).then(() => {
      if (this.#queue === over) this.#queue = null;
    });
    this.#queue = over;
    return own;
  }

  /** The same, of what the file is not closed before. */
  #begun<T>(work: () => T | Promise<T>): Promise<T> {
    this.#file.begin();
    return this.#inTurn(work).finally(() => this.#file.end());
  }

  /** @param byteLength of the data at the call */
  async #write(data: Uint8Array, byteLength: number): Promise<void> {
    try {
      for (let done = 0; done < byteLength;) {
        this.#checkOpen();
        const buffer = this.#filling ??= await this.#makeBuffer();
        if (data.byteLength < byteLength) throw becameSmaller("write");
        const bytes = Math.min(byteLength - done, buffer.view.length - buffer.used);
        this.#copy(buffer, data.subarray(done, done + bytes));
        done += bytes;
        if (buffer.used === buffer.view.length) this.#send();
      }
    } finally {
      if (this.#filling !== null) this.#file.transfers.space.fills(this.#filler);
    }
  }

  #copy(buffer: WriteBuffer, data: Uint8Array): void {
    buffer.view.set(data, buffer.used);
    buffer.used += data.byteLength;
    this.#at += data.byteLength;
  }

  /** Once there are not too many, and there is room. */
  async #makeBuffer(): Promise<WriteBuffer> {
    while (this.#inFlight >= this.#buffersMax) await this.#oneDone();
    this.#checkFailure();
    const { space } = this.#file.transfers;
    const view = await space.take(this.#bufferBytes, this.#file.alignment.memory);
    this.#file.begin();
    return { view, offset: this.#at, used: 0 };
  }

  /** The buffer that was filling, which fills no more. */
  #takeFilling(): WriteBuffer {
    const buffer = this.#filling!;
    this.#filling = null;
    this.#file.transfers.space.fillsNoMore(this.#filler);
    return buffer;
  }

  #dropFilling(): void {
    if (this.#filling !== null) this.#giveBack(this.#takeFilling());
  }

  /** Somebody waits for the space of the buffer that is filling. */
  #letGo(): void {
    if (this.#failure === null && this.#filling!.used > 0) this.#send();
    else this.#dropFilling();
  }

  #giveBack({ view }: WriteBuffer): void {
    this.#file.transfers.space.giveBack(view);
    this.#file.end();
  }

  #oneDone(): Promise<void> {
    return new Promise((resolve) => this.#onDone.push(resolve));
  }

  /** Writes the buffer that was filling. */
  #send(): void {
    const buffer = this.#takeFilling();
    this.#inFlight++;
    const sent = { to: buffer.offset + buffer.used, isDone: false };
    this.#sent.push(sent);
    this.#writeBuffer(buffer).then(() => {
      sent.isDone = true;
      while (this.#sent[0]?.isDone === true) this.#writtenTo = this.#sent.shift()!.to;
    }, (error) => this.#fail(error, buffer.offset)).finally(() => {
      this.#giveBack(buffer);
      this.#inFlight--;
      for (const done of this.#onDone.splice(0)) done();
    });
  }

  async #writeBuffer({ view, used, offset }: WriteBuffer): Promise<void> {
    const { transfers, addressOf } = this.#file;
    const bytes = view.subarray(0, used);
    const file = this.#file;
    await (transfers.tryFast(file, "write", bytes, offset) ??
      transfers.runSlowly(transferRequest(file, "write", bytes, offset, addressOf)));
  }

  /** The first part that is missing counts. */
  #fail(error: unknown, from: number): void {
    if (this.#failure === null || from < this.#failure.from) this.#failure = { error, from };
  }

  async #flush({ durable = false }: FlushOptions): Promise<void> {
    if (this.#filling !== null && this.#failure === null) this.#send();
    while (this.#inFlight > 0) await this.#oneDone();
    this.#checkFailure();
    const { transfers: { aio } } = this.#file;
    if (durable) await flushBegun(aio, this.#file, { operation: "fdatasync" }, undefined);
  }

  async #end(): Promise<void> {
    this.#leave();
    this.#dropFilling();
    while (this.#inFlight > 0) await this.#oneDone();
  }

  #leave(): void {
    this.#isClosed = true;
    this.#file.ending.users.delete(this.#user);
  }

  #checkOpen(): void {
    this.#checkFailure();
    if (this.#isClosed) {
      throw new Deno.errors.BadResource(
        `Cannot write to ${shown(this.#file.path)}: the stream is closed`,
      );
    }
  }

  #checkFailure(): void {
    if (this.#failure === null) return;
    const { error, from } = this.#failure;
    const cause = error instanceof Error ? error.message : String(error);
    const Class = error instanceof Error ? error.constructor as ErrorConstructor : Error;
    const failed = new Class(
      `Bytes from ${from} on, of ${this.#at} written to ${shown(this.#file.path)}, are not all ` +
        `there: ${cause}`,
      { cause: error },
    );
    throw Object.assign(failed, error, { offset: from, bytesWritten: this.bytesWritten });
  }
}

function checkData(path: string, data: unknown): void {
  if (!(data instanceof Uint8Array)) {
    throw new TypeError(`Cannot write ${shown(data)} to ${shown(path)}: pass a Uint8Array`);
  }
  checkViews("write", data);
}

function check(file: FileInside, options: WriteStreamOptions): void {
  const what = `Cannot stream to ${shown(file.path)}`;
  file.checkAccess("write", 0);
  checkNames(what, options, Object.keys(LIMITS));
  for (const [name, value] of Object.entries(options)) {
    const [min, max] = LIMITS[name as keyof typeof LIMITS];
    if (value === undefined || (Number.isSafeInteger(value) && value >= min && value <= max)) {
      continue;
    }
    throw new RangeError(
      `${what}: "${name}" must be an integer from ${min} to ${max}: got ${shown(value)}`,
    );
  }
  if (!file.direct) return;
  throw new Deno.errors.NotSupported(
    `${what}: it is open with "direct", which writes whole blocks; open it without, or use writeAt()`,
  );
}
