/**
 * held_files.ts: Deno's descriptors of files that this thread opened and is done with, and that
 * other threads still use.
 *
 * They stay open until the last user is done, as closing one drops the process's POSIX locks on the
 * file, and only this thread may close them, as Deno closes them once more when the thread ends. So
 * each waits for the word that says that the file is over, which keeps no event loop alive.
 *
 * @module
 */

import type { FileCalls } from "./file_calls.ts";
import type { OpenFileTable } from "./file_table.ts";
import type { FileSlot } from "./file_slot.ts";

/** What holding needs of its backend. */
export interface HoldingHost {
  /** The table of open files. */
  readonly files: OpenFileTable;
  /** Takes warnings; never throws. */
  readonly warn: (message: string, cause?: unknown) => void;
}

/** How descriptors are closed: `FileCallForms`. */
type ClosingForms = Readonly<Record<"awaited" | "blocking", Pick<FileCalls, "closeDenos">>>;

/** Why a descriptor is held. */
interface HeldFile {
  readonly slot: FileSlot;
  /** Bits of `FILE_FLAGS`. */
  readonly flags: number;
}

/** The held descriptors of one backend. */
export class HeldFiles {
  readonly #host: HoldingHost;
  readonly #calls: ClosingForms;
  /** Whether the libraries are there, without which a descriptor is closed in this thread. */
  #hasLibraries = true;
  readonly #held = new Map<number, HeldFile>();
  readonly #closings = new Set<Promise<void>>();

  /**
   * For one backend.
   *
   * @param host the backend
   * @param calls close descriptors
   */
  constructor(host: HoldingHost, calls: ClosingForms) {
    this.#host = host;
    this.#calls = calls;
  }

  /**
   * Holds Deno's descriptor of a file until its last user is done, and closes it then.
   *
   * @param flags bits of `FILE_FLAGS`
   */
  hold(slot: FileSlot, denosFd: number, flags: number): void {
    this.#held.set(denosFd, { slot, flags });
    void this.#host.files.over(slot).then(() => this.#closeHeld(slot, denosFd));
  }

  /**
   * The last user of a file is in this thread after all: it closes it.
   *
   * @returns Deno's descriptor, or -1
   */
  take({ slot, generation }: FileSlot): number {
    for (const [denosFd, { slot: held }] of this.#held) {
      if (held.slot !== slot || held.generation !== generation) continue;
      this.#held.delete(denosFd);
      return denosFd;
    }
    return -1;
  }

  /** Whether any is still to be closed though its last user is done. */
  get isClosing(): boolean {
    const { files } = this.#host;
    return this.#closings.size > 0 || this.#held.values().some(({ slot }) => files.isOver(slot));
  }

  /** Once it was taken, its number may be that of another file that is held. */
  #closeHeld(slot: FileSlot, denosFd: number): void {
    const held = this.#held.get(denosFd);
    if (held?.slot !== slot) return;
    this.#held.delete(denosFd);
    const closing = this.#close(denosFd, held.flags);
    this.#closings.add(closing);
    void closing.then(() => this.#closings.delete(closing));
  }

  async #close(denosFd: number, flags: number): Promise<void> {
    try {
      const { awaited, blocking } = this.#calls;
      await (this.#hasLibraries ? awaited : blocking).closeDenos(denosFd, flags);
    } catch (error) {
      this.#host.warn(`Cannot close descriptor ${denosFd}, which another thread used last`, error);
    }
  }

  /**
   * Closes all whose last user is done. The others stay held: whoever uses such a file goes on, and
   * it is closed by this thread all the same, once that is over.
   */
  async settle(): Promise<void> {
    for (const [denosFd, { slot }] of [...this.#held]) {
      if (this.#host.files.isOver(slot)) this.#closeHeld(slot, denosFd);
    }
    while (this.#closings.size > 0) await Promise.all(this.#closings);
    this.#hasLibraries = false;
  }
}
