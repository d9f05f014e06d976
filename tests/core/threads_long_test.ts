/**
 * threads_long_test.ts: what threads_test.ts shows, with more IO.
 */

import { isMappedPart } from "../support/house/part.ts";
import { testThreads } from "../support/threads/threads_check.ts";

testThreads({
  held: 250_000,
  sync: 100_000,
  worker: 15_000,
  io_uring: isMappedPart() ? 20_000 : 50_000,
});
