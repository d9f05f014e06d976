/**
 * soak_kills.ts: a program that appends durably, to a file or to a log, is killed a thousand times,
 * the methods by turns: each append that it has acknowledged must be there.
 *
 *     deno task soak:kills [--kills N] [--seed N]
 *
 * Fails with the seed at the first record that is not there, whole, where it should be.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { killLog } from "./support/log/killed_log.ts";
import { KILLED_OPTIONS } from "./support/log/killed_log_check.ts";
import { killAppends } from "./support/appends/killed_appends.ts";
import { METHODS_UNDER_TEST } from "./support/methods.ts";
import { turnOf } from "./support/soak_turns.ts";
import { tempDir } from "./support/temp.ts";

const PROGRESS_KILLS = 50;
/** Options of a log; null: it is a file. */
const WAYS = [null, {}, { direct: false }, { direct: true }] as const;

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
for (let i = 0; total.kills < Number(values.kills); i++) {
  const seed = (Number(values.seed) + i) >>> 0;
  const { method, way } = turnOf(i, methods, WAYS);
  await using dir = await tempDir();
  // A log is opened again after each kill: five in a row.
  const plan = { method, seed, onKilled, kills: 5, dir: dir.path };
  if (way === null) await killAppends(plan);
  else await killLog({ ...plan, options: { ...KILLED_OPTIONS, ...way } });
}
tell();
