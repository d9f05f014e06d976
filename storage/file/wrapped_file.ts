/**
 * wrapped_file.ts: what a file that starts its IO in another way has of the file itself.
 *
 * @module
 */

import type { Alignment } from "./alignment.ts";
import type { TransferFile } from "./transfer_request.ts";

/** All of a {@linkcode TransferFile} but how it starts IO. */
export abstract class WrappedFile {
  readonly path: string;
  readonly direct: boolean;
  readonly alignment: Alignment;
  readonly #file: Omit<TransferFile, "start">;

  /** @param file the file itself */
  constructor(file: Omit<TransferFile, "start">) {
    this.path = file.path;
    this.direct = file.direct;
    this.alignment = file.alignment;
    this.#file = file;
  }

  get shownName(): string {
    return this.#file.shownName;
  }

  sizeSync(): number {
    return this.#file.sizeSync();
  }

  begin(): void {
    this.#file.begin();
  }

  end(): void {
    this.#file.end();
  }
}
