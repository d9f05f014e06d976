/** model_long_test.ts: what model_test.ts shows, with many more steps. */

import { isMappedPart } from "../../support/house/part.ts";
import { testPoolModel } from "../../support/pool/pool_model_check.ts";

testPoolModel(4, isMappedPart() ? 4000 : 16_000);
