/**
 * ring_method.ts: the method io_uring as its tests want it, in all threads.
 *
 * @module
 */

import type { IoMethod } from "../../../core/io/method.ts";
import { createIoUringMethod } from "../../../methods/io_uring.ts";
import type { RingForm } from "../../../methods/io_uring/setup.ts";
import { DEFAULT_TUNING } from "../../../methods/io_uring/tuning.ts";

/**
 * The method with rings of a form, which everything goes through: by default a lone cached read
 * does not.
 */
export function ringMethod(form: RingForm): IoMethod {
  return createIoUringMethod(form, { ...DEFAULT_TUNING, cachedReadsMin: Infinity });
}
