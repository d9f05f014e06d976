/**
 * tables.ts: the callbacks, targets and verifiers of one thread, the same ones under the same ids
 * in every thread.
 *
 * @module
 */

import { CallbackTable, hashNames } from "../io/callback.ts";
import type { CallbackModule } from "./callback_modules.ts";
import { type IoLog, type LogReceiver, openLog } from "../io/io_log.ts";
import type { Layer, LayerHost, LayerParts } from "./layer.ts";
import { MadeLayers } from "./made_layers.ts";
import { LayerRuns } from "../memory/layer_runs.ts";
import { type Control, HEADER } from "../memory/shared_memory.ts";
import { TargetTable } from "../io/target.ts";
import { VerifierTable } from "../io/verifier.ts";

/** What a thread knows IO by. */
export interface Tables {
  /** The callbacks by id. */
  readonly callbacks: CallbackTable;
  /** The targets by id. */
  readonly targets: TargetTable;
  /** The layers. */
  readonly layers: MadeLayers;
  /** Takes lines about each IO; null: nobody wants any. */
  readonly log: IoLog | null;
}

/** What every thread hands in, whatever it is there for. */
export interface TablesParts {
  /** The layers of its Aio, that of files first. */
  readonly layers: readonly Layer[];
  /** The user's modules. */
  readonly modules: readonly CallbackModule[];
  /** Takes warnings, and what a callback throws where no caller would get it; never throws. */
  readonly warn: (message: string, cause?: unknown) => void;
  /** Takes lines about each IO; null: none are wanted. */
  readonly log: LogReceiver | null;
}

/**
 * Makes the layers and the tables: what the layers have, then what the modules have, in their
 * order.
 *
 * @param parts what the thread hands in
 * @param host what the layers are made with
 */
export function makeTables(
  { layers, modules, warn, log: receiver }: TablesParts,
  host: Omit<LayerHost, "runs" | "verifiers" | "say">,
): Tables {
  const targets = new TargetTable();
  const verifiers = new VerifierTable(warn);
  const callbacks = new CallbackTable((error, cause) => warn(error.message, cause));
  const log = openLog(receiver, callbacks);
  const made = new MadeLayers(callbacks, warn);
  const add = ({ callbacks: named, targets: described, verifiers: verified = {} }: LayerParts) => {
    for (const [name, one] of Object.entries(named)) callbacks.add(name, one);
    for (const [name, one] of Object.entries(described)) targets.add(name, one);
    for (const [name, one] of Object.entries(verified)) verifiers.add(name, one);
  };
  const say: LayerHost["say"] = (level, text) => {
    if (level === "warning") warn(text);
    else log?.say(level, text);
  };
  const parts = layers.map((layer, number) =>
    layer.make({ ...host, runs: new LayerRuns(host.arena, number), verifiers, say })
  );
  for (const { fileTargets = {} } of parts) {
    for (const [name, one] of Object.entries(fileTargets)) targets.addFileTarget(name, one);
  }
  for (const [number, layer] of layers.entries()) {
    add(parts[number]!);
    made.add(layer, parts[number]!);
    // Those of files alone go without the guards that whatever may throw needs.
    if (number === 0) callbacks.trustAll();
  }
  modules.forEach(add);
  checkNames(host.control, hashNames(callbacks.names, targets.names, verifiers.names));
  return { callbacks, targets, layers: made, log };
}

/**
 * Keeps the hash of the opener's names, by which every other thread notices that it has other ones.
 *
 * @throws {TypeError} if it has
 */
function checkNames({ words }: Control, hash: number): void {
  const present = Atomics.compareExchange(words, HEADER.namesHash, 0, hash);
  if (present === 0 || present === hash) return;
  throw new TypeError(
    "Cannot attach with other callbacks than the opener has: let both load the same callbackModules " +
      "and import the same version of this module",
  );
}
