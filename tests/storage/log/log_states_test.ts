/**
 * log_states_test.ts: very many power cuts of a small log lose nothing; log_states_long_test.ts has
 * more.
 */

import { assertMatch, assertRejects } from "@std/assert";
import { lookAtStates, type StatesCanary } from "../../support/log/log_states.ts";
import { testLogStates } from "../../support/log/log_states_check.ts";

testLogStates(10_000, {});
testLogStates(10_000, { sync: "fdatasync" });
testLogStates(10_000, { direct: false });
testLogStates(10_000, { direct: false, sync: "fdatasync" });

const CANARIES: Readonly<Record<StatesCanary, RegExp>> = {
  "acknowledged before the flush": /^\d+:[\da-f]+ of opening 1, after step \d+: .*acknowledged/,
  "a directory that is not flushed": /the log is gone|is lost|acknowledged|No such file/,
  "a checksum without the record's position": /: has |is lost/,
};

for (const [canary, message] of Object.entries(CANARIES)) {
  Deno.test(`log states canary: ${canary} is found`, async () => {
    const plan = { method: "sync", seed: 1, states: 100_000, statesEach: 500 } as const;
    const looked = () => lookAtStates({ ...plan, canary: canary as StatesCanary });
    assertMatch((await assertRejects(looked, Error)).message, message);
  });
}
