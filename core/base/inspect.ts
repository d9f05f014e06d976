/**
 * inspect.ts: how objects with much inside show themselves to `console.log()`: in one short line.
 *
 * @module
 */

/** The name of the method that Deno calls for it. */
export const INSPECT: unique symbol = Symbol.for("Deno.customInspect");
