/**
 * resource_owner.ts: the owners that handles are charged to, so that none is lost when work is cut
 * short.
 *
 * @module
 */

import type { Backend } from "../backend/backend.ts";
import { backendOf } from "../backend/backend_of.ts";
import type { AioHandle } from "../io/handle.ts";
import { AioApiError } from "../base/errors.ts";
import { INSPECT } from "../base/inspect.ts";
import { isThenable } from "../base/promise.ts";

/** How a {@linkcode ResourceOwner} ends. */
export interface ReleaseOptions {
  /**
   * True if it ends because of an error: leaks are then expected and not warned of. Default false.
   */
  readonly onError?: boolean;
}

/**
 * Owns handles, and other owners. Releasing it takes back what was not finished: a handle still
 * handed out is given back with the warning `leaked AIO handle`, one not yet submitted is submitted
 * with the warning `AIO handle was not submitted`; IO in flight goes on, its return slot is no
 * longer written.
 */
export class ResourceOwner implements Disposable {
  readonly #backend: Backend;
  readonly #parent: ResourceOwner | null;
  readonly #children = new Set<ResourceOwner>();
  readonly #handles = new Set<AioHandle>();
  #isReleased = false;

  /**
   * A new owner, of nothing yet.
   *
   * @param aio whose handles it owns
   * @param parent released together with this one, after it
   * @throws {TypeError} for what is no Aio
   * @throws {AioApiError} if the parent was released before
   */
  constructor(aio: { readonly backendId: number }, parent?: ResourceOwner) {
    if (parent !== undefined && parent.#isReleased) {
      throw new AioApiError("Cannot add a resource owner to a parent that was released");
    }
    this.#backend = backendOf(aio);
    this.#parent = parent ?? null;
    if (parent !== undefined) parent.#children.add(this);
  }

  /** How many handles it owns now. */
  get handleCount(): number {
    return this.#handles.size;
  }

  /** One line for `console.log(owner)`: `ResourceOwner (2 charged)`. */
  [INSPECT](): string {
    const now = this.#isReleased ? "released" : `${this.handleCount} charged`;
    return `ResourceOwner (${now})`;
  }

  /**
   * A handle was acquired for this owner: see `HandleOwner`.
   *
   * @ignore
   */
  remember(handle: AioHandle): void {
    if (this.#backend.handleOf(handle.index) !== handle) {
      throw new AioApiError("Cannot acquire a handle for a resource owner of another aio");
    }
    if (this.#isReleased) {
      throw new AioApiError("Cannot acquire a handle for a resource owner that was released");
    }
    this.#handles.add(handle);
  }

  /**
   * The handle was reclaimed.
   *
   * @ignore
   */
  forget(handle: AioHandle): void {
    this.#handles.delete(handle);
  }

  /**
   * Takes back everything, its children first. Calling it again does nothing.
   *
   * @throws what went wrong with one child or handle, after all others were taken back
   */
  release(options: ReleaseOptions = {}): void {
    if (this.#isReleased) return;
    const backend = this.#backend;
    backend.checkNotInCallback("release");
    // First of all: a warning hook can neither acquire for it nor put an owner under it.
    this.#isReleased = true;
    if (this.#parent !== null) this.#parent.#children.delete(this);
    this.#dropReturns();
    const errors: unknown[] = [];
    for (const child of this.#children) attempt(errors, () => child.release(options));
    // To submit one IO submits all that are staged, and those may be over by then. They are
    // forgotten, and so this loop, which goes over the set as it is now, does not meet them.
    for (const handle of this.#handles) {
      this.#handles.delete(handle);
      attempt(errors, () => backend.releaseFromOwner(handle, options.onError === true));
    }
    if (errors.length > 0) throw errors[0];
  }

  /** Before anything is submitted, so that no outcome is written in the middle of the release. */
  #dropReturns(): void {
    for (const child of this.#children) child.#dropReturns();
    for (const handle of this.#handles) this.#backend.dropReturn(handle);
  }

  /** The end of a `using` block: a release without an error. */
  [Symbol.dispose](): void {
    this.release();
  }
}

/** Runs one of several steps that must all be tried. */
function attempt(errors: unknown[], step: () => void): void {
  try {
    step();
  } catch (error) {
    errors.push(error);
  }
}

/** Where a unit of work ends. */
interface Scope {
  /** Whose handles it owns. */
  readonly backendId: number;
  /** After an error. */
  errorCleanup(): void;
  /** After anything. */
  endOfScope(isCommitted: boolean): void;
}

/** See `AioCore.withOwner`. */
export function runWithOwner<T>(scope: Scope, fn: (owner: ResourceOwner) => T): T {
  const owner = new ResourceOwner(scope);
  let value: T;
  try {
    value = fn(owner);
  } catch (error) {
    endAfterError(scope, owner);
    throw error;
  }
  if (!isThenable(value)) {
    end(scope, owner);
    return value;
  }
  const settled = Promise.resolve(value).then(
    (result) => {
      end(scope, owner);
      return result;
    },
    (error) => {
      endAfterError(scope, owner);
      throw error;
    },
  );
  // A promise of what fn's promise resolves to: the same type, which TypeScript cannot see.
  return settled as T;
}

/** Whatever is wrong with the handles, no batch stays open. */
function end(scope: Scope, owner: ResourceOwner): void {
  try {
    owner.release();
  } finally {
    scope.endOfScope(true);
  }
}

/** The error is the one that the caller hears of: what else goes wrong now is a warning. */
function endAfterError(scope: Scope, owner: ResourceOwner): void {
  const errors: unknown[] = [];
  attempt(errors, () => scope.errorCleanup());
  attempt(errors, () => owner.release({ onError: true }));
  attempt(errors, () => scope.endOfScope(false));
  for (const error of errors) {
    backendOf(scope).warn(`Cannot end a unit of work that failed as it should: ${error}`, error);
  }
}
