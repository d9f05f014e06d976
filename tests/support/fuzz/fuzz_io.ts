/**
 * fuzz_io.ts: what the random tests know of one IO: what was asked for, and what may come of it.
 *
 * @module
 */

import type { OperationName } from "../../../core/io/operation_table.ts";
import {
  type AioReturn,
  type CallbackPhase,
  ERROR_DATA_THROWN,
  PHASE_NAMES,
  type ResultStatus,
} from "../../../core/io/result.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { ECANCELED } from "../../../ffi/errno.ts";
import type { FuzzFile } from "./fuzz_files.ts";
import type { FuzzOwner } from "./fuzz_owner.ts";
import { marked } from "./fuzz_callbacks.ts";

/** In memory before a read. */
export const UNREAD_BYTE = 0xee;

/** A callback that was registered. */
export interface Registered {
  readonly id: number;
  readonly name: string;
  readonly data: number;
}

/** An outcome, as far as it is compared. */
export interface Outcome {
  callbackId: number;
  status: ResultStatus;
  errorData: number;
  result: number;
}

/** What a start call asks for. */
export interface Asked {
  readonly operation: OperationName;
  /** Null: a descriptor that the call fails on. */
  readonly file: FuzzFile | null;
  readonly offset: number;
  readonly length: number;
  readonly views: readonly Uint8Array[];
  /** What the system answers if nothing else happens. */
  readonly answer: number;
  /** Whether it is over when the start call returns, with every method. */
  readonly isAtOnce: boolean;
}

/** A waiter for an IO, and how often it heard of the end. */
export interface FuzzWaiter {
  told: number;
  /** Whether the call said that the IO is done already. */
  isLate: boolean;
}

/** How far an IO is, as the model has it. */
export type Stage = "handedOut" | "staged" | "submitted" | "over";

/** One use of a handle. */
export class FuzzIo {
  /** Its number, also in its handle data. */
  readonly number: number;
  readonly ref: WaitRef;
  readonly ret: AioReturn;
  owner: FuzzOwner | null;
  /** In the order of registration: they run the other way round. */
  readonly callbacks: Registered[] = [];
  asked: Asked | null = null;
  stage: Stage = "handedOut";
  /** The last state seen, by number. */
  seenState = 0;
  /** Whether its return slot must stay as it is; `"perhaps"`: it may have been over before that. */
  isDropped: boolean | "perhaps" = false;
  isCancelled = false;
  /** What a hook or the releaser of `held` put in place of the system's answer; null: nothing. */
  replaced: number | null = null;
  /** Whether the system never saw it, whatever the result says. */
  isForced = false;
  /** In which phase a hook threw. */
  readonly hooksThatThrew = new Set<CallbackPhase>();
  readonly waiters: FuzzWaiter[] = [];
  readonly traced: string[] = [];
  /** What the return slot held when it was over. */
  final: Outcome | null = null;
  /** Whether whoever uses the model has no more use for it. */
  isCollected = false;

  constructor(number: number, ref: WaitRef, ret: AioReturn, owner: FuzzOwner | null) {
    this.number = number;
    this.ref = ref;
    this.ret = ret;
    this.owner = owner;
  }

  /** The callback that throws before the IO is submitted; its id, 0 for a hook, -1: none. */
  get stageThrower(): number {
    const thrower = this.callbacks.findLast(({ name }) => name === "throwInStage");
    if (thrower !== undefined) return thrower.id;
    return this.hooksThatThrew.has("stage") ? 0 : -1;
  }

  /** What `trace` must hold of it once it is over. */
  expectedTrace(): string[] {
    const own = this.callbacks.filter(({ name }) => !name.startsWith("file")).reverse();
    const thrower = own.findIndex(({ name }) => name === "throwInStage");
    const staged = thrower < 0 ? own : own.slice(0, thrower + 1);
    return [
      ...staged.map(({ data }) => `stage ${data}`),
      ...own.map(({ data }) => `completeLocal ${data}`),
    ];
  }

  /** What may be in the return slot. */
  expectedOutcomes(): Outcome[] {
    const { answer, operation, length } = this.asked!;
    const answers = this.replaced !== null
      ? [this.replaced]
      : this.isCancelled
      ? [answer, -ECANCELED]
      : [answer];
    return answers.map((raw) => {
      const outcome: Outcome = { callbackId: 0, status: "ok", errorData: 0, result: raw };
      const thrower = this.stageThrower;
      if (thrower >= 0) throwIn(outcome, thrower, "stage");
      else if (this.hooksThatThrew.has("completeShared")) throwIn(outcome, 0, "completeShared");
      const asked = operation === "readv" || operation === "writev" ? length : 0;
      for (const callback of this.callbacks.toReversed()) complete(outcome, callback, asked);
      if (this.hooksThatThrew.has("completeLocal")) throwIn(outcome, 0, "completeLocal");
      for (const callback of this.callbacks.toReversed()) completeLocally(outcome, callback);
      return outcome;
    });
  }

  toString(): string {
    const { operation = "-", offset = 0, length = 0 } = this.asked ?? {};
    const callbacks = this.callbacks.map(({ name, data }) => `${name} ${data}`).join(", ");
    return `IO ${this.number} (handle ${this.ref.index}, use ${this.ref.generation}, ${operation} ` +
      `of ${length} at ${offset}, ${this.stage}, callbacks [${callbacks}])`;
  }
}

function throwIn(outcome: Outcome, callbackId: number, phase: CallbackPhase): void {
  outcome.callbackId = callbackId;
  outcome.status = "error";
  outcome.errorData = ERROR_DATA_THROWN + PHASE_NAMES.indexOf(phase);
  outcome.result = 0;
}

/**
 * What a callback makes of a result in `completeShared`; the file's own come from
 * file_callbacks.ts.
 */
function complete(outcome: Outcome, { id, name, data }: Registered, asked: number): void {
  if (name === "throwInShared") throwIn(outcome, id, "completeShared");
  else if (name === "mark") mark(outcome, id, data);
  else if (name.startsWith("file") && outcome.status === "ok") {
    if (outcome.result < 0) {
      Object.assign(outcome, { callbackId: id, status: "error", errorData: -outcome.result });
      outcome.result = 0;
    } else if (outcome.result < asked) {
      Object.assign(outcome, { callbackId: id, status: "partial" });
    }
  }
}

function completeLocally(outcome: Outcome, { id, name, data }: Registered): void {
  if (name === "throwInLocal") throwIn(outcome, id, "completeLocal");
  else if (name === "mark") mark(outcome, id, data);
}

function mark(outcome: Outcome, id: number, data: number): void {
  if (outcome.status === "error") return;
  outcome.errorData = marked(outcome.errorData, data);
  outcome.callbackId = id;
}
