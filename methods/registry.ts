/**
 * registry.ts: the methods of this version. The order is the order in which `"auto"` tries them.
 *
 * @module
 */

import type { Availability, IoMethod } from "../core/io/method.ts";
import { effectiveOptions } from "../core/base/options.ts";
import type { AioOptions } from "../core/base/options.ts";
import { closeLibc, openLibc } from "../ffi/libc.ts";
import { ioUringMethod } from "./io_uring.ts";
import { linuxAioMethod } from "./linux_aio.ts";
import { syncMethod } from "./sync.ts";
import { workerMethod } from "./worker.ts";

/** A method's name. */
export type IoMethodName = "io_uring" | "linux_aio" | "worker" | "sync";

/** Every method by name; the compiler sees to it that none is missing. */
const METHODS_BY_NAME: Readonly<Record<IoMethodName, IoMethod>> = {
  io_uring: ioUringMethod,
  linux_aio: linuxAioMethod,
  worker: workerMethod,
  sync: syncMethod,
};

/** Every method, the best first. */
export const METHODS: readonly IoMethod[] = [
  METHODS_BY_NAME.io_uring,
  METHODS_BY_NAME.linux_aio,
  METHODS_BY_NAME.worker,
  METHODS_BY_NAME.sync,
];

/** A method, and whether this machine has it. */
export type MethodAvailability = Availability & { readonly name: IoMethodName };

/** The names of all methods of this version, the best first. */
export function methodNames(): readonly IoMethodName[] {
  return METHODS.map((method) => method.name as IoMethodName);
}

/**
 * Asks the machine which methods it has.
 *
 * @param options as for `Aio.open()`
 * @returns every method of this version, the best first; the reason of a missing one names a remedy
 */
export function availableMethods(options?: AioOptions): MethodAvailability[] {
  const effective = effectiveOptions(options);
  const lack = lackOfLibc(effective.libraries.libc);
  const toldBy = new Map<string, IoMethodName>();
  return methodNames().map((name) => {
    const own = METHODS_BY_NAME[name].available(effective);
    const answer = own.ok && lack !== null ? lack : own;
    if (answer.ok) return { ...answer, name };
    const first = toldBy.get(answer.reason);
    if (first !== undefined) return { ok: false, reason: `the same as for ${first}`, name };
    toldBy.set(answer.reason, name);
    return { ...answer, name };
  });
}

/** Why the C library cannot be had, which every method needs; null: it can. */
function lackOfLibc(path: string | undefined): Availability | null {
  try {
    closeLibc(openLibc(path));
    return null;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { ok: false, reason: error.message, cause: error.cause };
  }
}
