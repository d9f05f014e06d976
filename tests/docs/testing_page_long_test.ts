/** testing_page_long_test.ts: the programs of docs/testing.md that take longer. */

import { testProgram } from "../support/testing_page.ts";

testProgram("twice.ts");
testProgram("faults.ts");
