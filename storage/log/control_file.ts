/**
 * control_file.ts: the file `control` of a log's directory: which log it is, how often it was
 * opened, where it begins, and up to where it is durable at the least. It is replaced as a whole,
 * so that a crash leaves the old one or the new one.
 *
 * The number of an opening is durable before its first record is written. A record that a crash
 * cut off has an older number than what is appended in its place, and so never comes back.
 *
 * @module
 */

import { shown } from "../../core/inside.ts";
import { crc32c } from "./crc32c.ts";

/** What a log knows of itself beside its records. */
export interface LogControl {
  /** Random, another one for each log. */
  readonly identity: readonly [number, number];
  readonly segmentBytes: number;
  /** The number of the newest opening, from 1. */
  readonly opening: number;
  /** Where the log begins. */
  readonly start: number;
  /** A position where a record ends: all before is durable, and all behind is of this opening. */
  readonly durable: number;
  /** Bytes of what may have been written and not flushed. */
  readonly bufferBytes: number;
  /** Whether the log was closed there, so that nothing follows. Logs of version 0.1 do not say. */
  readonly isClosed?: boolean;
}

/** The name of the file. */
export const CONTROL_NAME = "control";
const KIND = "deno-aio log";
const VERSION = 1;

/** What is written into the file. */
export function encodeControl(control: LogControl): string {
  const fields = JSON.stringify({ kind: KIND, version: VERSION, ...control });
  return `${fields}\n${crcOf(fields)}\n`;
}

/** @throws {Deno.errors.InvalidData} if it was damaged, or is none */
export function parseControl(path: string, text: string): LogControl {
  const [fields = "", crc] = text.split("\n");
  if (crc !== crcOf(fields)) {
    throw new Deno.errors.InvalidData(
      `Cannot open the log: ${shown(path)} is damaged: restore it from a copy of the log`,
    );
  }
  const { kind, version, ...control } = JSON.parse(fields);
  if (kind !== KIND || version !== VERSION) {
    throw new Deno.errors.InvalidData(
      `Cannot open the log: ${shown(path)} is of ${shown(kind)}, version ${version}, ` +
        `and not of "${KIND}", version ${VERSION}`,
    );
  }
  return control;
}

function crcOf(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return crc32c(0, bytes, 0, bytes.length).toString(16);
}
