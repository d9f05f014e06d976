/**
 * log_layer.ts: the third layer: what a log does when a thread dies.
 *
 * Whichever thread reaps does this, and the next one again if that one dies half-way: each step can
 * be repeated.
 *
 * @module
 */

import { type Layer, type LayerHost, type LayerParts, wakeWord } from "../../core/inside_layers.ts";
import { endUse } from "../run_users.ts";
import { INSERTING, LOG, LogMemory, PLACE, serialAt } from "./log_memory.ts";
import { segmentOf, WAL_TARGET_NAME } from "./wal_target.ts";

/** What the layer has in one thread. */
export interface LogLayerParts extends LayerParts {
  /** What it was made with. */
  readonly host: LayerHost;
}

/** The layer of logs. */
export const logLayer: Layer<LogLayerParts> = {
  name: "log",
  module: new URL(import.meta.url),
  make(host) {
    const { arena, control, files, runs } = host;
    return {
      host,
      callbacks: {},
      targets: {},
      fileTargets: { [WAL_TARGET_NAME]: files.target(segmentOf) },
      reapBackend(deadId) {
        // A helper uses no log, and there is no bit for its id.
        if (deadId >= control.maxBackends) return;
        runs.each((run) => {
          const serial = serialAt(arena, run.offset);
          if (serial === 0 || !reapLog(host, new LogMemory(arena, run), deadId)) return;
          runs.giveBack(run, () => serialAt(arena, run.offset) === serial);
        });
      },
    };
  },
};

/** @returns whether no thread uses the log any more */
function reapLog({ bells }: LayerHost, memory: LogMemory, deadId: number): boolean {
  const { words } = memory;
  // Whoever has the lock first settles whether it had the place that it took.
  memory.locked(() => {});
  // What it was inserting is for whoever flushes next.
  const stateAt = memory.placeOf(deadId) + PLACE.state;
  Atomics.compareExchange(words, stateAt, INSERTING.record, INSERTING.void);
  // Its flush wrote what is in the ring still: the next one writes that again.
  Atomics.compareExchange(words, LOG.leader, deadId + 1, 0);
  Atomics.compareExchange(words, LOG.preparer, deadId + 1, 0);
  for (const word of [memory.insertion, memory.change]) {
    Atomics.add(words, word.index, 1);
    wakeWord(bells, word);
  }
  return endUse(words, LOG.users, deadId);
}
