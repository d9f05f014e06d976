/**
 * linux_aio/probe.ts: whether this machine has native AIO, and if not, why, and what would help.
 *
 * @module
 */

import type { EffectiveOptions } from "../../core/base/options.ts";
import type { Availability } from "../../core/io/method.ts";
import { EAGAIN, EINVAL, EMFILE, ENOSYS, EPERM, errnoName } from "../../ffi/errno.ts";
import { closeLibc, type Libc, openLibc } from "../../ffi/libc.ts";
import {
  closeLinuxAioCalls,
  type LinuxAioCalls,
  openLinuxAioCalls,
} from "../../ffi/linux_aio_calls.ts";

/**
 * Asks the machine, by a call that can make nothing: of a kernel that has it, a context for no IO
 * is a wrong argument.
 */
export function linuxAioAvailability(options: EffectiveOptions): Availability {
  if (Deno.build.os !== "linux") {
    return { ok: false, reason: `linux_aio is Linux only, and this is ${Deno.build.os}` };
  }
  using opened = new DisposableStack();
  let libc: Libc;
  let calls: LinuxAioCalls;
  try {
    libc = opened.adopt(openLibc(options.libraries.libc), closeLibc);
    calls = opened.adopt(openLinuxAioCalls(options.libraries.libc), closeLinuxAioCalls);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { ok: false, reason: error.message, cause: error.cause };
  }
  const result = calls.setup(0, new Uint8Array(8));
  if (result === -EINVAL) {
    return { ok: true, how: "direct I/O and flushes by io_submit, the rest by IO Workers" };
  }
  return { ok: false, reason: contextReason(libc, -result) };
}

/** What the kernel refuses a context with, in words. */
export function contextReason(libc: Libc, errno: number): string {
  switch (errno) {
    case ENOSYS:
    case EPERM:
      return libc.hasSeccompFilter()
        ? `native AIO is refused (${errnoName(errno)}) by a seccomp filter: allow io_setup, ` +
          "io_submit, io_getevents and io_destroy in its profile"
        : `the kernel has no native AIO (${errnoName(errno)}): it needs one built with CONFIG_AIO`;
    case EAGAIN:
      return "the system has no native AIO left (EAGAIN): raise the sysctl fs.aio-max-nr";
    case EMFILE:
      return "this process has no descriptors left (EMFILE): raise `ulimit -n`";
    default:
      return `io_setup failed with ${errnoName(errno)}`;
  }
}
