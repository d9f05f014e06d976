/**
 * io_uring/backlog.ts: submitted IOs of one backend that its ring has not taken: it has no room for
 * them, or the kernel refuses it.
 *
 * The submit does not wait for either, as it may come from the event loop. The next look for
 * completions hands them over; a blocking wait executes its own.
 *
 * @module
 */

import type { AioHandle } from "../../core/io/handle.ts";
import { EAGAIN, EBUSY, EINTR } from "../../ffi/errno.ts";

/** How long the kernel may refuse to take any, before IO that is awaited fails. */
const REFUSED_MS_MAX = 1000;

/** Whether an answer to a submit says nothing of the next one. */
export function isPassing(answer: number): boolean {
  return answer === 0 || answer === -EINTR || answer === -EAGAIN || answer === -EBUSY;
}

/** The list, the oldest first. */
export class UringBacklog {
  /** In order; to be read only. */
  readonly handles: AioHandle[] = [];
  /** What the kernel said last of IO that is still here; 0: it took some, or has said nothing. */
  #answer = 0;
  #refusedSince = 0;

  /** How many there are: looked at for every submit. */
  get count(): number {
    return this.handles.length;
  }

  /** Adds the newest. */
  append(handle: AioHandle): void {
    this.handles.push(handle);
  }

  /** Adds those of a submit that the ring has not taken, before all others. */
  putBack(staged: readonly AioHandle[], start: number, end: number): void {
    this.handles.unshift(...staged.slice(start, end));
  }

  /** Takes out the oldest ones. */
  drop(count: number): void {
    this.#takeOut(0, count);
  }

  /** Takes one out. @returns whether it was in */
  remove(handle: AioHandle): boolean {
    const at = this.handles.indexOf(handle);
    if (at >= 0) this.#takeOut(at, 1);
    return at >= 0;
  }

  #takeOut(at: number, count: number): void {
    this.handles.splice(at, count);
    // Nobody asks the kernel then: what it refuses next is refused for the first time.
    if (this.count === 0) this.#answer = 0;
  }

  /** The kernel has taken some. */
  noteTaken(): void {
    this.#answer = 0;
  }

  /** The kernel has refused some, with 0 or -errno. */
  noteRefused(answer: number): void {
    if (this.#answer === 0) this.#refusedSince = performance.now();
    this.#answer = answer === 0 ? -EAGAIN : answer;
  }

  /** Whether the kernel has refused IO that is still here, and took none since. */
  get isRefused(): boolean {
    return this.#answer !== 0 && this.count > 0;
  }

  /** With what the IOs here fail, as the kernel will not have them; 0: it may yet. */
  get failure(): number {
    if (this.#answer === 0) return 0;
    return performance.now() - this.#refusedSince >= REFUSED_MS_MAX ? this.#answer : 0;
  }
}
