/**
 * sentinel_long_test.ts: what sentinel_test.ts shows, with more threads that end.
 */

import { testSentinel } from "../support/sentinel/sentinel_check.ts";

testSentinel(6);
