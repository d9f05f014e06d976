/**
 * fail_nth_call.ts: SQLite's method: the first call into the system fails, then the second, and so
 * on, until a scenario passes without any that has failed.
 *
 * @module
 */

import { AioApiError, AioInvariantError, type IoMethod } from "../core/mod.ts";
import { METHODS } from "../methods/registry.ts";
import { failCalls, failingMethod } from "./failing_calls.ts";
import { Interposed } from "./interpose.ts";
import { NthCall } from "./nth_call.ts";

/** What fails, and what must hold. */
export interface FailNthCallOptions {
  /** The error's name. Default: `"EIO"`. */
  readonly errno?: string | undefined;
  /** Whether all later calls fail, too, as on a full disk. Default: false. */
  readonly lasting?: boolean | undefined;
  /** The call that fails first, to begin where a run has stopped. Default: 1. */
  readonly from?: number | undefined;
  /** Most calls that a scenario makes. Default: 10000. */
  readonly callsMax?: number | undefined;
  /** After so long one run counts as hanging. Default: no bound. */
  readonly timeLimitMs?: number | undefined;
  /** The methods there are, the best first. Default: those of this version. */
  readonly methods?: readonly IoMethod[] | undefined;
}

/** The part of a scenario in which a call fails. */
export interface FailingCall {
  /** Which call fails, from 1; 0: none, in the run that comes first. */
  readonly nth: number;
  /**
   * Runs a part of the scenario, in which calls fail; outside of it none does. The last part of a
   * scenario goes on counting where the one before has stopped.
   *
   * @param part gets the methods to open an `Aio` with: `Aio.open(options, methods)`. The IOs of
   *   one that is opened without them do not fail, only what it does beside them
   * @returns what it threw; null if it threw nothing
   * @throws what it threw, if no call had failed, or if that says that the program is wrong: a
   *   `TypeError`, `RangeError`, `ReferenceError`, `AssertionError`, `AioApiError`,
   *   `AioInvariantError`, or what is no `Error`
   */
  during(part: (methods: readonly IoMethod[]) => unknown): Promise<unknown>;
}

/** What was tried. */
export interface FailNthCallReport {
  /** The calls that have failed, one a run, in order. */
  readonly calls: readonly string[];
}

/** What errors of a program that is wrong are called. */
const WRONG = ["TypeError", "RangeError", "ReferenceError", "AssertionError"];
const CALLS_MAX = 10_000;
/** How often to look for descriptors that another thread is about to close, and how long in all. */
const LOOKS_MAX = 200;
const LOOK_MS = 5;
/** What no call is called. */
const LEAKS = "";

let isFailing = false;

/**
 * Runs a scenario again and again: first without a fault, then with its first call into the system
 * failing, then with its second one, until it passes and none has failed. Each time no descriptor
 * may be left open.
 *
 * Calls are those of this thread by the C library, by Deno's and `node:fs`'s functions for files
 * that this module uses, and IOs at the submit. The failed one is not executed, except a close.
 *
 * @param scenario does something in `call.during()`, and then checks what is left
 * @param options what fails
 * @throws {Error} if the scenario throws, leaves a descriptor open or hangs, naming the call; its
 *   `cause` is what was thrown
 * @throws {TypeError} for an error that the system does not have
 * @throws {Deno.errors.Busy} while another scenario of this thread runs
 */
export async function failNthCall(
  scenario: (call: FailingCall) => unknown,
  options: FailNthCallOptions = {},
): Promise<FailNthCallReport> {
  if (isFailing) throw new Deno.errors.Busy("Cannot fail calls: another scenario is under way");
  isFailing = true;
  const { from = 1, callsMax = CALLS_MAX } = options;
  const calls: string[] = [];
  try {
    await runJudged(scenario, 0, options);
    for (let nth = from; nth <= callsMax; nth++) {
      const failed = await runJudged(scenario, nth, options);
      if (failed === null) return { calls };
      calls.push(failed);
    }
  } finally {
    isFailing = false;
  }
  throw new Error(`The scenario makes more than ${callsMax} calls: raise "callsMax"`);
}

/** @returns what failed; null: nothing */
async function runJudged(
  scenario: (call: FailingCall) => unknown,
  nth: number,
  options: FailNthCallOptions,
): Promise<string | null> {
  const failed = await runOnce(scenario, nth, options, false);
  // What the runtime opens once, and keeps, it does not open in the second run.
  return failed === LEAKS ? await runOnce(scenario, nth, options, true) : failed;
}

/** @returns what failed; null: nothing; {@linkcode LEAKS}: descriptors are left open */
async function runOnce(
  scenario: (call: FailingCall) => unknown,
  nth: number,
  options: FailNthCallOptions,
  refusesLeaks: boolean,
): Promise<string | null> {
  const call = new NthCall(nth, options.errno ?? "EIO", options.lasting ?? false);
  const before = openDescriptors();
  // Of a part that hangs, too.
  using hooks = new DisposableStack();
  let isCalled = false;
  try {
    const during: FailingCall["during"] = (part) => {
      isCalled = true;
      return runFailing(call, part, options, hooks.use(new Interposed()));
    };
    await bounded(scenario({ nth, during }), options.timeLimitMs);
    if (!isCalled) throw new Error("the scenario never called during(), so no call could fail");
    const leaked = await findLeaked(before);
    if (leaked !== null) {
      if (!refusesLeaks) return LEAKS;
      throw new Error(`descriptors are left open: ${leaked}`);
    }
  } catch (cause) {
    const what = call.failed === null
      ? "no call fails"
      : `call ${nth}, ${call.failed}, fails with ${call.code}`;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Where ${what}: ${why}`, { cause });
  }
  return call.failed;
}

async function runFailing(
  call: NthCall,
  part: (methods: readonly IoMethod[]) => unknown,
  { methods = METHODS }: FailNthCallOptions,
  interposed: Interposed,
): Promise<unknown> {
  using hooks = interposed;
  if (call.nth > 0) failCalls(hooks, call);
  try {
    await part(call.nth > 0 ? methods.map((method) => failingMethod(method, call)) : methods);
    return null;
  } catch (error) {
    if (call.failed === null || isWrong(error)) throw error;
    return error;
  }
}

function isWrong(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isWrong);
  return !(error instanceof Error) || WRONG.includes(error.name) ||
    error instanceof AioApiError || error instanceof AioInvariantError;
}

async function bounded(work: unknown, timeLimitMs: number | undefined): Promise<void> {
  if (timeLimitMs === undefined) return void await work;
  let timer;
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`it hangs: it was not over after ${timeLimitMs} ms`);
    timer = setTimeout(() => reject(error), timeLimitMs);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What the descriptors of this process name. Null: the system does not tell. */
function openDescriptors(): string[] | null {
  if (Deno.build.os !== "linux") return null;
  const open: string[] = [];
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    try {
      open.push(Deno.readLinkSync(`/proc/self/fd/${name}`).replace(/\[\d+\]$/, ""));
    } catch {
      // The one of the directory itself.
    }
  }
  return open;
}

/**
 * By what they name, not by their numbers: a Worker that the program had closed before ends when it
 * likes, and so may one of this run.
 *
 * @returns the descriptors that stay open beside those before; null: none
 */
async function findLeaked(before: readonly string[] | null): Promise<string | null> {
  if (before === null) return null;
  for (let looks = 1;; looks++) {
    const known = [...before];
    const leaked = openDescriptors()!.filter((link) => {
      const at = known.indexOf(link);
      if (at >= 0) known.splice(at, 1);
      return at < 0;
    });
    if (leaked.length === 0) return null;
    if (looks === LOOKS_MAX) return leaked.join(", ");
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
