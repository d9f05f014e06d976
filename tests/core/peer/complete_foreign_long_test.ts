/**
 * complete_foreign_long_test.ts: what complete_foreign_test.ts shows, with each way to wait for
 * each end.
 */

import { testGone } from "./gone.ts";
import { WAYS } from "./peer.ts";
import { shareThread } from "./session.ts";

const startSession = shareThread();

for (const ending of ["leaves", "ends itself", "is terminated"] as const) {
  for (const way of WAYS) testGone(ending, way, startSession);
}
