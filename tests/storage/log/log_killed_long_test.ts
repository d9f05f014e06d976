/** log_killed_long_test.ts: what log_killed_test.ts shows, with more kills. */

import { testLogKilled } from "../../support/log/killed_log_check.ts";
import { DrawnMethods } from "../../support/turns.ts";

const turns = new DrawnMethods(2);

testLogKilled(8, {}, turns);
testLogKilled(8, { direct: false }, turns);
testLogKilled(8, { direct: true }, turns);
