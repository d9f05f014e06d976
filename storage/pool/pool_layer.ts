/**
 * pool_layer.ts: the second layer: the callbacks of pools, and what a pool does when a thread dies.
 *
 * @module
 */

import type { ArenaRun, Layer, LayerHost, LayerParts } from "../../core/inside_layers.ts";
import { KnownPools, poolCallbacks } from "./pool_callbacks.ts";
import { PoolMemory, serialAt } from "./pool_memory.ts";
import { reapPool } from "./pool_reaper.ts";

/** What the layer has in one thread. */
export interface PoolLayerParts extends LayerParts {
  /** What it was made with. */
  readonly host: LayerHost;
}

/** The layer of pools. */
export const poolLayer: Layer<PoolLayerParts> = {
  name: "pool",
  module: new URL(import.meta.url),
  make(host) {
    const { arena, runs } = host;
    return {
      host,
      callbacks: poolCallbacks(host, new KnownPools(host)),
      targets: {},
      reapBackend(deadId) {
        const ended: { readonly run: ArenaRun; readonly serial: number }[] = [];
        runs.each((run) => {
          const serial = serialAt(arena, run.offset);
          const isEnded = serial !== 0 && reapPool(host, new PoolMemory(arena, run), deadId);
          if (isEnded) ended.push({ run, serial });
        });
        // Last, as it throws for one whose memory an IO of the user is at: others were reaped then.
        let failure: { readonly error: unknown } | null = null;
        for (const { run, serial } of ended) {
          try {
            runs.giveBack(run, () => serialAt(arena, run.offset) === serial);
          } catch (error) {
            failure ??= { error };
          }
        }
        if (failure !== null) throw failure.error;
      },
    };
  },
};
