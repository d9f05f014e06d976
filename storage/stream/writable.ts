/**
 * writable.ts: a web stream into a file, over a write stream.
 *
 * @module
 */

import type { FileInside } from "../file/file_inside.ts";
import { type WriteStream, writeStreamOf, type WriteStreamOptions } from "./write_stream.ts";

/** What `writable` takes. */
export interface WritableOptions extends WriteStreamOptions {
  /** Whether the data is on disk when the stream has closed. Default: false. */
  readonly durable?: boolean | undefined;
}

/** A web stream into a file. */
export class FileWritable extends WritableStream<Uint8Array> {
  readonly #stream: WriteStream;

  /** @ignore */
  constructor(stream: WriteStream, durable: boolean | undefined) {
    super({
      write: (chunk) => writeOrEnd(stream, chunk),
      close: () => stream.close({ durable }),
      abort: () => stream.abort(),
    });
    this.#stream = stream;
  }

  /** How many bytes, from the first one on, the system has taken; right after an abort, too. */
  get bytesWritten(): number {
    return this.#stream.bytesWritten;
  }
}

/** A web stream whose write has failed calls neither `close` nor `abort` any more. */
async function writeOrEnd(stream: WriteStream, chunk: Uint8Array): Promise<void> {
  try {
    await stream.write(chunk);
  } catch (error) {
    await stream.abort();
    throw error;
  }
}

/** See `AioFile.writable`. */
export function writable(
  file: FileInside,
  { durable, ...options }: WritableOptions,
): FileWritable {
  return new FileWritable(writeStreamOf(file, options), durable);
}
