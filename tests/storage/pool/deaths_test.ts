/** deaths_test.ts: threads that die in the middle of what they do with a pool's pages. */

import { testPoolCase } from "../../support/pool/pool_case.ts";
import { DEATH_PAGES, DEATH_WORK, runPoolDeaths } from "../../support/pool/pool_deaths.ts";
import { describeSeed, Prng } from "../../support/prng.ts";

for (const work of DEATH_WORK) {
  testPoolCase(`threads die before random steps of what a pool does: ${work}`, async (it) => {
    const prng = new Prng();
    try {
      await runPoolDeaths(it, work, 1, prng);
    } catch (error) {
      throw new Error(`${work}: ${describeSeed(prng.seed)}`, { cause: error });
    }
  }, { pages: DEATH_PAGES });
}
