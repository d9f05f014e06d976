/**
 * token.ts: what another thread needs to find the same shared memory and the same files.
 * Tokens are plain objects that can be posted to Workers.
 *
 * @module
 */

import { shown } from "../base/errors.ts";
import type { EffectiveOptions } from "../base/options.ts";
import { type Control, HEADER, LAYOUT_VERSION } from "./shared_memory.ts";

/** Names an Aio, for other threads of the same process. */
export interface AioToken {
  /** What it is. */
  readonly kind: "deno-aio";
  /** The layout of its memory. */
  readonly version: number;
  /** Handles, files and everything else that is shared. */
  readonly control: SharedArrayBuffer;
  /** The memory that IO goes to. */
  readonly arena: SharedArrayBuffer;
  /**
   * The same, for code of WebAssembly.
   *
   * @ignore
   */
  readonly arenaMemory: WebAssembly.Memory;
  /** The method that was chosen. */
  readonly method: string;
  /** The options in force. */
  readonly options: EffectiveOptions;
}

/** Names an open file, for other threads of the same process. */
export interface FileToken {
  /** What it is. */
  readonly kind: "deno-aio file";
  /** The layout of the table of files. */
  readonly version: number;
  /** Which Aio's file it is: two random words. */
  readonly identity: readonly [number, number];
  /** Its slot. */
  readonly slot: number;
  /** Which use of the slot. */
  readonly generation: number;
  /** The whole path; the shared table keeps only its end. */
  readonly path: string;
}

/** What has which kind of token. */
const TOKENS = {
  "deno-aio": "aio.token",
  "deno-aio file": "file.token",
  "deno-aio pool": "pool.token",
  "deno-aio log": "log.token",
} as const;

/** The two random words that tell one Aio from another. */
export function identityOf(control: Control): readonly [number, number] {
  return [control.words[HEADER.identityLow]!, control.words[HEADER.identityHigh]!];
}

/**
 * Refuses what is not a token of this version of the module.
 *
 * @throws {TypeError} if it is no such token, or of another version
 */
export function checkToken(call: string, token: unknown, kind: keyof typeof TOKENS): void {
  const has = typeof token === "object" && token !== null && "kind" in token && "version" in token;
  if (!has || token.kind !== kind) {
    throw new TypeError(`Cannot ${call} with ${shown(token)}: pass ${TOKENS[kind]}`);
  }
  if (token.version !== LAYOUT_VERSION) {
    throw new TypeError(
      `Cannot ${call} with a token of version ${shown(token.version)}: this module has version ` +
        `${LAYOUT_VERSION}; let all threads import the same one`,
    );
  }
}
