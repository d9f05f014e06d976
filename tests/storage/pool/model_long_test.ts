/** model_long_test.ts: what model_test.ts shows, with many more steps. */

import { testPoolModel } from "../../support/pool/pool_model_check.ts";

testPoolModel(4, 16_000);
