/**
 * scan_test.ts: threads that scan one file through one pool while another one forgets its pages;
 * scan_long_test.ts does more of it.
 */

import { testEachMethod } from "../../support/methods.ts";
import { assertFound } from "../../support/canary.ts";
import { runScans } from "../../support/pool/pool_scan.ts";
import { withSeed } from "../../support/prng.ts";

for (const pages of [16, 64]) {
  testEachMethod(
    `three threads scan a file through ${pages} pages while one forgets them`,
    async (method) => {
      await withSeed(async (seed) => {
        await runScans({ method, threads: 3, scans: 2, blocks: 60, pages, seed });
      });
    },
  );
}

Deno.test("sync: canary: scans find that pins are lost", async () => {
  const plan = { method: "sync", threads: 3, scans: 3, blocks: 300, pages: 16 } as const;
  await assertFound((seed) => runScans({ ...plan, seed, losesPins: true }));
});
