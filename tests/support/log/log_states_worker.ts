/**
 * log_states_worker.ts: runs `lookAtStates()` in a thread, for soak_crash.ts.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { answering } from "../threads/answering.ts";
import { lookAtStates, type StatesPlan } from "./log_states.ts";

self.onmessage = answering(lookAtStates as (plan: StatesPlan) => Promise<void>);
