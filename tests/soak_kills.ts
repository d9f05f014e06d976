/**
 * soak_kills.ts: a program that appends durably is killed a thousand times, the methods by turns:
 * each append that it has acknowledged must be there.
 *
 *     deno task soak:kills [--kills N] [--seed N]
 *
 * Fails with the seed at the first record that is not in its file, whole, where it should be.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { killAppends } from "./support/appends/killed_appends.ts";
import { METHODS_UNDER_TEST } from "./support/methods.ts";
import { tempDir } from "./support/temp.ts";

const PROGRESS_KILLS = 50;

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "1000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
  },
});

const methods = METHODS_UNDER_TEST.filter(({ ignore }) => !ignore).map(({ name }) => name);
const total = { kills: 0, acknowledged: 0 };
const tell = () => console.log(`${total.kills} kills, ${total.acknowledged} records, none lost`);
const onKilled = (acknowledged: number) => {
  total.kills++;
  total.acknowledged += acknowledged;
  if (total.kills % PROGRESS_KILLS === 0) tell();
};
await using dir = await tempDir();
for (let i = 0; total.kills < Number(values.kills); i++) {
  const plan = { method: methods[i % methods.length]!, kills: 1, dir: dir.path, onKilled };
  await killAppends({ ...plan, seed: (Number(values.seed) + i) >>> 0 });
}
tell();
