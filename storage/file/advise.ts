/**
 * advise.ts: how `advise` becomes an IO of the core.
 *
 * @module
 */

import { checkEnd, checkOffset, shown, system, systemError } from "../../core/inside.ts";
import type { AioReturn } from "../../core/mod.ts";
import type { FileInside } from "./file_inside.ts";
import { type PlainIo, runPlain, runPlainSync } from "./plain_io.ts";

/** By name: the number. */
const FADVISE_ADVICE: Readonly<Record<Advice, number>> = system.FADVISE_ADVICE;

/** How a range of a file will be used. */
export type Advice =
  | "normal"
  | "sequential"
  | "random"
  | "noReuse"
  | "willNeed"
  | "dontNeed";

/** Tells the system, awaiting it. @throws what it says */
export async function advise(
  file: FileInside,
  advice: Advice,
  offset: number,
  length: number,
): Promise<void> {
  const io = checkAdvice(file, advice, offset, length);
  check(file, advice, await runPlain(file.transfers.aio, file, io, undefined));
}

/** The same, blocking. */
export function adviseSync(
  file: FileInside,
  advice: Advice,
  offset: number,
  length: number,
): void {
  const io = checkAdvice(file, advice, offset, length);
  check(file, advice, runPlainSync(file.transfers.aio, file, io));
}

function checkAdvice(file: FileInside, advice: Advice, offset: number, length: number): PlainIo {
  file.checkOpen("advise on");
  // What every object inherits has names, too.
  if (!Object.hasOwn(FADVISE_ADVICE, advice)) {
    throw new TypeError(
      `${cannot(file, advice)}: there is no such advice, known are ${
        Object.keys(FADVISE_ADVICE).join(", ")
      }`,
    );
  }
  checkOffset("advise", offset);
  if (!Number.isSafeInteger(length) || length < 0) refuseLength(length);
  checkEnd("advise on", offset, length);
  return { operation: "fadvise", operands: { offset, length, flags: FADVISE_ADVICE[advice] } };
}

function refuseLength(length: number): never {
  const message =
    `Cannot advise on ${shown(length)} bytes: lengths are integers from 0, which is ` +
    `to the end of the file, to ${Number.MAX_SAFE_INTEGER}`;
  throw typeof length === "number" ? new RangeError(message) : new TypeError(message);
}

function check(file: FileInside, advice: Advice, { result }: AioReturn): void {
  if (result.status !== "error") return;
  const fields = { syscall: "posix_fadvise", path: file.path };
  throw systemError(result.errorData, cannot(file, advice), fields);
}

function cannot({ path }: FileInside, advice: Advice): string {
  return `Cannot advise ${shown(advice)} on ${shown(path)}`;
}
