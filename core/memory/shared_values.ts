/**
 * shared_values.ts: how layers above the core keep what they share, and lock it: they import each
 * from here, by one name.
 *
 * @module
 */

export * as locks from "./lock.ts";
export * as positions from "./position.ts";
