/** aborted_memory_long_test.ts: what aborted_memory_test.ts shows, with more reads. */

import { testAbortedReads } from "../../support/aborted_reads.ts";

testAbortedReads(1000);
