/**
 * device_log.ts: the log of a block device: each write and each flush, in the order in which they
 * were over. `qemu-nbd` writes it, in the format of the kernel's dm-log-writes:
 *
 * ```text
 * sector 0: of the log itself      entry: head  data ...      entry: head      ...
 * ```
 *
 * The count in its first sector is written by flushes alone, so it is not looked at: behind the
 * last entry there are zeros.
 *
 * @module
 */

/** What the device, and so its log, counts in: what a disk writes as a whole. */
export const SECTOR_BYTES = 512;

const HEAD_BYTES = 32;
const HEAD = { sector: 0, sectors: 8, flags: 16 } as const;
const FLUSH = 1;

/** A write; without bytes, a flush of all writes before it. */
export interface DeviceEntry {
  /** On the device. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly isFlush: boolean;
}

/** Where the bytes of an entry are. */
interface EntryHead {
  readonly at: number;
  readonly length: number;
  readonly offset: number;
  readonly isFlush: boolean;
}

/** A log that grows. */
export class DeviceLog implements Disposable {
  readonly #file: Deno.FsFile;
  readonly #heads: EntryHead[] = [];
  #end = SECTOR_BYTES;

  /** @param path of its file, which is longer than all that is logged */
  constructor(path: string) {
    this.#file = Deno.openSync(path, { read: true });
  }

  /** How many entries there are by now. What is over is among them. */
  count(): number {
    for (let head; (head = this.#next()) !== null;) this.#heads.push(head);
    return this.#heads.length;
  }

  /** All entries. The device must be at rest: else bytes of the last one may be on their way. */
  entries(): DeviceEntry[] {
    this.count();
    return this.#heads.map(({ at, length, offset, isFlush }) => {
      return { offset, bytes: this.#read(at, length), isFlush };
    });
  }

  #next(): EntryHead | null {
    const head = new DataView(this.#read(this.#end, HEAD_BYTES).buffer);
    const sectors = Number(head.getBigUint64(HEAD.sectors, true));
    const flags = Number(head.getBigUint64(HEAD.flags, true));
    if (sectors === 0 && flags === 0) return null;
    if (flags !== 0 && (flags !== FLUSH || sectors > 0)) {
      throw new Error(`The device was told what this log is not read for: ${flags}, ${sectors}`);
    }
    const offset = Number(head.getBigUint64(HEAD.sector, true)) * SECTOR_BYTES;
    const [at, length] = [this.#end + SECTOR_BYTES, sectors * SECTOR_BYTES];
    this.#end = at + length;
    return { at, length, offset, isFlush: flags === FLUSH };
  }

  #read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    for (let done = 0; done < length;) {
      const count = this.#file.readSync(bytes.subarray(done));
      if (count === null) throw new Error("The log of the device has grown over its file");
      done += count;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}
