/**
 * flagged_file.ts: a file whose transfers have flags of `preadv2(2)` and `pwritev2(2)`: what the
 * options `durable` and `cache` of a transfer come to.
 *
 * A file system that does not know a flag refuses the transfer and does nothing. That is remembered
 * for its device, and the transfer is made without it; a write that was to be durable is then
 * followed by a flush. So is one to a file whose system forgets the flag.
 *
 * @module
 */

import { shown, system } from "../../core/inside.ts";
import type { AioHandle, StartOptions } from "../../core/mod.ts";
import type { AddressOf } from "./alignment.ts";
import type { ManyTransfersFile } from "./many_transfer.ts";
import type { Direction } from "./transfer_request.ts";
import { WrappedFile } from "./wrapped_file.ts";

const { RWF_DONTCACHE, RWF_DSYNC } = system;
/** How many flags there are. */
const FLAGS_MAX = 2;

/** By device: the flags that it has refused. */
export type RefusedFlags = Map<string, number>;

/** The file itself. */
interface WholeFile extends ManyTransfersFile {
  readonly device: string;
  readonly forgetsDsync: boolean;
  reaches(end: number): void;
  beginWrite(end: number): void;
  endWrite(end: number): void;
  settleFailed(): Promise<void> | null;
  settleFailedSync(): void;
  start(
    direction: Direction,
    handle: AioHandle,
    offset: number,
    options?: StartOptions,
    flags?: number,
  ): void;
}

/** A file, with transfers that have flags. */
export class FlaggedFile extends WrappedFile implements ManyTransfersFile {
  readonly addressOf: AddressOf;
  readonly #file: WholeFile;
  readonly #wanted: number;
  readonly #refused: RefusedFlags;

  /**
   * @param file the file
   * @param wanted its flags
   * @param refused which ones its device has refused
   */
  constructor(file: WholeFile, wanted: number, refused: RefusedFlags) {
    super(file);
    this.addressOf = file.addressOf;
    this.#file = file;
    this.#wanted = wanted;
    this.#refused = refused;
  }

  /** Those of its flags that its device knows. */
  get flags(): number {
    const { device, forgetsDsync } = this.#file;
    return this.#wanted & ~(this.#refused.get(device) ?? 0) & ~(forgetsDsync ? RWF_DSYNC : 0);
  }

  /** Whether a write that went well is not durable yet. */
  get isFlushOwed(): boolean {
    return (this.#wanted & RWF_DSYNC) !== (this.flags & RWF_DSYNC);
  }

  start(direction: Direction, handle: AioHandle, offset: number, options?: StartOptions): void {
    this.#file.start(direction, handle, offset, options, this.flags);
  }

  giveUpRefused(before: number): boolean {
    const flags = this.flags;
    if (flags !== 0) {
      // The one that fewer systems know comes first: the answer does not tell which it was.
      const refused = (flags & RWF_DONTCACHE) !== 0 ? RWF_DONTCACHE : flags;
      const { device } = this.#file;
      this.#refused.set(device, (this.#refused.get(device) ?? 0) | refused);
      return true;
    }
    // Others that were refused at the same time may have given up all of them already.
    return before < FLAGS_MAX && this.#wanted !== 0;
  }

  checkAccess(direction: Direction, offset: number): void {
    this.#file.checkAccess(direction, offset);
  }

  reaches(end: number): void {
    this.#file.reaches(end);
  }

  beginWrite(end: number): void {
    this.#file.beginWrite(end);
  }

  endWrite(end: number): void {
    this.#file.endWrite(end);
  }

  settleFailed(): Promise<void> | null {
    return this.#file.settleFailed();
  }

  settleFailedSync(): void {
    this.#file.settleFailedSync();
  }
}

/** What the options of a transfer may be. */
export interface FlagOptions {
  readonly durable?: boolean | undefined;
  readonly cache?: "keep" | "drop" | undefined;
}

/**
 * The flags that options come to. Past the page cache there is nothing to drop from it.
 *
 * @throws {TypeError} for a value that is none of the option's
 */
export function flagsOf(
  options: FlagOptions | undefined,
  direction: Direction,
  { path, direct }: { readonly path: string; readonly direct: boolean },
): number {
  if (options === undefined) return 0;
  const { durable, cache } = options;
  if (durable === undefined && cache === undefined) return 0;
  const refuse = (what: string, value: unknown): never => {
    throw new TypeError(
      `Cannot ${direction} ${shown(path)}: the option ${what}: got ${shown(value)}`,
    );
  };
  if (durable !== undefined && typeof durable !== "boolean") {
    refuse('"durable" must be a boolean', durable);
  }
  if (durable === true && direction === "read") refuse('"durable" is of writes', durable);
  if (cache !== undefined && cache !== "keep" && cache !== "drop") {
    refuse('"cache" must be "keep" or "drop"', cache);
  }
  const isDropped = cache === "drop" && !direct;
  return (durable === true ? RWF_DSYNC : 0) | (isDropped ? RWF_DONTCACHE : 0);
}
