/**
 * fuzz_scopes.ts: what the random tests do with resource owners, and where units of work end: what
 * is released, submitted and warned of.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import type { AioHandle } from "../../../core/io/handle.ts";
import { ResourceOwner } from "../../../core/life/resource_owner.ts";
import type { Prng } from "../prng.ts";
import type { FuzzIo } from "./fuzz_io.ts";
import type { FuzzModel } from "./fuzz_model.ts";
import { FuzzOwner } from "./fuzz_owner.ts";

const LEAKED = "leaked AIO handle";
const NOT_SUBMITTED = "AIO handle was not submitted";
const BATCH_LEFT_OPEN = "open AIO batch at end of (sub-)transaction";

/** What is done in a scope. */
export interface ScopeStarts {
  /** Takes a handle for an owner, if there is one. */
  acquireFor(owner: FuzzOwner): { handle: AioHandle; io: FuzzIo } | null;
  /** Starts an IO for an owner, if there is a handle. */
  startFor(owner: FuzzOwner): void;
  /** Opens a batch, if none is open. */
  enterBatch(): void;
}

/** The steps about owners and scopes. */
export class FuzzScopes {
  readonly #model: FuzzModel;
  readonly #prng: Prng;
  readonly #warnings: string[];
  readonly #starts: ScopeStarts;
  /** The owner that was released last. */
  released: ResourceOwner | null = null;

  /** @param parts of the steps that these belong to */
  constructor(
    { model, prng, warnings }: { model: FuzzModel; prng: Prng; warnings: string[] },
    starts: ScopeStarts,
  ) {
    this.#model = model;
    this.#prng = prng;
    this.#warnings = warnings;
    this.#starts = starts;
  }

  pickOwner(): FuzzOwner | null {
    const { owners } = this.#model;
    return owners.size > 0 && this.#prng.chance(1, 2) ? this.#prng.pick([...owners]) : null;
  }

  cleanUp(): string {
    const model = this.#model;
    const warnings = this.#warnings;
    const isError = this.#prng.chance(1, 2);
    const expected = isError || !model.isInBatch ? [] : [BATCH_LEFT_OPEN];
    const isSubmitting = isError || model.isInBatch;
    const from = warnings.length;
    if (isError) model.aio.errorCleanup();
    else model.aio.endOfScope(this.#prng.chance(1, 2));
    model.isInBatch = false;
    if (isSubmitting) model.submittedAll();
    assertEquals(ownWarnings(warnings.slice(from)), expected);
    return isError ? "errorCleanup" : "endOfScope";
  }

  makeOwner(): string {
    const parent = this.pickOwner();
    const owner = new FuzzOwner(new ResourceOwner(this.#model.aio, parent?.owner), parent);
    this.#model.owners.add(owner);
    return parent === null ? "an owner" : "an owner below another";
  }

  releaseOwner(): string {
    const { owners } = this.#model;
    if (owners.size === 0) return "nothing";
    const owner = this.#prng.pick([...owners]);
    const onError = this.#prng.chance(1, 2);
    this.#endOwner(owner, onError, () => owner.owner.release({ onError }));
    owner.owner.release();
    this.released = owner.owner;
    return `release an owner${onError ? " on error" : ""}`;
  }

  /** What an owner warns of, and submits, when it ends. */
  #endOwner(root: FuzzOwner, onError: boolean, end: () => void): void {
    const model = this.#model;
    const warnings = this.#warnings;
    model.verifyUses();
    const ios = [...root.tree()].flatMap((owner) => [...owner.ios]);
    const hasLeaked = ios.some(({ stage }) => stage === "handedOut");
    const staged = ios.filter(({ stage }) => stage === "staged").length;
    const from = warnings.length;
    end();
    const told = ownWarnings(warnings.slice(from));
    const isTold = (warning: string) => told.filter((one) => one === warning).length;
    assertEquals(isTold(LEAKED), !onError && hasLeaked ? 1 : 0, "warnings of leaked handles");
    const [least, most] = onError || staged === 0 ? [0, 0] : [1, staged];
    const count = isTold(NOT_SUBMITTED);
    assert(count >= least && count <= most, `${count} warnings of ${staged} IOs not submitted`);
    if (staged > 0) model.submittedAll();
    model.released(root, true);
  }

  withOwner(): string {
    const model = this.#model;
    const isThrowing = this.#prng.chance(1, 2);
    const count = this.#prng.below(4);
    const isLeaking = model.handed === null && this.#prng.chance(1, 3);
    const isOpening = !model.isInBatch && this.#prng.chance(1, 3);
    let root: FuzzOwner | null = null;
    const run = () =>
      model.aio.withOwner((owner) => {
        root = new FuzzOwner(owner, null);
        model.owners.add(root);
        if (isOpening) this.#starts.enterBatch();
        for (let i = 0; i < count; i++) this.#starts.startFor(root);
        if (isLeaking) model.handed = this.#starts.acquireFor(root);
        if (isThrowing) throw new Error("as planned");
      });
    const end = () => {
      if (isThrowing) assertThrows(run, Error, "as planned");
      else run();
    };
    this.#runScope(end, () => root!, isThrowing);
    return `withOwner of ${count}${isThrowing ? " that throws" : ""}`;
  }

  /** The end of a scope comes within the call, so what it did is only compared afterwards. */
  #runScope(run: () => void, root: () => FuzzOwner, isThrowing: boolean): void {
    const model = this.#model;
    const warnings = this.#warnings;
    const from = warnings.length;
    run();
    const told = ownWarnings(warnings.slice(from));
    if (isThrowing) assertEquals(told, [], "warnings after an error");
    const isOpen = model.isInBatch;
    assertEquals(told.includes(BATCH_LEFT_OPEN), isOpen && !isThrowing, "warned of an open batch");
    model.submittedPerhaps();
    if (isThrowing || isOpen) model.submittedAll();
    model.isInBatch = false;
    model.released(root(), false);
  }
}

/** Those of the core, not those that tell of callbacks that threw. */
function ownWarnings(warnings: readonly string[]): string[] {
  return warnings.filter((warning) => !warning.includes(" threw in "));
}
