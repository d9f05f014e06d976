/**
 * fuzz_hooks.ts: hooks at the injection points, which come and go: they replace results, throw, and
 * try what no callback may do. What happens to an IO follows from its number alone, so that it does
 * not matter when it is completed.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { CallbackHandle } from "../../../core/io/callback.ts";
import { INJECTION_POINTS, type InjectionPoint, PHASE_NAMES } from "../../../core/io/result.ts";
import { mix32, type Prng } from "../prng.ts";
import { reentry } from "./fuzz_callbacks.ts";
import type { FuzzIo } from "./fuzz_io.ts";
import { misuseInCallback } from "./fuzz_misuse.ts";
import type { FuzzModel } from "./fuzz_model.ts";

/** One in so many callbacks tries something. */
const ATTEMPT_EVERY = 4;
/** One in so many IOs that come by a hook is meddled with. */
const MEDDLE_EVERY = 4;

/** The hooks of one thread. */
export class FuzzHooks {
  readonly #model: FuzzModel;
  readonly #seed: number;
  readonly #attached = new Set<InjectionPoint>();
  readonly #faults: string[] = [];
  #callbacks = 0;

  constructor(model: FuzzModel, seed: number) {
    this.#model = model;
    this.#seed = seed;
    reentry.attempt = () => this.#attempt();
  }

  #attempt(): void {
    if (++this.#callbacks % ATTEMPT_EVERY !== 0) return;
    const fault = misuseInCallback(this.#model, this.#callbacks / ATTEMPT_EVERY);
    if (fault !== null) this.#faults.push(fault);
  }

  /** What callbacks found since the last time. */
  check(): void {
    assertEquals(this.#faults.splice(0), []);
  }

  /** Attaches a hook, or takes it away. */
  change(prng: Prng): string {
    const point = prng.pick(INJECTION_POINTS);
    const { aio } = this.#model;
    if (this.#attached.delete(point)) {
      assertEquals(aio.detachInjectionPoint(point), true);
      return `no hook at ${point}`;
    }
    assertEquals(aio.detachInjectionPoint(point), false);
    aio.attachInjectionPoint(point, (handle) => this.#run(point, handle));
    this.#attached.add(point);
    return `a hook at ${point}`;
  }

  /** Takes all away. */
  detachAll(): void {
    for (const point of this.#attached) this.#model.aio.detachInjectionPoint(point);
    this.#attached.clear();
  }

  #run(point: InjectionPoint, handle: CallbackHandle): number | undefined {
    this.#attempt();
    if (handle.backendId !== this.#model.aio.backendId) return undefined;
    const io = this.#model.ios.get(handle.handleData()[0]!);
    if (io === undefined) {
      this.#faults.push(`a hook is called for an IO that nobody knows of`);
      return undefined;
    }
    return this.#meddle(point, io);
  }

  #meddle(point: InjectionPoint, io: FuzzIo): number | undefined {
    const at = INJECTION_POINTS.indexOf(point);
    const choice = mix32(this.#seed ^ (io.number * INJECTION_POINTS.length + at));
    if (choice % MEDDLE_EVERY !== 0) return undefined;
    const isTransfer = /^(read|write)v$/.test(io.asked!.operation);
    if (PHASE_NAMES[at] !== "completeShared" || choice % 3 === 0 || !isTransfer) {
      io.hooksThatThrew.add(PHASE_NAMES[at]!);
      throw new Error("as planned");
    }
    const { length } = io.asked!;
    io.replaced = [length, 0, length >> 1, -5, -11][(choice >>> 8) % 5]!;
    return io.replaced;
  }
}
