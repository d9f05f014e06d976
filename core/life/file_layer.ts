/**
 * file_layer.ts: the first layer: the callbacks nearest to the file, the target `file`, and what
 * dead threads leave behind in open files. Every Aio has it.
 *
 * @module
 */

import { fileCallbacks } from "../files/file_callbacks.ts";
import { endTurnsOf } from "./flush_turns.ts";
import { FILE_TARGET_NAME } from "../io/target.ts";
import type { Layer, LayerHost } from "./layer.ts";
import type { OpenFileTable } from "../files/file_table.ts";
import { holeWarning } from "../files/left_appends.ts";

/** The layer of files. */
export const fileLayer: Layer = {
  name: "file",
  module: new URL(import.meta.url),
  make: ({ control, files, sizeOf, bells, say }) => ({
    callbacks: fileCallbacks(control, sizeOf),
    targets: {},
    fileTargets: { [FILE_TARGET_NAME]: files.target() },
    reapBackend(deadId) {
      endTurnsOf(control, bells, deadId);
      tellHoles(files, deadId, say);
    },
  }),
};

/** Says where a thread was about to append that has died. */
function tellHoles(files: OpenFileTable, deadId: number, say: LayerHost["say"]): void {
  for (const { file, part } of files.ends.takeIntents(deadId)) {
    say("warning", holeWarning(files, file, part));
  }
}
