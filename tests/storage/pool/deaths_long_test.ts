/** deaths_long_test.ts: what deaths_test.ts shows, with more deaths, on two methods a run. */

import { testPoolCase } from "../../support/pool/pool_case.ts";
import { DEATH_PAGES, DEATH_WORK, runPoolDeaths } from "../../support/pool/pool_deaths.ts";
import { describeSeed, Prng } from "../../support/prng.ts";
import { DrawnMethods } from "../../support/turns.ts";

const turns = new DrawnMethods(2);

for (const work of DEATH_WORK) {
  testPoolCase(`threads die before many steps of what a pool does: ${work}`, async (it) => {
    const prng = new Prng();
    try {
      await runPoolDeaths(it, work, 5, prng);
    } catch (error) {
      throw new Error(`${work}: ${describeSeed(prng.seed)}`, { cause: error });
    }
  }, { pages: DEATH_PAGES, turns });
}
