/**
 * fuzz_owner.ts: what the random tests know of one resource owner.
 *
 * @module
 */

import type { ResourceOwner } from "../../../core/life/resource_owner.ts";
import type { FuzzIo } from "./fuzz_io.ts";

/** One owner. */
export class FuzzOwner {
  readonly owner: ResourceOwner;
  readonly children = new Set<FuzzOwner>();
  /** What is charged to it, in order. */
  readonly ios = new Set<FuzzIo>();
  isReleased = false;

  constructor(owner: ResourceOwner, parent: FuzzOwner | null) {
    this.owner = owner;
    parent?.children.add(this);
  }

  /** This one and all below it, the children first, as they are released. */
  *tree(): Generator<FuzzOwner> {
    for (const child of this.children) if (!child.isReleased) yield* child.tree();
    yield this;
  }
}
