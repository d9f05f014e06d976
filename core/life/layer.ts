/**
 * layer.ts: what a part above the core adds to every thread: its callbacks and targets.
 *
 * Functions cannot be posted. So a thread that opens or attaches hands in the layers that it has
 * imported itself. IO Workers and reapers, which no user writes, import them by URL (layers.ts).
 *
 * @module
 */

import type { LogLevel } from "../base/log_level.ts";
import type { OpenFileTable } from "../files/file_table.ts";
import type { AioCallbacks } from "../io/callback.ts";
import type { AioTarget } from "../io/target.ts";
import type { PageVerifier, VerifierTable } from "../io/verifier.ts";
import type { Arena } from "../memory/arena.ts";
import type { LayerRuns } from "../memory/layer_runs.ts";
import type { Control } from "../memory/shared_memory.ts";
import type { Doorbells } from "../waiting/doorbell.ts";

/** What a layer is made with, in one thread for one Aio. */
export interface LayerHost {
  /**
   * The thread's backend. In an IO Worker: its record, behind those of the backends. In a thread
   * that only reaps: the dead one's.
   */
  readonly id: number;
  /** Handles, files and everything else that is shared. */
  readonly control: Control;
  /** The memory that IO goes to, and that layers share. */
  readonly arena: Arena;
  /** What of it belongs to the layer. */
  readonly runs: LayerRuns;
  /** The open files of all threads. */
  readonly files: OpenFileTable;
  /** The verifiers of all layers and modules: there when `make` has run in all layers. */
  readonly verifiers: VerifierTable;
  /** Wakes threads that await something. */
  readonly bells: Doorbells;
  /**
   * Makes a line of the log, or a warning. An IO Worker posts it to the opener; a thread that only
   * reaps posts it to the thread that started it.
   */
  say(level: LogLevel | "warning", text: string): void;
}

/** What a layer has in one thread for one Aio. */
export interface LayerParts {
  /** Its callbacks by name: the same names in the same order in every thread. */
  readonly callbacks: Readonly<Record<string, AioCallbacks>>;
  /** Its targets by name: likewise. */
  readonly targets: Readonly<Record<string, AioTarget>>;
  /** Its verifiers by name: likewise. */
  readonly verifiers?: Readonly<Record<string, PageVerifier>>;
  /**
   * Takes a thread that died out of what the layer shares: its handles are over, its files are
   * still open. Called in whichever thread reaps, and again if that one dies half-way, so that each
   * step of it can be repeated. May not block, wait or start IO.
   *
   * @param deadId the thread's backend; an IO Worker's is behind those
   */
  reapBackend?(deadId: number): void;
  /**
   * Forgets a file whose last user is done with it: no IO is on it, and none can start. Called in
   * whichever thread closes it, more than once if that one dies half-way, and for files that the
   * layer knows nothing of. May not block, wait or start IO.
   *
   * @param slot the file's place in the table of open files, which another file may have afterwards
   */
  closingFile?(slot: number): void;
}

/** A part above the core that runs in every thread. */
export interface Layer<Parts extends LayerParts = LayerParts> {
  /** Its name: no other layer has it. */
  readonly name: string;
  /** The module that exports it. */
  readonly module: URL;
  /**
   * Called once for each Aio in each thread. It may not touch what threads share: the thread's slot
   * may be one of a dead thread that is still to be reaped.
   */
  make(host: LayerHost): Parts;
}
