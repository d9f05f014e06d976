/**
 * callbacks.ts: two layers of callbacks for `layered_callbacks.ts`, as a buffer manager has them.
 * From the file upwards:
 *
 * 1. `fileReadv`, built in: the system's answer becomes bytes, or an error with its number.
 * 2. `wholePages`: bytes become pages.
 * 3. `pageHeaders`: each page is looked at, as PostgreSQL does after a read.
 *
 * They complete shared: in whichever thread notices that the IO is done. Whoever changes the status
 * of a result is the one whose `report` is asked for words.
 *
 * @module
 */

import type { AioCallbacks, AioResult, CallbackHandle } from "../../core/mod.ts";

/** Bytes of a page. */
export const PAGE_BYTES = 8192;
const HEADER_BYTES = 24;
/** Where a page's header keeps the ends of its parts, and its size and layout version. */
const HEADER = { lower: 12, upper: 14, special: 16, sizeAndVersion: 18 } as const;
const SIZE_AND_VERSION = PAGE_BYTES | 4;

/** What each layer was given, in the order in which they ran. */
export const trace: string[] = [];

function judge(page: Uint8Array): "empty" | "valid" | "damaged" {
  if (page.every((byte) => byte === 0)) return "empty";
  const view = new DataView(page.buffer, page.byteOffset, PAGE_BYTES);
  const [lower, upper, special, sizeAndVersion] = Object.values(HEADER).map((at) =>
    view.getUint16(at, true)
  ) as [number, number, number, number];
  const isValid = sizeAndVersion === SIZE_AND_VERSION && HEADER_BYTES <= lower && lower <= upper &&
    upper <= special && special <= PAGE_BYTES;
  return isValid ? "valid" : "damaged";
}

function completePages(handle: CallbackHandle, prior: AioResult): AioResult {
  trace.push(`wholePages: ${prior.status}, ${prior.result} of ${handle.length} bytes`);
  if (prior.status === "error") return prior;
  prior.result = Math.floor(prior.result / PAGE_BYTES);
  if (prior.status === "partial") prior.errorData = handle.length / PAGE_BYTES;
  return prior;
}

function checkHeaders(handle: CallbackHandle, prior: AioResult): AioResult {
  trace.push(`pageHeaders: ${prior.status}, ${prior.result} pages`);
  if (prior.status === "error") return prior;
  const numbers = handle.handleData();
  const verdicts = handle.buffers().slice(0, prior.result).map(judge);
  const worst = verdicts.includes("damaged") ? "damaged" : "empty";
  const first = verdicts.indexOf(worst);
  if (first < 0) return prior;
  prior.status = worst === "damaged" ? "error" : "warning";
  prior.errorData = numbers[first]!;
  return prior;
}

/** The callbacks by name, as the option `callbackModules` wants them. */
export const callbacks: Readonly<Record<string, AioCallbacks>> = {
  wholePages: {
    completeShared: completePages,
    report: ({ result, errorData }) => `read only ${result} of ${errorData} pages`,
  },
  pageHeaders: {
    completeShared: checkHeaders,
    report: ({ status, errorData }) =>
      status === "warning"
        ? `page ${errorData} is empty: it was never written`
        : `page ${errorData} is damaged: its header is not valid`,
  },
};
