/**
 * layers.ts: the layers of every Aio above that of files, which the core brings itself.
 *
 * @module
 */

import type { Layer } from "../core/inside.ts";
import { logLayer } from "./log/log_layer.ts";
import { poolLayer } from "./pool/pool_layer.ts";

/** In the order of the ids of their callbacks. */
export const LAYERS: readonly Layer[] = [poolLayer, logLayer];
