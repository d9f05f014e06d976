/**
 * listed_ios.ts: the rows of `aio.ios()`, as tests look at them.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import { type IoRow, type IoRowState, listIos } from "../../core/views/io_rows.ts";
import type { Fixture } from "./core.ts";

/** The states that a row can have, in the order of their numbers from 1. */
export const STATES: readonly IoRowState[] = [
  "HANDED_OUT",
  "DEFINED",
  "STAGED",
  "SUBMITTED",
  "COMPLETED_IO",
  "COMPLETED_SHARED",
  "COMPLETED_LOCAL",
];

/** All rows. */
export function ios({ aio }: Fixture): IoRow[] {
  return listIos(backendOf(aio).control, backendOf(aio).targets);
}

/** The only row there is. */
export function onlyIo(fixture: Fixture): IoRow {
  const rows = ios(fixture);
  assertEquals(rows.length, 1);
  return rows[0]!;
}
