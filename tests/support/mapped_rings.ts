/**
 * mapped_rings.ts: io_uring as on kernels before Linux 6.5, which map their rings by themselves. The
 * import map beside it puts this in the place of `methods/io_uring.ts`, so that the whole suite runs
 * with such rings: `deno task test:mapped`.
 *
 * @module
 */

import { createIoUringMethod } from "../../methods/io_uring.ts";

export { createIoUringMethod };

/** Hands IOs to the kernel, through rings that it mapped. */
export const ioUringMethod = createIoUringMethod("mapped");
