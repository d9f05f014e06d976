/**
 * option_names.ts: the check that options have no name that is none.
 *
 * @module
 */

import { shown } from "../../core/inside.ts";

/**
 * Refuses options that are none.
 *
 * @param what cannot be done then, in words
 * @param known their names
 * @throws {TypeError} for what is no object, or has another one
 */
export function checkNames(what: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`${what}: its options must be an object: got ${shown(options)}`);
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    throw new TypeError(`${what}: unknown option "${name}": known are ${known.join(", ")}`);
  }
}
