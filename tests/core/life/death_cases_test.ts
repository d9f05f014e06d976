/**
 * death_cases_test.ts: a thread ends in the middle of each thing, one by one, and the ways to end
 * take turns. Whoever waits for its IO gets the data, and everything it had comes back. Each way to
 * end in the middle of each thing: death_cases_long_test.ts.
 */

import { CASES, testDeathIn, testDeathOfReaper } from "../../support/deaths/death_cases.ts";
import { WAYS } from "../../support/deaths/deaths.ts";

for (const [i, holding] of CASES.entries()) testDeathIn(holding, WAYS[i % WAYS.length]!);

testDeathOfReaper("terminate");
