/**
 * io_uring_lifetime_long_test.ts: what io_uring_lifetime_test.ts shows, with more forgotten reads.
 */

import { testForgottenReads } from "../../support/forgotten_reads.ts";

testForgottenReads(1000);
