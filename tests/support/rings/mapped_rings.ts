/**
 * mapped_rings.ts: io_uring as on kernels before Linux 6.5, which map their rings by themselves,
 * and as on machines without liburing. The import map beside it puts this in the place of
 * `methods/io_uring.ts`, so that the whole suite runs with such rings: `deno task test:mapped`.
 *
 * @module
 */

import type { IoMethod } from "../../../core/io/method.ts";
import type { UringLibrary } from "../../../ffi/uring_calls.ts";
import { createIoUringMethod as create } from "../../../methods/io_uring.ts";
import type { RingForm } from "../../../methods/io_uring/setup.ts";
import type { UringTuning } from "../../../methods/io_uring/tuning.ts";

/**
 * Like that one, but with a mapped ring and the C library where that one would choose.
 */
export function createIoUringMethod(
  form: RingForm | null,
  tuning?: UringTuning,
  library: UringLibrary | null = null,
): IoMethod {
  return create(form ?? "mapped", tuning, library ?? "libc");
}

/** Hands IOs to the kernel, through rings that it mapped. */
export const ioUringMethod = createIoUringMethod(null);
