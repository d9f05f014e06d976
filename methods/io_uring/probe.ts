/**
 * io_uring/probe.ts: whether this machine has io_uring, and if not, why, and what would help.
 *
 * It is found out by doing: a small ring is made and closed again, and the kernel says what it can.
 *
 * @module
 */

import type { Availability } from "../../core/io/method.ts";
import type { EffectiveOptions } from "../../core/base/options.ts";
import { EINVAL, EMFILE, ENOMEM, ENOSYS, EPERM, errnoName } from "../../ffi/errno.ts";
import { closeLibc, type Libc, openLibc } from "../../ffi/libc.ts";
import { closeUringCalls, describeUringCalls, type UringCalls } from "../../ffi/uring_calls.ts";
import { FEATURE_RW_CUR_POS, PARAMS_WORDS, SETUP_NO_MMAP } from "../../ffi/uring_layout.ts";
import { canLookAtMemory, type RingForm } from "./setup.ts";

const PROBE_ENTRIES = 2;
const NO_DESCRIPTORS = "this process has no descriptors left (EMFILE): raise `ulimit -n`";

/**
 * Asks the machine.
 *
 * @param options of the opening
 * @param form that the ring is to have; null: any
 * @param open opens the calls
 */
export function uringAvailability(
  options: EffectiveOptions,
  form: RingForm | null,
  open: (options: EffectiveOptions) => UringCalls,
): Availability {
  if (Deno.build.os !== "linux") {
    return { ok: false, reason: `io_uring is Linux only, and this is ${Deno.build.os}` };
  }
  using opened = new DisposableStack();
  let libc: Libc;
  let calls: UringCalls;
  try {
    libc = opened.adopt(openLibc(options.libraries.libc), closeLibc);
    calls = opened.adopt(open(options), closeUringCalls);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { ok: false, reason: error.message, cause: error.cause };
  }
  return probe(libc, calls, form);
}

function probe(libc: Libc, calls: UringCalls, form: RingForm | null): Availability {
  const params = new Int32Array(PARAMS_WORDS.size);
  const fd = calls.setup(PROBE_ENTRIES, new Uint8Array(params.buffer));
  if (fd < 0) return { ok: false, reason: setupReason(libc, -fd) };
  libc.close(fd);
  if ((params[PARAMS_WORDS.features]! & FEATURE_RW_CUR_POS) === 0) {
    return { ok: false, reason: "the kernel is too old: io_uring needs Linux 5.6 or later" };
  }
  const ok: Availability = { ok: true, how: describeUringCalls(calls) };
  if (form !== "mapped" && canBringMemory(libc, calls)) return ok;
  if (form === "shared") {
    return {
      ok: false,
      reason: "the kernel does not accept memory for a ring: that needs Linux 6.5",
    };
  }
  if (canLookAtMemory()) return ok;
  return {
    ok: false,
    reason:
      "run again with --allow-ffi without a list: before Linux 6.5 a ring lies in the kernel's " +
      "memory, and to look there takes the whole permission",
  };
}

/** Whether the kernel knows the flag: with addresses of nothing it then finds fault with those. */
function canBringMemory(libc: Libc, calls: UringCalls): boolean {
  const params = new Int32Array(PARAMS_WORDS.size);
  params[PARAMS_WORDS.flags] = SETUP_NO_MMAP;
  const fd = calls.setup(PROBE_ENTRIES, new Uint8Array(params.buffer));
  if (fd >= 0) libc.close(fd);
  return fd !== -EINVAL;
}

/** What `io_uring_setup` refuses with, in words. */
export function setupReason(libc: Libc, errno: number): string {
  switch (errno) {
    case ENOSYS:
      return libc.hasSeccompFilter()
        ? filterReason("ENOSYS")
        : "the kernel has no io_uring (ENOSYS): it needs Linux 5.6 or later, built with CONFIG_IO_URING";
    case EPERM:
      return libc.hasSeccompFilter()
        ? filterReason("EPERM")
        : "io_uring is switched off (EPERM): set the sysctl kernel.io_uring_disabled to 0";
    case ENOMEM:
      return "the kernel may lock no more memory for this user (ENOMEM): raise `ulimit -l`";
    case EMFILE:
      return NO_DESCRIPTORS;
    default:
      return `io_uring_setup failed with ${errnoName(errno)}`;
  }
}

function filterReason(error: string): string {
  return `io_uring is refused (${error}) by a seccomp filter, as containers have it: ` +
    "allow io_uring_setup, io_uring_enter and io_uring_register in its profile";
}
