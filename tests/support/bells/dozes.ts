/**
 * dozes.ts: what the tests of dozing need: a thread that stays awake for its IO and dozes, with
 * dozes that last long, and what its event loop rests in.
 *
 * @module
 */

import { DozeBound } from "../../../core/waiting/doze_bound.ts";
import { RestPoll, restPoll } from "../../../core/waiting/rest_poll.ts";
import { backendOf } from "../../../core/inside.ts";
import type { Libc } from "../../../ffi/libc.ts";
import type { Aio } from "../../../mod.ts";
import { HANG_MS, hangs } from "../patience.ts";
import { replace, SILENCE_MS } from "./bells.ts";

/** Makes this thread doze, and never sleep, while its own IO is in flight. */
export function stayAwake(): Disposable {
  return replace(DozeBound.prototype, "left", () => 1);
}

/**
 * Makes every doze of this thread last long, and keeps how each ended: over 0 by a bell or a
 * descriptor.
 */
export class DozeWatch implements Disposable {
  /** What each doze returned. */
  readonly results: number[] = [];
  readonly #replaced = new DisposableStack();

  /**
   * @param libc of this thread's backend
   * @param beforeDoze called before each: this thread has said that it sleeps, and has looked
   * @param isExpected whether something should end a doze
   */
  constructor(libc: Libc, beforeDoze: () => void, isExpected: boolean) {
    const ppoll = libc.ppoll.bind(libc);
    const ms = isExpected ? HANG_MS : SILENCE_MS;
    const time = new BigInt64Array([BigInt(Math.floor(ms / 1000)), BigInt(ms % 1000) * 1_000_000n]);
    this.#replaced.use(stayAwake());
    this.#replaced.use(replace(libc, "ppoll", (pollfds, count) => {
      beforeDoze();
      const result = ppoll(pollfds, count, new Uint8Array(time.buffer));
      this.results.push(result);
      return result;
    }));
  }

  [Symbol.dispose](): void {
    this.#replaced[Symbol.dispose]();
  }
}

/** What the event loop of this thread rests in, however busy the machine is. */
export async function findRest(aio: Aio): Promise<number> {
  const { libc, control, id } = backendOf(aio);
  const isHanging = hangs();
  for (;;) {
    const rest = new RestPoll();
    await rest.find(libc, control, id);
    if (rest.fd >= 0) return rest.fd;
    if (isHanging()) throw new Error("The kernel does not tell what this thread rests in");
  }
}

/** Sets the descriptor that this thread takes for what it rests in; -1: it knows of none. */
export function knowRest(fd: number): Disposable {
  const before = Object.getOwnPropertyDescriptor(RestPoll.prototype, "fd")!;
  Object.defineProperty(restPoll, "fd", { configurable: true, get: () => fd });
  return {
    [Symbol.dispose]() {
      Object.defineProperty(restPoll, "fd", before);
    },
  };
}
