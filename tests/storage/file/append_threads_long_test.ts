/** append_threads_long_test.ts: what append_threads_test.ts shows, with many more records. */

import { testAppendDeaths, testAppendModel } from "../../support/appends/append_model_check.ts";
import { DrawnMethods } from "../../support/turns.ts";

const turns = new DrawnMethods(2);

testAppendModel(96_000, 0, turns);
testAppendModel(32_000, 4, turns);
testAppendDeaths(1, turns);
