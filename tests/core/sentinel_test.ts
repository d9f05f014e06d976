/**
 * sentinel_test.ts: no IO touches memory that was given up, whatever its issuer forgot and however
 * its thread ended. The program is `sentinel_program.ts`, in a process of its own. With more
 * threads that end: sentinel_long_test.ts.
 */

import { testSentinel } from "../support/sentinel/sentinel_check.ts";

testSentinel(1);
