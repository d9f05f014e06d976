/**
 * give_up_long_test.ts: give_up_test.ts with the other one of file and Aio closed.
 */

import { shareFuse } from "../../support/disks/fuse_server.ts";
import { testGivenUp } from "./given_up.ts";

const takeServer = shareFuse();

testGivenUp("FLUSH", "file", takeServer);
testGivenUp("READ", "aio", takeServer);
testGivenUp("WRITE", "file", takeServer);
