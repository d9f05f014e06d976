/**
 * spy_layer.ts: a layer that says in the log what is done with it, in every thread.
 *
 * @module
 */

import { defineCallbacks } from "../../../core/io/callback.ts";
import { defineTarget } from "../../../core/io/target.ts";
import type { Layer, LayerHost } from "../../../core/life/layer.ts";

/** What the layer was made with in this thread, one entry an Aio. */
export const hosts: LayerHost[] = [];

/** The layer. */
export const spyLayer: Layer = {
  name: "spy",
  module: new URL(import.meta.url),
  make(host) {
    hosts.push(host);
    host.say("log", `spy: made for ${host.id}`);
    return {
      callbacks: {
        spy: defineCallbacks({
          completeShared(handle, prior) {
            host.say("log", `spy: IO ${handle.id} in ${host.id}`);
            return prior;
          },
        }),
      },
      targets: {
        spied: defineTarget({ describeIdentity: ([number]) => `spied thing ${number}` }),
      },
    };
  },
};

/** Another one. */
export const otherLayer: Layer = {
  name: "other",
  module: new URL(import.meta.url),
  make: () => ({
    callbacks: { other: defineCallbacks({ completeShared: (_handle, prior) => prior }) },
    targets: {},
  }),
};
