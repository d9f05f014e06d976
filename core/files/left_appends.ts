/**
 * left_appends.ts: what of its appends a thread has left undone that has died. Others have their
 * places behind it, so it stays a hole: whoever reads the file finds zeros there.
 *
 * @module
 */

import { fromWords } from "../../ffi/memory.ts";
import { shown } from "../base/errors.ts";
import { FILE_TARGET } from "../io/target.ts";
import { HANDLE } from "../memory/shared_memory.ts";
import type { FilePart } from "./file_ends.ts";
import type { OpenFileTable } from "./file_table.ts";
import type { FileSlot } from "./file_slot.ts";

/** A completed IO. */
interface CompletedIo {
  readonly words: Int32Array;
  readonly base: number;
  readonly isOnFile: boolean;
}

/**
 * Looks at an IO of a dead thread, which is completed.
 *
 * @returns a warning, if it is an append that was not written whole
 */
export function leftBy(files: OpenFileTable, deadId: number, io: CompletedIo): string | null {
  const { words, base, isOnFile } = io;
  const at = base + HANDLE.targetData;
  if (!isOnFile || words[at + FILE_TARGET.isAppend] !== 1) return null;
  const offset = fromWords(words[at + FILE_TARGET.offsetLow]!, words[at + FILE_TARGET.offsetHigh]!);
  files.ends.foundStarted(deadId, offset);
  const written = Math.max(0, words[base + HANDLE.rawResult]!);
  const length = words[at + FILE_TARGET.length]!;
  if (written >= length) return null;
  const slot = words[at + FILE_TARGET.slot]!;
  const generation = words[at + FILE_TARGET.slotGeneration]!;
  const part = { from: offset + written, to: offset + length };
  return holeWarning(files, { slot, generation }, part);
}

/** Says that a part of a file may be a hole. */
export function holeWarning(files: OpenFileTable, file: FileSlot, { from, to }: FilePart): string {
  const path = files.pathOf(file);
  const name = path === null ? "a file" : shown(path);
  return `Bytes ${from} to ${to - 1} of ${name} may read as zeros: ` +
    "the thread that was appending there has died";
}
