/**
 * deaths_long_test.ts: what deaths_test.ts shows, with hundreds of Workers that die.
 */

import { testDeaths } from "../../support/deaths/deaths_check.ts";

testDeaths({ held: { deaths: 500 }, io_uring: { deaths: 200 }, linux_aio: { deaths: 200 } });
