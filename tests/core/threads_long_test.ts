/**
 * threads_long_test.ts: what threads_test.ts shows, with more IO.
 */

import { testThreads } from "../support/threads/threads_check.ts";

testThreads({ held: 250_000, sync: 100_000, worker: 15_000, io_uring: 50_000 });
