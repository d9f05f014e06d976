/**
 * layer.ts: what a part above the core adds to every thread: its callbacks, targets and
 * verifiers, and what it does when a thread dies or a file closes.
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
  /** The parts of it that belong to the layer. */
  readonly runs: LayerRuns;
  /** The open files of all threads. */
  readonly files: OpenFileTable;
  /** Bytes of an open file, by its descriptor. @throws what the system says */
  sizeOf(fd: number): number;
  /** The verifiers of all layers and modules; complete once every layer is made. */
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
  /**
   * Those that stand for open files, whose words are those of the target `file`. They come before
   * all others.
   */
  readonly fileTargets?: Readonly<Record<string, AioTarget>>;
  /** Its verifiers by name: likewise. */
  readonly verifiers?: Readonly<Record<string, PageVerifier>>;
  /**
   * Takes a dead thread out of what the layer shares. The thread's handles are idle, its files are
   * still open. Whichever thread reaps calls this, and the next one calls it again if that thread
   * dies half-way, so each step must be one that can be repeated. It may not block, wait or start
   * IO.
   *
   * @param deadId the dead thread's backend; the ids of IO Workers follow those of backends
   */
  reapBackend?(deadId: number): void;
  /**
   * Forgets a file whose last user is done with it: no IO is on it, and none can start. Whichever
   * thread closes the file calls this, the next one again if that thread dies half-way, also for
   * files that the layer knows nothing of. It may not block, wait or start IO.
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
   * Makes the layer's part of one thread, once for each Aio in each thread. It may not touch what
   * threads share, because the thread may have taken the slot of a dead one and not reaped it yet.
   */
  make(host: LayerHost): Parts;
}
