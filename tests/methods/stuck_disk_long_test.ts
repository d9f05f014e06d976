/**
 * stuck_disk_long_test.ts: what stuck_disk_test.ts shows of writes, on XFS.
 */

import { shareDisk } from "../support/disks/stuck_disk.ts";
import { STUCK_WRITES, testStuckWrites } from "../support/disks/stuck_writes.ts";

const xfs = shareDisk("xfs");

for (const name of STUCK_WRITES) testStuckWrites(name, "xfs", xfs);
