/** append_threads_long_test.ts: what append_threads_test.ts shows, with many more records. */

import { testAppendDeaths, testAppendModel } from "../../support/appends/append_model_check.ts";

testAppendModel(32_000, 10);
testAppendDeaths(1);
