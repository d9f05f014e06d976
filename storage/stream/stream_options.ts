/**
 * stream_options.ts: what `readStream` takes and refuses, and the callback of a range.
 *
 * @module
 */

import { alignUp, isAligned, PAGE_SIZE_BYTES, shown } from "../../core/inside.ts";
import type { EffectiveOptions } from "../../core/mod.ts";
import type { FileInside } from "../file/file_inside.ts";
import { checkNames } from "../file/option_names.ts";
import type { ReadAheadOptions } from "./look_ahead.ts";

/** How a file is read page by page. */
export interface ReadStreamOptions<T = undefined> {
  /**
   * Says which block is next; null: there is none. The stream calls it ahead of what it delivers.
   * It gets the data that the page will be delivered with. Default: the blocks of `from` and
   * `until`, upward.
   */
  next?: (data: T) => number | null;
  /** The first block, without `next`. Default: 0. */
  from?: number;
  /**
   * The block behind the last one, without `next`. Default: behind the end of the file as it is
   * when the first page is wanted.
   */
  until?: number;
  /** Bytes of a page. Default: `aio.options.pageSize`. Range: 512..65536, a power of two. */
  pageSize?: number;
  /** It is work in the background: `maintenanceIoConcurrency` holds. Default: false. */
  maintenance?: boolean;
  /**
   * The blocks come upward without gaps, so that the kernel sees that by itself. Default: true
   * without `next`.
   */
  sequential?: boolean;
  /** All blocks will be consumed, so that the first read is a full one. Default: false. */
  full?: boolean;
  /**
   * What is started ahead is submitted together: `next` may not start IO, or wait for any.
   * Default: false.
   */
  batching?: boolean;
  /** Makes the data of a page; as many as pages may be read ahead, used again and again. */
  pageData?: () => T;
  /** Ends the stream: its calls reject with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** The type of each option. */
const OPTIONS: Readonly<Record<keyof ReadStreamOptions, string>> = {
  next: "function",
  from: "number",
  until: "number",
  pageSize: "number",
  maintenance: "boolean",
  sequential: "boolean",
  full: "boolean",
  batching: "boolean",
  pageData: "function",
  signal: "object",
};

const PAGE_SIZE_MIN = 512;
const PAGE_SIZE_MAX = 65_536;

/** Refuses options that cannot be. @throws {TypeError} or {RangeError} */
export function checkStreamOptions<T>(path: string, options: ReadStreamOptions<T>): void {
  const refuse = (why: string): never => {
    throw new TypeError(`Cannot stream ${shown(path)}: ${why}`);
  };
  checkNames(`Cannot stream ${shown(path)}`, options, Object.keys(OPTIONS));
  for (const [name, value] of Object.entries(options)) {
    const type = OPTIONS[name as keyof ReadStreamOptions];
    if (value !== undefined && typeof value !== type) {
      refuse(`"${name}" must be of type ${type}: got ${shown(value)}`);
    }
  }
  const { next, from = 0, until = Infinity, signal } = options;
  if (next !== undefined && (options.from !== undefined || options.until !== undefined)) {
    refuse('either "next" says which blocks, or "from" and "until"');
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    refuse(`"signal" must be an AbortSignal: got ${shown(signal)}`);
  }
  const isBlock = (block: number) => Number.isSafeInteger(block) && block >= 0;
  if (!isBlock(from) || !(until === Infinity || isBlock(until)) || from > until) {
    throw new RangeError(
      `Cannot stream ${shown(path)} from block ${from} until ${until}: ` +
        "both are integers from 0, in this order",
    );
  }
}

/** The size of a page. @throws {RangeError} for one that is none, or that the file cannot have */
export function checkPageSize({ path, direct, alignment }: FileInside, pageSize: number): number {
  const isPowerOfTwo = Number.isInteger(Math.log2(pageSize));
  if (!isPowerOfTwo || pageSize < PAGE_SIZE_MIN || pageSize > PAGE_SIZE_MAX) {
    throw new RangeError(
      `Cannot stream ${shown(path)} by pages of ${pageSize} bytes: ` +
        `a power of two from ${PAGE_SIZE_MIN} to ${PAGE_SIZE_MAX}`,
    );
  }
  if (!direct) return pageSize;
  const unit = Math.max(alignment.offset, Math.min(alignment.memory, PAGE_SIZE_BYTES));
  if (isAligned(pageSize, unit)) return pageSize;
  throw new RangeError(
    `Cannot stream ${shown(path)} by pages of ${pageSize} bytes: ` +
      `direct reads are multiples of ${alignUp(unit, PAGE_SIZE_MIN)}`,
  );
}

/** Passes a callback's blocks on. @throws {RangeError} for what is no block of any file */
function checkedNext<T>(
  path: string,
  pageSize: number,
  next: (data: T) => number | null,
): (data: unknown) => number | null {
  const blocksMax = Math.floor(Number.MAX_SAFE_INTEGER / pageSize);
  return (data) => {
    const block: unknown = next(data as T);
    if (block === null || block === undefined) return null;
    if (typeof block === "number" && Number.isInteger(block) && block >= 0 && block < blocksMax) {
      return block;
    }
    throw new RangeError(
      `Cannot read block ${shown(block)} of ${shown(path)}: ` +
        `"next" returns an integer from 0, below ${blocksMax}, or null`,
    );
  };
}

/** The blocks of a range, upward. */
export class BlockRange {
  readonly #from: number;
  #until: number;
  #next: number;

  /**
   * @param from the first block
   * @param until the one behind the last; infinite: not known yet
   */
  constructor(from: number, until: number) {
    this.#from = this.#next = from;
    this.#until = until;
  }

  /** Whether its end is not known yet. */
  get isOpen(): boolean {
    return this.#until === Infinity;
  }

  /** How many blocks it has. */
  get count(): number {
    return Math.max(0, this.#until - this.#from);
  }

  /** Says where it ends. */
  endAt(until: number): void {
    this.#until = until;
  }

  /** Begins again. */
  restart(): void {
    this.#next = this.#from;
  }

  /** The next block. */
  readonly next = (): number | null => this.#next < this.#until ? this.#next++ : null;
}

/** The range that options give; null: they have a callback. */
export function rangeOf<T>(
  { next, from = 0, until = Infinity }: ReadStreamOptions<T>,
): BlockRange | null {
  return next === undefined ? new BlockRange(from, until) : null;
}

/** What the look-ahead goes by: what options say, and what is in force. */
export function readAheadOptionsOf<T>(
  path: string,
  pageSize: number,
  options: ReadStreamOptions<T>,
  range: BlockRange | null,
  inForce: EffectiveOptions,
): ReadAheadOptions {
  return {
    maxIos: options.maintenance === true
      ? inForce.maintenanceIoConcurrency
      : inForce.effectiveIoConcurrency,
    ioCombineLimit: inForce.ioCombineLimit,
    sequential: options.sequential ?? range !== null,
    full: options.full ?? false,
    batching: options.batching ?? false,
    next: checkedNext(path, pageSize, options.next ?? range!.next),
    makeData: options.pageData ?? null,
  };
}
