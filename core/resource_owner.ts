/**
 * resource_owner.ts: who a handle is charged to, so that none is lost when work is cut short.
 *
 * @module
 */

import type { Backend } from "./backend.ts";
import type { AioHandle, HandleOwner } from "./handle.ts";
import { AioApiError } from "./errors.ts";

/** How a {@linkcode ResourceOwner} ends. */
export interface ReleaseOptions {
  /** True if it ends because of an error: leaks are then expected and not warned of. Default false. */
  readonly onError?: boolean;
}

/**
 * Owns handles, and other owners. Releasing it takes back what was not finished: a handle still
 * handed out is given back with the warning `leaked AIO handle`, one not yet submitted is submitted
 * with the warning `AIO handle was not submitted`; IO in flight goes on, its return slot is no
 * longer written.
 */
export class ResourceOwner implements HandleOwner, Disposable {
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
   * @throws {AioApiError} if the parent was released before
   */
  constructor(aio: { readonly backend: Backend }, parent?: ResourceOwner) {
    if (parent !== undefined && parent.#isReleased) {
      throw new AioApiError("Cannot add a resource owner to a parent that was released");
    }
    this.#backend = aio.backend;
    this.#parent = parent ?? null;
    if (parent !== undefined) parent.#children.add(this);
  }

  /** How many handles it owns now. */
  get handleCount(): number {
    return this.#handles.size;
  }

  remember(handle: AioHandle): void {
    if (this.#backend.handleOf(handle.index) !== handle) {
      throw new AioApiError("Cannot acquire a handle for a resource owner of another aio");
    }
    if (this.#isReleased) {
      throw new AioApiError("Cannot acquire a handle for a resource owner that was released");
    }
    this.#handles.add(handle);
  }

  forget(handle: AioHandle): void {
    this.#handles.delete(handle);
  }

  /** Takes back everything, its children first. Calling it again does nothing. */
  release(options: ReleaseOptions = {}): void {
    if (this.#isReleased) return;
    this.#backend.checkNotInCallback("release");
    for (const child of [...this.#children]) child.release(options);
    for (const handle of [...this.#handles]) {
      this.#handles.delete(handle);
      this.#backend.releaseFromOwner(handle, options.onError === true);
    }
    this.#isReleased = true;
    if (this.#parent !== null) this.#parent.#children.delete(this);
  }

  /** The end of a `using` block: a release without an error. */
  [Symbol.dispose](): void {
    this.release();
  }
}

/** Where a unit of work ends. */
interface Scope {
  /** Whose handles it owns. */
  readonly backend: Backend;
  /** After an error. */
  errorCleanup(): void;
  /** After anything. */
  endOfScope(isCommitted: boolean): void;
}

/** See `AioCore.withOwner`. */
export function runWithOwner<T>(scope: Scope, fn: (owner: ResourceOwner) => T): T {
  const owner = new ResourceOwner(scope);
  const end = (isCommitted: boolean): void => {
    if (!isCommitted) scope.errorCleanup();
    owner.release({ onError: !isCommitted });
    scope.endOfScope(isCommitted);
  };
  let value: T;
  try {
    value = fn(owner);
  } catch (error) {
    end(false);
    throw error;
  }
  if (!(value instanceof Promise)) {
    end(true);
    return value;
  }
  const settled = value.then(
    (result) => {
      end(true);
      return result;
    },
    (error) => {
      end(false);
      throw error;
    },
  );
  // A promise of what fn's promise resolves to: the same type, which TypeScript cannot see.
  return settled as T;
}
