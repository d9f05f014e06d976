/**
 * copying_mark.ts: which descriptor a backend reads right now by a call of its own, without an IO:
 * one word in its record. Whoever closes a descriptor looks there, as it looks at handles; and as
 * with an IO the word is written before the mark of the file is looked at: see closing_fd.ts.
 *
 * @module
 */

import type { FileSlot } from "./file_slot.ts";
import * as layout from "../memory/shared_memory.ts";
import type { Control } from "../memory/shared_memory.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { BACKEND, FILE } = layout;

/** The word of one backend. */
export class CopyingMark {
  readonly #control: Control;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #at: number;

  /**
   * @param control where it is
   * @param backendId whose it is
   */
  constructor(control: Control, backendId: number) {
    this.#control = control;
    this.#words = control.words;
    this.#at = control.backendAt(backendId) + BACKEND.copyingFd;
  }

  /**
   * This thread is about to read a file; {@linkcode end} takes that back.
   *
   * @returns false if the file is being closed, or was: it must not be read
   */
  begin({ slot, generation, fd }: FileSlot & { readonly fd: number }): boolean {
    const words = this.#words;
    words[this.#at] = fd + 1;
    const file = this.#control.fileAt(slot);
    if (words[file + FILE.closing] === 0 && words[file + FILE.generation] === generation) {
      return true;
    }
    this.end();
    return false;
  }

  /** It has read. */
  end(): void {
    this.#words[this.#at] = 0;
  }
}

/** Whether any thread reads a descriptor that way. */
export function isCopied(control: Control, fd: number): boolean {
  for (let id = 0; id < control.maxBackends; id++) {
    const present = Atomics.load(control.words, control.backendAt(id) + BACKEND.copyingFd);
    if (present === fd + 1) return true;
  }
  return false;
}

/** Takes a backend's mark away: its thread has died. */
export function unmarkCopying(control: Control, id: number): void {
  Atomics.store(control.words, control.backendAt(id) + BACKEND.copyingFd, 0);
}
