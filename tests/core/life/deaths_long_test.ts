/**
 * deaths_long_test.ts: what deaths_test.ts shows, with hundreds of Workers that die; with mapped
 * rings, each of the three ways to end in the middle of each thing once.
 */

import { HOLDINGS, WAYS } from "../../support/deaths/deaths.ts";
import { testDeaths } from "../../support/deaths/deaths_check.ts";
import { isMappedPart } from "../../support/house/part.ts";

const EACH_ONCE = WAYS.length * (HOLDINGS.length - 1);

testDeaths({
  held: { deaths: 200 },
  io_uring: { deaths: isMappedPart() ? EACH_ONCE : 80 },
  linux_aio: { deaths: 80 },
});
