/**
 * scan_long_test.ts: what scan_test.ts shows, with eight threads and more scans, on two methods a
 * run.
 */

import { testEachMethod } from "../../support/methods.ts";
import { runScans } from "../../support/pool/pool_scan.ts";
import { withSeed } from "../../support/prng.ts";
import { DrawnMethods } from "../../support/turns.ts";

const turns = new DrawnMethods(2);

for (const pages of [16, 64]) {
  testEachMethod(
    `eight threads scan a file through ${pages} pages while one forgets them`,
    async (method) => {
      await withSeed(async (seed) => {
        await runScans({ method, threads: 8, scans: 8, blocks: 600, pages, seed });
      });
    },
    true,
    turns,
  );
}
