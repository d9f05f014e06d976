/**
 * threads_test.ts: four threads issue, wait for and complete each other's IO in random patterns
 * from a printed seed; what is read is verified, and at the end everything is back where it was.
 * With more IO: threads_long_test.ts; for hours: tests/soak.ts.
 */

import { testThreads } from "../support/threads/threads_check.ts";

testThreads({ held: 1_000, sync: 1_000, worker: 300, io_uring: 500 });
