/**
 * uring_probe.ts: whether this machine has io_uring, and if not, why, and what would help.
 *
 * It is asked by doing: a small ring is made, known bytes are read through it, and it is closed again.
 * So the offsets that this module goes by are proved too, whatever the kernel is.
 *
 * @module
 */

import type { Availability } from "../core/method.ts";
import type { EffectiveOptions } from "../core/options.ts";
import { EINVAL, EMFILE, ENOMEM, ENOSYS, EPERM, errnoName, errnoText } from "../ffi/errno.ts";
import { closeLibc, type Libc, openLibc } from "../ffi/libc.ts";
import { closeLiburing, type Liburing, openLiburing } from "../ffi/liburing.ts";
import { FEATURE_RW_CUR_POS, PARAMS_WORDS, SETUP_NO_MMAP } from "../ffi/uring_layout.ts";
import type { RingForm } from "./uring_setup.ts";

const PROBE_ENTRIES = 2;
const NO_DESCRIPTORS = "this process has no descriptors left (EMFILE): raise `ulimit -n`";

/** Asks the machine. */
export function uringAvailability(
  options: EffectiveOptions,
  form: RingForm | null,
): Availability {
  if (Deno.build.os !== "linux") {
    return { ok: false, reason: `io_uring is Linux only, and this is ${Deno.build.os}` };
  }
  let libc: Libc;
  let liburing: Liburing;
  try {
    libc = openLibc(options.libraries.libc);
  } catch (error) {
    return { ok: false, reason: messageOf(error) };
  }
  try {
    liburing = openLiburing(options.libraries.liburing);
  } catch (error) {
    closeLibc(libc);
    return { ok: false, reason: liburingReason(error) };
  }
  try {
    return probe(libc, liburing, form);
  } finally {
    closeLiburing(liburing);
    closeLibc(libc);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function liburingReason(error: unknown): string {
  const message = messageOf(error);
  if (error instanceof Deno.errors.NotCapable) return message;
  if (message.includes(errnoText(EMFILE))) return NO_DESCRIPTORS;
  if (message.includes("symbol")) {
    return `${message}: liburing is too old, install version 2.3 or later`;
  }
  return `${message}: install liburing 2.3 or later (Debian: apt-get install liburing2)`;
}

function probe(libc: Libc, liburing: Liburing, form: RingForm | null): Availability {
  const params = new Int32Array(PARAMS_WORDS.size);
  const fd = liburing.setup(PROBE_ENTRIES, new Uint8Array(params.buffer));
  if (fd < 0) return { ok: false, reason: setupReason(libc, -fd) };
  libc.close(fd);
  if ((params[PARAMS_WORDS.features]! & FEATURE_RW_CUR_POS) === 0) {
    return { ok: false, reason: "the kernel is too old: io_uring needs Linux 5.6 or later" };
  }
  if (form !== "mapped" && canBringMemory(libc, liburing)) return { ok: true };
  if (form === "shared") {
    return {
      ok: false,
      reason: "the kernel does not take memory for a ring: that needs Linux 6.5",
    };
  }
  if (Deno.permissions.querySync({ name: "ffi" }).state === "granted") return { ok: true };
  return {
    ok: false,
    reason: "a kernel before Linux 6.5 maps its rings by itself, and to look at them Deno needs " +
      "--allow-ffi without a list: run again with it",
  };
}

/** Whether the kernel knows the flag: with addresses of nothing it then finds fault with those. */
function canBringMemory(libc: Libc, liburing: Liburing): boolean {
  const params = new Int32Array(PARAMS_WORDS.size);
  params[PARAMS_WORDS.flags] = SETUP_NO_MMAP;
  const fd = liburing.setup(PROBE_ENTRIES, new Uint8Array(params.buffer));
  if (fd >= 0) libc.close(fd);
  return fd !== -EINVAL;
}

/** What `io_uring_setup` refuses with, in words. */
export function setupReason(libc: Libc, errno: number): string {
  switch (errno) {
    case ENOSYS:
      return libc.hasSeccompFilter()
        ? "io_uring is refused (ENOSYS) by a seccomp filter, as containers have it: allow io_uring_setup, " +
          "io_uring_enter and io_uring_register in its profile"
        : "the kernel has no io_uring (ENOSYS): it needs Linux 5.6 or later, built with CONFIG_IO_URING";
    case EPERM:
      return libc.hasSeccompFilter()
        ? "io_uring is refused (EPERM) by a seccomp filter, as containers have it: allow io_uring_setup, " +
          "io_uring_enter and io_uring_register in its profile"
        : "io_uring is switched off (EPERM): set the sysctl kernel.io_uring_disabled to 0";
    case ENOMEM:
      return "the kernel may lock no more memory for this user (ENOMEM): raise `ulimit -l`";
    case EMFILE:
      return NO_DESCRIPTORS;
    default:
      return `io_uring_setup failed with ${errnoName(errno)}`;
  }
}
