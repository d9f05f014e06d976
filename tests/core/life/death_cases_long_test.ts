/**
 * death_cases_long_test.ts: what death_cases_test.ts shows, for each way to end in the middle of
 * each thing.
 */

import { CASES, testDeathIn, testDeathOfReaper } from "../../support/deaths/death_cases.ts";
import { WAYS } from "../../support/deaths/deaths.ts";

for (const way of WAYS) {
  for (const holding of CASES) testDeathIn(holding, way);
  testDeathOfReaper(way);
}
