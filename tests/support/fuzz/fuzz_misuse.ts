/**
 * fuzz_misuse.ts: calls that must be refused, and must change nothing: one at random in whatever
 * state the backend is, and one from within each callback.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { HandleFlag } from "../../../core/io/handle_flag.ts";
import { ResourceOwner } from "../../../core/life/resource_owner.ts";
import type { InjectionPoint } from "../../../core/io/result.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { wrong } from "../core.ts";
import type { Prng } from "../prng.ts";
import type { FuzzModel } from "./fuzz_model.ts";

type Refusal = readonly [name: string, call: () => unknown, ...errors: ErrorClass[]];
type ErrorClass = new (...args: never[]) => Error;

const BAD_REFS: readonly unknown[] = [
  undefined,
  5,
  {},
  { index: -1, generation: 1 },
  { index: 0.5, generation: 1 },
  { index: 1e6, generation: 1 },
  { index: 0, generation: 0 },
  { index: 0, generation: 2 ** 53 },
];

/** What may be refused now, whatever else there is. */
function always({ aio }: FuzzModel, prng: Prng): Refusal[] {
  const ref = wrong<WaitRef>(prng.pick(BAD_REFS));
  const point = wrong<InjectionPoint>("nowhere");
  return [
    ["waitSync of no reference", () => aio.waitSync(ref), TypeError, RangeError],
    ["wait for no reference", () => aio.wait(ref), TypeError, RangeError],
    ["checkDone of no reference", () => aio.checkDone(ref), TypeError, RangeError],
    ["cancel of no reference", () => aio.cancel(ref), TypeError, RangeError],
    ["abandon of no reference", () => aio.abandon(ref), TypeError, RangeError],
    ["attachInjectionPoint", () => aio.attachInjectionPoint(point, () => undefined), RangeError],
    ["detachInjectionPoint", () => aio.detachInjectionPoint(point), RangeError],
    ["free of plain memory", () => aio.free(new Uint8Array(8)), RangeError, TypeError],
    ["alloc of nothing", () => aio.alloc(0), RangeError],
    ["alloc of too much", () => aio.alloc(2 ** 40), RangeError, Deno.errors.Busy],
    ["adoptMemory", () => aio.adoptMemory(wrong(new ArrayBuffer(8))), TypeError],
    ["reapBackend of this thread", () => aio.reapBackend(aio.backendId), AioApiError],
    ["reapBackend of no thread", () => aio.reapBackend(1e6), RangeError],
    ["callbackId", () => aio.callbackId("nobody's"), RangeError],
    ["targetId", () => aio.targetId("nobody's"), RangeError],
  ];
}

/** What a batch that is open, or is not, refuses. */
function ofBatches({ aio, isInBatch }: FuzzModel): Refusal[] {
  if (!isInBatch) {
    return [["exitBatchmode without a batch", () => aio.exitBatchmode(), AioApiError]];
  }
  return [
    ["enterBatchmode in a batch", () => aio.enterBatchmode(), AioApiError],
    ["batch in a batch", () => aio.batch(() => 1), AioApiError],
  ];
}

/** What a handle in hand refuses. */
function ofHandles({ aio, handed }: FuzzModel): Refusal[] {
  if (handed === null) return [];
  const { handle, io } = handed;
  return [
    ["acquire with one in hand", () => aio.acquire(), AioApiError],
    ["tryAcquire with one in hand", () => aio.tryAcquire(), AioApiError],
    ["waitSync of one in hand", () => aio.waitSync(io.ref), AioApiError],
    ["wait for one in hand", () => aio.wait(io.ref), AioApiError],
    ["setFlag", () => handle.setFlag(wrong<HandleFlag>("no")), RangeError],
    ["setIovec of nothing", () => handle.setIovec([]), RangeError],
    ["setIovec of an empty view", () => handle.setIovec(new Uint8Array(0)), RangeError],
    ["setTarget", () => handle.setTarget(77), RangeError],
    ["setTarget with seven words", () => handle.setTarget(1, [1, 2, 3, 4, 5, 6, 7]), RangeError],
    ["registerCallbacks", () => handle.registerCallbacks(61), RangeError],
    ["callback data", () => handle.registerCallbacks(1, 256), RangeError],
    ["setHandleData of nothing", () => handle.setHandleData([]), RangeError],
    ["setHandleData of -1", () => handle.setHandleData([-1]), RangeError],
    ["startReadv without a target", () => handle.startReadv(0, 0), AioApiError],
    ["startReadv at -1", () => handle.startReadv(0, -1), RangeError],
    ["startFsync on -1", () => handle.startFsync(-1), RangeError],
    ["startFlushRange of -1", () => handle.startFlushRange(0, 0, -1), AioApiError],
  ];
}

/** What an IO that was started refuses, over or not. */
function ofStarted(model: FuzzModel, prng: Prng): Refusal[] {
  const { aio } = model;
  const started = [...model.ios.values()].filter(({ stage }) => stage !== "handedOut");
  if (started.length === 0) return [];
  const { ref, stage, asked } = prng.pick(started);
  const handle = backendOf(aio).handleOf(ref.index);
  const isReused = model.handed?.handle === handle;
  const future = { index: ref.index, generation: ref.generation + 1000 };
  const refusals: Refusal[] = [
    ["waitSync of a use to come", () => aio.waitSync(future), RangeError],
    ["checkDone of a use to come", () => aio.checkDone(future), RangeError],
    ["wait for a use to come", () => aio.wait(future), RangeError],
  ];
  const [view] = asked!.views;
  const isUsed = view?.buffer === backendOf(aio).arena.buffer &&
    /^(read|write)v$/.test(asked!.operation);
  if (isUsed && stage !== "over") {
    // A part of it is refused as a part, if it has not all the pages.
    const errors = [Deno.errors.Busy, TypeError];
    refusals.push(["free of memory in use", () => aio.free(view!), ...errors]);
  }
  if (isReused) return refusals;
  refusals.push(
    ["release after the start", () => handle.release(), AioApiError],
    ["setFlag after the start", () => handle.setFlag("buffered"), AioApiError],
    ["setIovec after the start", () => handle.setIovec(new Uint8Array(1)), AioApiError],
    ["setTarget after the start", () => handle.setTarget(1), AioApiError],
    ["start after the start", () => handle.startReadv(0, 0), AioApiError],
  );
  if (stage !== "staged" && stage !== "over") return refusals;
  if (stage === "over") {
    refusals.push(["waitRef after the end", () => handle.waitRef(), AioApiError]);
  }
  return handle.state === "idle" || stage === "staged" ? refusals : refusals.slice(0, 3);
}

/** What owners and other backends' IO refuse. */
function ofOthers(model: FuzzModel, released: ResourceOwner | null): Refusal[] {
  const { aio } = model;
  const count = aio.options.maxConcurrency;
  const foreign = { index: ((aio.backendId + 1) % aio.options.maxBackends) * count, generation: 1 };
  const refusals: Refusal[] = [
    ["cancel of another backend's IO", () => aio.cancel(foreign), AioApiError],
    ["abandon of another backend's IO", () => aio.abandon(foreign), AioApiError],
  ];
  if (released === null) return refusals;
  refusals.push(["an owner under a released one", () => {
    new ResourceOwner(aio, released);
  }, AioApiError]);
  if (model.handed === null && backendOf(aio).idleCount > 0) {
    refusals.push(["acquire for a released owner", () => aio.acquire(released), AioApiError]);
  }
  return refusals;
}

/**
 * Makes one call that must be refused, and looks that nothing has changed.
 *
 * @param isAlone whether no other thread may take memory meanwhile
 * @returns its name
 */
export function misuse(
  model: FuzzModel,
  prng: Prng,
  released: ResourceOwner | null,
  isAlone: boolean,
): string {
  const all = [
    always(model, prng),
    ofBatches(model),
    ofHandles(model),
    ofStarted(model, prng),
    ofOthers(model, released),
  ].filter((refusals) => refusals.length > 0);
  const [name, call, ...errors] = prng.pick(prng.pick(all));
  // What is staged may have to go first, when 32 are.
  if (model.staged.size >= 32) return name;
  const before = snapshot(model, isAlone);
  const thrown = thrownBy(call);
  assert(errors.some((error) => thrown instanceof error), `${name}: ${thrown ?? "not refused"}`);
  assertEquals(snapshot(model, isAlone), before, `what ${name} has changed`);
  return name;
}

function thrownBy(call: () => unknown): Error | null {
  try {
    call();
    return null;
  } catch (error) {
    return error as Error;
  }
}

/** What only this thread may change. */
function snapshot(model: FuzzModel, isAlone: boolean): string {
  const backend = backendOf(model.aio);
  const { words } = backend.control;
  const records = [...model.ios.values()]
    .filter(({ stage }) => stage === "handedOut" || stage === "staged")
    .map(({ ref }) => {
      const base = backend.control.handleAt(ref.index);
      const record = [...words.subarray(base, base + HANDLE.size)];
      // Others may set these; the iovec's length is only looked at together with it.
      record[HANDLE.waiterMask] = record[HANDLE.claim] = record[HANDLE.iovecLength] = 0;
      record[HANDLE.length] = 0;
      return record.join();
    });
  const { staging, acquireQueue, arena } = backend;
  const owners = [...model.owners].map(({ owner }) => owner.handleCount);
  const counts = [staging.count, staging.isInBatch, backend.hasHandedOut, acquireQueue.length];
  return [...records, ...counts, isAlone ? arena.freeBytes : "", owners.join()].join("\n");
}

/** Tries, in a callback, what no callback may do. @returns what was not refused as it should be */
export function misuseInCallback(model: FuzzModel, turn: number): string | null {
  const { aio } = model;
  const ref = { index: aio.backendId * aio.options.maxConcurrency, generation: 1 };
  const calls: readonly (readonly [string, () => unknown])[] = [
    ["acquire", () => aio.acquire()],
    ["tryAcquire", () => aio.tryAcquire()],
    ["acquireAsync", () => aio.acquireAsync((handle) => handle.release())],
    ["waitSync", () => aio.waitSync(ref)],
    ["wait", () => aio.wait(ref)],
    ["checkDone", () => aio.checkDone(ref)],
    ["cancel", () => aio.cancel(ref)],
    ["submitStaged", () => aio.submitStaged()],
    ["enterBatchmode", () => aio.enterBatchmode()],
    ["exitBatchmode", () => aio.exitBatchmode()],
    ["errorCleanup", () => aio.errorCleanup()],
    ["alloc", () => aio.alloc(8)],
    ["closingFd", () => aio.closingFd(1_000_000)],
    ["release of an owner", () => new ResourceOwner(aio).release()],
  ];
  const [name, call] = calls[turn % calls.length]!;
  const thrown = thrownBy(call);
  return thrown instanceof AioApiError ? null : `${name} in a callback: ${thrown}`;
}
