/** log_threads_long_test.ts: what log_threads_test.ts shows, with more records and deaths. */

import { testLogThreads } from "../../support/log/log_threads_check.ts";
import { DrawnMethods } from "../../support/turns.ts";

const turns = new DrawnMethods(2);

testLogThreads(10_000, 0, {}, turns);
testLogThreads(1000, 8, {}, turns);
testLogThreads(1000, 8, { follows: true }, turns);
testLogThreads(600, 5, { direct: false, follows: true }, turns);
testLogThreads(600, 5, { direct: true, follows: true }, turns);
