/**
 * log_options.ts: what `openLog` takes and refuses.
 *
 * @module
 */

import { shown } from "../../core/inside.ts";
import { checkNames } from "../file/option_names.ts";

/** How a log is opened. */
export interface OpenLogOptions {
  /** Make the log if it is not there, and its directory in one that is. Default: true. */
  readonly create?: boolean | undefined;
  /**
   * Bytes of each of its files, and of the largest record. It is settled when the log is made.
   * Default: 16 MiB. Range: 4 KiB to 1 GiB, a multiple of 4 KiB, and with `direct` of the disk's
   * blocks.
   */
  readonly segmentBytes?: number | undefined;
  /**
   * Bytes of what was written and is not durable yet, in the arena. Default: 1 MiB. Range: 256 KiB
   * to 256 MiB, a multiple of 64 KiB.
   */
  readonly bufferBytes?: number | undefined;
  /**
   * Write past the page cache, in whole blocks, and read so: a flush takes less time and processor
   * time. Default: write so where the file system allows it and is no server's, and read through
   * the page cache what the buffer has no more.
   */
  readonly direct?: boolean | undefined;
  /**
   * What makes a write durable: `"dsync"`: the write itself (`RWF_DSYNC`); `"fdatasync"`: a flush
   * behind it. Default: `"dsync"`.
   */
  readonly sync?: "dsync" | "fdatasync" | undefined;
}

/** The options, all of them. */
export interface LogSettings extends
  Readonly<
    { [K in Exclude<keyof OpenLogOptions, "direct">]-?: NonNullable<OpenLogOptions[K]> }
  > {
  /** Undefined: where it can be. */
  readonly direct: boolean | undefined;
}

/** Bytes that options may be: multiples of a unit. */
const RANGES = {
  segmentBytes: { unit: 4096, min: 4096, max: 1024 * 1024 * 1024 },
  bufferBytes: { unit: 65_536, min: 256 * 1024, max: 256 * 1024 * 1024 },
} as const;
const SYNC_WAYS: readonly unknown[] = ["dsync", "fdatasync"];

const DEFAULTS: LogSettings = {
  create: true,
  segmentBytes: 16 * 1024 * 1024,
  bufferBytes: 1024 * 1024,
  direct: undefined,
  sync: "dsync",
};

/** Refuses options that cannot be. @returns all of them */
export function logSettings(directory: string, options: OpenLogOptions): LogSettings {
  const what = `Cannot open the log in ${shown(directory)}`;
  checkNames(what, options, Object.keys(DEFAULTS));
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const settings: LogSettings = { ...DEFAULTS, ...Object.fromEntries(given) };
  for (const name of ["create", "direct"] as const) {
    if (typeof settings[name] === "boolean" || options[name] === undefined) continue;
    throw new TypeError(`${what}: "${name}" must be a boolean: got ${shown(settings[name])}`);
  }
  checkBytes(what, "segmentBytes", settings.segmentBytes);
  checkBytes(what, "bufferBytes", settings.bufferBytes);
  if (SYNC_WAYS.includes(settings.sync)) return settings;
  throw new TypeError(
    `${what}: "sync" must be "dsync" or "fdatasync": got ${shown(settings.sync)}`,
  );
}

function checkBytes(what: string, name: keyof typeof RANGES, value: number): void {
  const { unit, min, max } = RANGES[name];
  const isMultiple = Number.isSafeInteger(value) && value % unit === 0;
  if (isMultiple && value >= min && value <= max) return;
  throw new RangeError(
    `${what}: "${name}" must be a multiple of ${unit} from ${min} to ${max}: got ${shown(value)}`,
  );
}
