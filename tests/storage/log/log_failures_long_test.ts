/**
 * log_failures_long_test.ts: each call into the system fails in turn while a log is made, filled,
 * shortened and recovered: what was acknowledged is there, the log goes on, nothing hangs, and no
 * descriptor is left open. On a method that each run draws.
 */

import { type FailingWork, failLog, type LogFailure } from "../../support/log/failing_log.ts";
import { testEachMethod } from "../../support/methods.ts";
import { DrawnMethods } from "../../support/turns.ts";

const turns = new DrawnMethods(1);

const CASES: readonly (readonly [FailingWork, LogFailure])[] = [
  ["making", { errno: "EIO", lasting: false }],
  ["making", { errno: "ENOSPC", lasting: true }],
  ["recovering", { errno: "EIO", lasting: false }],
  ["recovering", { errno: "EDQUOT", lasting: true }],
];

for (const [work, { errno, lasting }] of CASES) {
  testEachMethod(
    `${work} a log bears ${lasting ? "lasting " : ""}${errno} of any call`,
    async (method) => {
      await failLog(method, work, { errno, lasting });
    },
    true,
    turns,
  );
}
