/**
 * io_uring.ts: the method that hands IOs to the kernel's io_uring, up to 32 by one system call, and takes
 * their completions from memory that the kernel shares.
 *
 * Each backend has a ring of its own, which every other thread can look after (uring_ring.ts,
 * uring_memory.ts). uring_setup.ts makes it, uring_probe.ts says whether the machine can,
 * uring_submission.ts and uring_completion.ts do the rest.
 *
 * @module
 */

import { assert } from "../core/assert.ts";
import type { AioHandle } from "../core/handle.ts";
import type { Availability, IoMethod, MethodBackend } from "../core/method.ts";
import type { EffectiveOptions } from "../core/options.ts";
import { closeLiburing, type Liburing, openLiburing } from "../ffi/liburing.ts";
import { UringCompletions } from "./uring_completion.ts";
import { forgetFile } from "./uring_files.ts";
import { uringBytes } from "./uring_memory.ts";
import { setupReason, uringAvailability } from "./uring_probe.ts";
import { type RingForm, takeRing } from "./uring_setup.ts";
import { UringSubmission } from "./uring_submission.ts";
import { DEFAULT_TUNING, type UringTuning } from "./uring_tuning.ts";

/** What one backend has in the method. */
interface UringBackend {
  readonly liburing: Liburing;
  readonly submission: UringSubmission;
  readonly completions: UringCompletions;
}

/** By backend of this thread. */
const BACKENDS = new WeakMap<MethodBackend, UringBackend>();

function of(backend: MethodBackend): UringBackend {
  const uring = BACKENDS.get(backend);
  assert(uring !== undefined, "A backend without a ring uses io_uring");
  return uring;
}

/**
 * The method, with rings of one form.
 *
 * @param form null: the one that suits the kernel
 * @param tuning what benchmarks compare
 */
export function createIoUringMethod(
  form: RingForm | null,
  tuning: UringTuning = DEFAULT_TUNING,
): IoMethod {
  return {
    name: "io_uring",
    waitOnFdBeforeClose: true,
    available: (options: EffectiveOptions): Availability => uringAvailability(options, form),
    shmemSize: uringBytes,
    initBackend: (backend) => initBackend(backend, form, tuning),
    shutdownBackend,
    submit: (backend, staged, count) => of(backend).submission.submit(staged, count),
    waitOne: (backend, handle: AioHandle) => of(backend).submission.wait(handle),
    checkOne: (backend, handle: AioHandle) => of(backend).completions.check(handle),
    cancelOne: (backend, handle: AioHandle) => of(backend).submission.cancel(handle),
    pollFd: (backend) => of(backend).submission.ring.fd,
    hasCompletions: (backend) => of(backend).submission.ring.isReady,
    reapBackend,
    forgetFile: (backend, slot) => withLiburing(backend, (one) => forgetFile(backend, one, slot)),
  };
}

function initBackend(
  backend: MethodBackend,
  form: RingForm | null,
  tuning: UringTuning,
): void {
  const liburing = openLiburing(backend.options.libraries.liburing);
  const result = takeRing(backend, liburing, form, tuning.setupFlags);
  if (result < 0) {
    closeLiburing(liburing);
    throw new Deno.errors.NotSupported(
      `Cannot make a ring for this thread: ${setupReason(backend.libc, -result)}`,
    );
  }
  const completions = new UringCompletions(backend, liburing);
  const submission = new UringSubmission(backend, liburing, completions, tuning);
  BACKENDS.set(backend, { liburing, submission, completions });
}

function shutdownBackend(backend: MethodBackend): void {
  const uring = BACKENDS.get(backend);
  // It was never made: the opening failed.
  if (uring === undefined) return;
  uring.submission.finish();
  BACKENDS.delete(backend);
  closeLiburing(uring.liburing);
}

/** A thread that attaches may have to do it before it has a ring of its own. */
function reapBackend(backend: MethodBackend, dead: number): boolean {
  const uring = BACKENDS.get(backend);
  if (uring !== undefined) return uring.completions.endDead(dead);
  return withLiburing(backend, (one) => new UringCompletions(backend, one).endDead(dead));
}

function withLiburing<T>(backend: MethodBackend, use: (liburing: Liburing) => T): T {
  const uring = BACKENDS.get(backend);
  if (uring !== undefined) return use(uring.liburing);
  const liburing = openLiburing(backend.options.libraries.liburing);
  try {
    return use(liburing);
  } finally {
    closeLiburing(liburing);
  }
}

/** Hands IOs to the kernel. */
export const ioUringMethod: IoMethod = createIoUringMethod(null);
