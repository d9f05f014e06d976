/**
 * deaths_long_test.ts: what deaths_test.ts shows, with hundreds of Workers that die.
 */

import { testDeaths } from "../../support/deaths/deaths_check.ts";

testDeaths({ held: 500, io_uring: 200 });
