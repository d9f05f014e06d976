/**
 * log_states_worker.ts: a thread of soak_crash.ts: it looks at the states that it is asked for.
 *
 * @module
 */

/// <reference lib="deno.worker" />

import { answering } from "../threads/answering.ts";
import { lookAtStates, type StatesPlan } from "./log_states.ts";

self.onmessage = answering(lookAtStates as (plan: StatesPlan) => Promise<void>);
