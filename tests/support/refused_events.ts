/**
 * refused_events.ts: as if the kernel had refused IO of linux_aio that it has done, as it does with
 * what it could not begin at once: the thread that hears of it leaves the IO to the pool, whoever
 * issued it.
 *
 * @module
 */

import { EAGAIN } from "../../ffi/errno.ts";
import { LinuxAioCalls } from "../../ffi/linux_aio_calls.ts";
import { IO_EVENT_WORDS } from "../../ffi/linux_aio_layout.ts";
import { replace } from "./bells/bells.ts";

/** What was refused. */
export interface RefusedEvents extends Disposable {
  /** How often. */
  readonly count: number;
}

/**
 * Has one in so many be refused, as this thread sees it, until it is disposed of.
 *
 * @param every 1: all
 */
export function refuseEvents(every = 1): RefusedEvents {
  let seen = 0;
  let count = 0;
  const { getEvents } = LinuxAioCalls.prototype;
  const replaced = replace(
    LinuxAioCalls.prototype,
    "getEvents",
    function (this: LinuxAioCalls, context, most, into) {
      const found = getEvents.call(this, context, most, into);
      const words = new Int32Array(into.buffer, into.byteOffset);
      for (let i = 0; i < found; i++) {
        if (++seen % every !== 0) continue;
        words[i * IO_EVENT_WORDS.size + IO_EVENT_WORDS.result] = -EAGAIN;
        count++;
      }
      return found;
    },
  );
  return {
    get count() {
      return count;
    },
    [Symbol.dispose]: () => replaced[Symbol.dispose](),
  };
}
