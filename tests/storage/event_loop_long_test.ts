/**
 * event_loop_long_test.ts: what event_loop_test.ts shows of programs that end by themselves, with
 * more that is left open.
 */

import { testProgramEnds } from "../support/program_ends.ts";

testProgramEnds("with nothing closed and nothing in flight", "");
testProgramEnds("with a batch left open", "aio.enterBatchmode();");
testProgramEnds("with a handle handed out", "aio.tryAcquire();");
