/** model_test.ts: random work on a pool by several threads, against a model. */

import { testPoolModel, testPoolModelCanary } from "../../support/pool/pool_model_check.ts";

testPoolModel(2, 250);
testPoolModelCanary("lostPin", "a pin that is lost");
testPoolModelCanary("missedWriteBack", "a change that is not written back");
