/**
 * append_rest.ts: what becomes of the part of an append that was written before it failed: zeros. A
 * hole reads as zeros then, and what is appended in its place has no rest of it behind. That needs
 * no new space. Where it fails as well the part remains.
 *
 * @module
 */

import type { AddressOf } from "./alignment.ts";
import type { Transfers } from "./transfer.ts";
import { type TransferFile, type TransferRequest, transferRequest } from "./transfer_request.ts";

/** What is written, again and again. */
const ZEROS = new Uint8Array(65_536);

type RestFile = TransferFile & { readonly addressOf: AddressOf };

/** Writes zeros over a part of a file. */
export async function eraseRest(
  transfers: Transfers,
  file: RestFile,
  from: number,
  to: number,
): Promise<void> {
  await transfers.runSlowly(zeros(file, from, to)).catch(() => {});
}

/** The same, blocking. */
export function eraseRestSync(
  transfers: Transfers,
  file: RestFile,
  from: number,
  to: number,
): void {
  try {
    transfers.runSync(zeros(file, from, to));
  } catch {
    // As above.
  }
}

function zeros(file: RestFile, from: number, to: number): TransferRequest {
  const views: Uint8Array[] = [];
  for (let left = to - from; left > 0; left -= ZEROS.length) views.push(ZEROS.subarray(0, left));
  return transferRequest(file, "write", views, from, file.addressOf);
}
