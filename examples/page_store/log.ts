/**
 * log.ts: the log of `page_store.ts`: records of a fixed size, one for each change of a row, which
 * threads append at the same time. Which comes first of two for one row, the lock of its page says.
 *
 * @module
 */

import type { AioFile } from "../../mod.ts";
import { HEADER, headerOf, RECORD_BYTES, recordOf, rowOf } from "./rows.ts";

/** Words that all threads share: which run this is, its records, and flushes begun and done. */
const SHARED = { run: 0, records: 1, begun: 2, done: 3, size: 4 } as const;
const CHUNK_BYTES = 1024 * RECORD_BYTES;

/** What the logs of all threads share. */
export type LogShared = Int32Array<SharedArrayBuffer>;

/** For the first thread. */
export function makeShared(): LogShared {
  const shared = new Int32Array(new SharedArrayBuffer(SHARED.size * 4));
  crypto.getRandomValues(shared.subarray(SHARED.run, SHARED.run + 1));
  return shared;
}

/** The log, in one thread. */
export class RowLog {
  readonly file: AioFile;
  readonly shared: LogShared;

  /** @param shared the same in all threads */
  constructor(file: AioFile, shared: LogShared) {
    this.file = file;
    this.shared = shared;
  }

  /** Appends a change of a row. The caller has its page locked. */
  async append(id: number, row: Uint8Array): Promise<void> {
    const place = Atomics.add(this.shared, SHARED.records, 1);
    await this.file.writeAt(recordOf(id, row), place * RECORD_BYTES);
  }

  /** Makes durable what was appended before the call. */
  async sync(): Promise<void> {
    const ticket = Atomics.add(this.shared, SHARED.begun, 1) + 1;
    await this.file.syncData();
    for (let done = Atomics.load(this.shared, SHARED.done); done < ticket;) {
      done = Atomics.compareExchange(this.shared, SHARED.done, done, ticket);
    }
  }

  /** Notes in a page that its last record has just been appended. */
  mark(page: Uint8Array<SharedArrayBuffer>): void {
    const header = headerOf(page);
    header[HEADER.run] = this.shared[SHARED.run]!;
    header[HEADER.epoch] = Atomics.load(this.shared, SHARED.begun);
  }

  /** Makes the records of a page durable, unless a flush has begun and ended since the last. */
  async syncFor(page: Uint8Array<SharedArrayBuffer>): Promise<void> {
    const header = headerOf(page);
    const isOfThisRun = header[HEADER.run] === this.shared[SHARED.run];
    if (isOfThisRun && Atomics.load(this.shared, SHARED.done) <= header[HEADER.epoch]!) {
      await this.sync();
    }
  }

  /** All changes, from the first on. */
  async *changes(): AsyncGenerator<{ id: number; row: Uint8Array }> {
    const chunk = new Uint8Array(CHUNK_BYTES);
    for (let offset = 0;; offset += CHUNK_BYTES) {
      const bytes = await this.file.readAt(chunk, offset);
      for (let at = 0; at + RECORD_BYTES <= bytes; at += RECORD_BYTES) {
        // A place without a record: its thread died before it wrote it.
        const change = rowOf(chunk.subarray(at, at + RECORD_BYTES));
        if (change !== null) yield change;
      }
      if (bytes < CHUNK_BYTES) return;
    }
  }

  /** Forgets all changes, as the pages have them. */
  async clear(): Promise<void> {
    await this.file.truncate(0);
    await this.file.sync();
    Atomics.store(this.shared, SHARED.records, 0);
  }
}
