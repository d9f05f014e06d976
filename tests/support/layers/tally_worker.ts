/**
 * tally_worker.ts: one of the Workers that share the words of tally_layer.ts.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { attachBackend } from "../../../core/inside.ts";
import { aioOf } from "../../../storage/aio.ts";
import { LAYERS } from "../../../storage/layers.ts";
import { methodsFor } from "../core_methods.ts";
import { settings, tallyLayer } from "./tally_layer.ts";
import { type TallyAnswer, tallyOf, type TallyOrder, TallyThread } from "./tally_thread.ts";

function post(answer: TallyAnswer): void {
  self.postMessage(answer);
}

function die(): never {
  self.close();
  // The engine looks for the end at each jump back.
  for (;;);
}

async function run({ token, file, turns, isMortal, heals }: TallyOrder): Promise<void> {
  settings.heals = heals;
  const layers = [...LAYERS, tallyLayer];
  const aio = aioOf(await attachBackend(token, methodsFor(token.method), {}, layers));
  const ownFile = aio.attachFile(file);
  const tally = tallyOf(aio);
  if (isMortal) tally.open();
  tally.join();
  post("joined");
  const thread = new TallyThread(aio, ownFile);
  await thread.run(turns, isMortal ? die : undefined);
  if (tally.leave()) thread.faults.push("The words were given back with the main thread there");
  await ownFile.close();
  await aio.close();
  post(thread.faults);
}

self.onmessage = ({ data }: MessageEvent<TallyOrder>) => {
  run(data).catch((error) => post([String(error)]));
};
