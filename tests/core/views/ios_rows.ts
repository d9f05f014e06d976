/**
 * ios_rows.ts: what the tests of the view of all IOs have in common: handles in use by the rules of
 * `handle_uses.ts`, and what is wrong with a row of one.
 *
 * @module
 */

import { FLAG_BITS } from "../../../core/io/handle_flag.ts";
import { OPERATION_NAMES } from "../../../core/io/operation_table.ts";
import { TargetTable } from "../../../core/io/target.ts";
import { effectiveOptions } from "../../../core/base/options.ts";
import { COMPLETED_IO, COMPLETED_SHARED } from "../../../core/memory/handle_state.ts";
import { type Control, createControl } from "../../../core/memory/shared_memory.ts";
import type { IoRow, listIos } from "../../../core/views/io_rows.ts";
import { STATES } from "../../support/listed_ios.ts";
import { valuesOf } from "../fixtures/handle_uses.ts";

/** The function that lists, or one that is changed. */
export type ListIos = typeof listIos;

const RESULTS = ["UNKNOWN", "OK", "PARTIAL", "WARNING", "ERROR"] as const;

/** The targets, with that of such handles. */
export const USE_TARGETS = new TargetTable();
USE_TARGETS.add("use", { describeIdentity: (data) => data.join() });

/** Memory for so many handles. */
export function makeControl(maxBackends = 1, maxConcurrency = 1): Control {
  return createControl(
    effectiveOptions({ arenaBytes: 4096, maxBackends, maxConcurrency, maxFiles: 1 }),
    0,
  );
}

/** What a row must show if its fields are all of one use. */
function expectedOf(row: IoRow, generation: number): Partial<IoRow> {
  if (row.state === "HANDED_OUT") return { operation: null, off: null, target: null, fSync: null };
  const values = valuesOf(generation);
  const state = STATES.indexOf(row.state) + 1;
  const isTransfer = values.operation <= 2;
  return {
    operation: OPERATION_NAMES[values.operation]!,
    off: isTransfer ? values.offset : null,
    length: isTransfer ? values.length : null,
    target: "use",
    handleDataLen: values.handleDataLength,
    rawResult: state >= COMPLETED_IO ? values.rawResult : null,
    result: RESULTS[state >= COMPLETED_SHARED ? values.status : 0]!,
    targetDesc: Array(6).fill(values.use).join(),
    fSync: (values.flags & FLAG_BITS.synchronous) !== 0,
    fLocalmem: (values.flags & FLAG_BITS.referencesLocal) !== 0,
    fBuffered: (values.flags & FLAG_BITS.buffered) !== 0,
  };
}

/** The fields of a row that are not of the use it names. */
export function differences(row: IoRow): string[] {
  // The generation moves just before the last state ends, its high word before its low one.
  const early = row.state === "COMPLETED_LOCAL" ? [1, 2 ** 32] : [];
  const faults = [0, ...early].map((ahead) => {
    const expected = expectedOf(row, row.ioGeneration - ahead);
    const names = Object.keys(expected) as (keyof IoRow)[];
    return names.filter((name) => row[name] !== expected[name]);
  });
  return faults.some((fault) => fault.length === 0) ? [] : faults[0]!;
}
