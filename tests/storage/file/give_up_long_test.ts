/**
 * give_up_long_test.ts: what give_up_test.ts shows, with a file closed instead of the Aio, or the
 * other way round.
 */

import { shareFuse } from "../../support/disks/fuse_server.ts";
import { testGivenUp } from "./given_up.ts";

const takeServer = shareFuse();

testGivenUp("FLUSH", "file", takeServer);
testGivenUp("READ", "aio", takeServer);
testGivenUp("WRITE", "file", takeServer);
