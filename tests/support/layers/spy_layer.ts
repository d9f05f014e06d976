/**
 * spy_layer.ts: a layer that says in the log what is done with it, in every thread.
 *
 * @module
 */

import { defineCallbacks } from "../../../core/io/callback.ts";
import { defineTarget } from "../../../core/io/target.ts";
import type { Layer, LayerHost } from "../../../core/life/layer.ts";
import type { Backend } from "../../../core/inside.ts";
import { type WaitWord, wakeWord } from "../../../core/waiting/words.ts";

/** What the layer was made with in this thread, one entry an Aio. */
export const hosts: LayerHost[] = [];

/** What the layer was made with for one Aio. */
export function hostOf({ control }: Backend): LayerHost {
  return hosts.find((host) => host.control === control)!;
}

/** The threads that this one has taken out of the layer. */
export const reaped: number[] = [];

/** What the layer does in this thread, beside saying so, when a thread died or a file closes. */
export const hooks: {
  reapBackend?: ((host: LayerHost, deadId: number) => void) | undefined;
  closingFile?: ((host: LayerHost, slot: number) => void) | undefined;
} = {};

/**
 * The layer. Its callback `spy` logs the IO; its callback `raise` sets the word that the handle
 * data names to 1, and wakes whoever waits for it.
 */
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
        raise: defineCallbacks({
          completeShared(handle, prior) {
            changeWord(host, wordAt(host, handle.handleData()[0]!), 1);
            return prior;
          },
        }),
      },
      targets: {
        spied: defineTarget({ describeIdentity: ([number]) => `spied thing ${number}` }),
      },
      fileTargets: {
        spiedFile: defineTarget({ describeIdentity: () => "a spied file" }),
      },
      verifiers: { spies: () => "ok" },
      reapBackend(deadId) {
        host.say("log", `spy: ${deadId} has died`);
        reaped.push(deadId);
        hooks.reapBackend?.(host, deadId);
      },
      closingFile(slot) {
        host.say("debug2", `spy: slot ${slot} closes`);
        hooks.closingFile?.(host, slot);
      },
    };
  },
};

/** A word of the arena that can be waited for; the next one is the mask of its waiters. */
export function wordAt({ arena }: LayerHost, index: number): WaitWord {
  return { words: arena.words, index, waiters: index + 1 };
}

/** Sets it, and wakes whoever waits. */
export function changeWord({ bells }: LayerHost, word: WaitWord, value: number): void {
  Atomics.store(word.words, word.index, value);
  wakeWord(bells, word);
}

/** Another layer. */
export const otherLayer: Layer = {
  name: "other",
  module: new URL(import.meta.url),
  make: () => ({
    callbacks: { other: defineCallbacks({ completeShared: (_handle, prior) => prior }) },
    targets: {},
  }),
};
