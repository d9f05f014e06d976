/**
 * file_layer.ts: the first layer: the callbacks nearest to the file, and the target `file`. Every
 * Aio has it.
 *
 * @module
 */

import { fileCallbacks } from "../files/file_callbacks.ts";
import { FILE_TARGET_NAME } from "../io/target.ts";
import type { Layer } from "./layer.ts";

/** The layer of files. */
export const fileLayer: Layer = {
  name: "file",
  module: new URL(import.meta.url),
  make: ({ control, files }) => ({
    callbacks: fileCallbacks(control),
    targets: { [FILE_TARGET_NAME]: files.target() },
  }),
};
