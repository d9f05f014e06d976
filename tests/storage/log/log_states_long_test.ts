/** log_states_long_test.ts: what log_states_test.ts shows, with 10^7 power cuts. */

import { testLogStates } from "../../support/log/log_states_check.ts";
import { DrawnMethods } from "../../support/turns.ts";

const turns = new DrawnMethods(1);

testLogStates(4_000_000, {}, turns);
testLogStates(2_000_000, { sync: "fdatasync" }, turns);
testLogStates(2_000_000, { direct: false }, turns);
testLogStates(2_000_000, { direct: false, sync: "fdatasync" }, turns);
