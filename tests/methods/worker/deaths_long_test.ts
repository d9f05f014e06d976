/** deaths_long_test.ts: what deaths_test.ts shows, with more IO. */

import { testWorkerDeaths } from "../../support/deaths/worker_deaths.ts";

testWorkerDeaths(10_000);
