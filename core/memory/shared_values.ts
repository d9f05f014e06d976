/**
 * shared_values.ts: how layers above the core keep what they share: they import it from here, by
 * one name.
 *
 * @module
 */

export * as positions from "./position.ts";
