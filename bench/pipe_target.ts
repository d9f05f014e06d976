/**
 * pipe_target.ts: a target for IO on a pipe, which is no file of an Aio; for slow_io.ts.
 *
 * @module
 */

import { defineTarget } from "../core/io/target.ts";

export const targets = { pipe: defineTarget({ describeIdentity: () => "a pipe" }) };
