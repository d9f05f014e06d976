/**
 * lifetime_long_test.ts: what lifetime_test.ts shows, with more forgotten reads.
 */

import { testForgottenReads } from "../../support/forgotten_reads.ts";

testForgottenReads(1000);
