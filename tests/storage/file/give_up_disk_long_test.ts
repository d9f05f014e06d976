/**
 * give_up_disk_long_test.ts: what give_up_disk_test.ts shows, on XFS.
 *
 * @module
 */

import { testCloseGivenUp } from "../../support/disks/given_up.ts";

testCloseGivenUp("xfs");
