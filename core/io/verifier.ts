/**
 * verifier.ts: functions that say whether a page that was read is what was written.
 *
 * Like callbacks they are known by small numbers, because the thread that completes the read need
 * not be the one that wants the page. They run within a callback, so one that throws must not keep
 * the IO from being completed: its page is invalid.
 *
 * @module
 */

import { shown } from "../base/errors.ts";
import { NameTable } from "../base/name_table.ts";
import { refusePromise } from "../base/promise.ts";

/** What there is to say of a page. */
export type PageVerdict = "ok" | "badChecksum" | "invalid";

const VERDICTS: readonly PageVerdict[] = ["ok", "badChecksum", "invalid"];

/**
 * Looks at one page, in whichever thread completes the read. It may not wait, start IO or return a
 * promise.
 *
 * @param bytes the page
 * @param block its number in the file
 */
export type PageVerifier = (bytes: Uint8Array, block: number) => PageVerdict;

/** Gives a verifier its type, for modules of callbacks. */
export function defineVerifier(verifier: PageVerifier): PageVerifier {
  return verifier;
}

/** Verifiers by id; 0 is none. */
export class VerifierTable extends NameTable {
  readonly #verifiers: (PageVerifier | null)[] = [null];
  readonly #warn: (message: string, cause?: unknown) => void;

  /**
   * An empty table.
   *
   * @param warn takes what a verifier throws
   */
  constructor(warn: (message: string, cause?: unknown) => void) {
    super("verifier");
    this.#warn = warn;
  }

  /** Adds a verifier under the next id. @throws {TypeError} if it is none, or the name is taken */
  add(name: string, verifier: PageVerifier): void {
    if (typeof verifier !== "function") {
      throw new TypeError(`Cannot register verifier "${name}": ${shown(verifier)} is no function`);
    }
    this.addName(name);
    this.#verifiers.push(verifier);
  }

  /**
   * Has a verifier look at a page; never throws.
   *
   * @returns `"ok"` for id 0; `"invalid"` if the verifier throws or returns anything else than a
   *   verdict
   */
  verify(id: number, bytes: Uint8Array, block: number): PageVerdict {
    const verifier = this.#verifiers[id];
    if (verifier === null || verifier === undefined) return "ok";
    try {
      const verdict: unknown = verifier(bytes, block);
      refusePromise(verdict, "a verifier may not return a promise");
      for (const known of VERDICTS) if (verdict === known) return known;
      this.#warn(`The verifier "${this.nameOf(id)}" returned ${shown(verdict)} for block ${block}`);
    } catch (cause) {
      this.#warn(`The verifier "${this.nameOf(id)}" failed on block ${block}`, cause);
    }
    return "invalid";
  }
}
