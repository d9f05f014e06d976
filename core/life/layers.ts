/**
 * layers.ts: the layers of an Aio (layer.ts), in the order that decides the ids of callbacks and
 * targets: that of files, those of whoever opens the Aio; after them come the user's modules.
 *
 * @module
 */

import { assert } from "../base/assert.ts";
import { importNamed, type NamedModule } from "../base/named_module.ts";
import { fileLayer } from "./file_layer.ts";
import type { Layer } from "./layer.ts";

/** Most layers: a layer's number has five bits (arena_pages.ts). */
export const LAYERS_MAX = 32;

/** All layers of an Aio: that of files, then those of whoever opens it. */
export function layersWith(layers: readonly Layer[]): readonly Layer[] {
  const all = [fileLayer, ...layers];
  const names = new Set(all.map(({ name }) => name));
  assert(names.size === all.length, "Two layers have one name");
  assert(all.length <= LAYERS_MAX, "There are too many layers");
  return all;
}

/** What a thread of our own imports: all layers but that of files, which the core imports. */
export function modulesOf(layers: readonly Layer[]): readonly NamedModule[] {
  return layers.filter((layer) => layer !== fileLayer)
    .map(({ name, module }) => ({ name, module: module.href }));
}

/** Imports what {@linkcode modulesOf} names, in a thread of our own. */
export function importLayers(modules: readonly NamedModule[]): Promise<readonly Layer[]> {
  return Promise.all(modules.map((one) => importNamed(one, isLayer)));
}

function isLayer(value: object): value is Layer {
  return typeof Reflect.get(value, "make") === "function";
}
