/** page_store_long_test.ts: what page_store_test.ts shows of kills, with more rows and kills. */

import { testKilled } from "./page_store_run.ts";

testKilled(3, 1500);
