/**
 * counted.ts: the counters of a backend, as tests look at them.
 *
 * @module
 */

import { assert } from "@std/assert";
import type { BackendCounters } from "../../core/io/counters.ts";
import type { Fixture } from "./core.ts";

/** All counters of a backend. */
export function allOf({ aio }: Fixture, id = 0): BackendCounters {
  const row = aio.backends().find(({ backendId }) => backendId === id);
  assert(row !== undefined, `Backend ${id} has no row`);
  return row.counters;
}

/** The counters that are not 0. */
export function counted(fixture: Fixture, id = 0): Partial<BackendCounters> {
  return Object.fromEntries(Object.entries(allOf(fixture, id)).filter(([, count]) => count !== 0));
}
