/**
 * give_up_disk_test.ts: whoever waits for the end of a file, or of the Aio, can give up when a disk
 * stands still with a write in flight. The event loop ends, and the write ends when the disk goes
 * on. give_up_test.ts shows the rest with a file system of its own, and give_up_disk_long_test.ts
 * the same on XFS.
 *
 * @module
 */

import { testCloseGivenUp } from "../../support/disks/given_up.ts";

testCloseGivenUp("ext4");
