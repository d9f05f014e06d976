/**
 * io_uring.ts: the method that hands IOs to the kernel's io_uring, up to 32 by one system call, and
 * takes their completions from memory that the kernel shares.
 *
 * Each backend has a ring of its own, which every other thread can look after (io_uring/ring.ts,
 * io_uring/memory.ts). io_uring/setup.ts makes it, io_uring/probe.ts says whether the machine can,
 * io_uring/submission.ts and io_uring/completion.ts do the rest.
 *
 * @module
 */

import { assert } from "../core/base/assert.ts";
import type { AioHandle } from "../core/io/handle.ts";
import type { Availability, IoMethod, MethodBackend } from "../core/io/method.ts";
import type { EffectiveOptions } from "../core/base/options.ts";
import {
  closeUringCalls,
  openUringCalls,
  type UringCalls,
  type UringLibrary,
} from "../ffi/uring_calls.ts";
import { UringCompletions } from "./io_uring/completion.ts";
import { forgetFile } from "./io_uring/files.ts";
import { uringBytes } from "./io_uring/memory.ts";
import { setupReason, uringAvailability } from "./io_uring/probe.ts";
import { type RingForm, takeRing } from "./io_uring/setup.ts";
import { UringSubmission } from "./io_uring/submission.ts";
import { DEFAULT_TUNING, type UringTuning } from "./io_uring/tuning.ts";

/** What one backend has in the method. */
interface UringBackend {
  readonly calls: UringCalls;
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
 * @param library that the system calls go through; null: the best that can be had
 */
export function createIoUringMethod(
  form: RingForm | null,
  tuning: UringTuning = DEFAULT_TUNING,
  library: UringLibrary | null = null,
): IoMethod {
  const open = ({ libraries }: EffectiveOptions) => openUringCalls(libraries, library);
  return {
    name: "io_uring",
    module: import.meta.url,
    waitOnFdBeforeClose: true,
    copiesCached: tuning.cachedReadsMin < Infinity,
    available: (options: EffectiveOptions): Availability => uringAvailability(options, form, open),
    shmemSize: uringBytes,
    initBackend: (backend) => initBackend(backend, open(backend.options), form, tuning),
    shutdownBackend,
    submit: (backend, staged, count) => of(backend).submission.submit(staged, count),
    waitOne: (backend, handle: AioHandle) => of(backend).submission.wait(handle),
    checkOne: (backend, handle: AioHandle) => of(backend).submission.check(handle),
    cancelOne: (backend, handle: AioHandle) => of(backend).submission.cancel(handle),
    sleepMsMax: (backend) => of(backend).submission.sleepMsMax,
    pollFd: (backend) => of(backend).submission.ring.fd,
    hasCompletions: (backend) => of(backend).submission.ring.isReady,
    reapBackend: (backend, dead, from) =>
      withCompletions(backend, open, (completions) => completions.endDead(dead, from)),
    forgetFile: (backend, slot) =>
      withCalls(backend, open, (calls) => forgetFile(backend, calls, slot)),
  };
}

function initBackend(
  backend: MethodBackend,
  calls: UringCalls,
  form: RingForm | null,
  tuning: UringTuning,
): void {
  using opened = new DisposableStack();
  opened.adopt(calls, closeUringCalls);
  const result = takeRing(backend, calls, form, tuning.setupFlags);
  if (result < 0) {
    throw new Deno.errors.NotSupported(
      `Cannot make a ring for this thread: ${setupReason(backend.libc, -result)}`,
    );
  }
  const completions = new UringCompletions(backend, calls);
  const submission = new UringSubmission(backend, calls, completions, tuning);
  BACKENDS.set(backend, { calls, submission, completions });
  opened.move();
}

function shutdownBackend(backend: MethodBackend): void {
  const uring = BACKENDS.get(backend);
  // It was never made: the opening failed.
  if (uring === undefined) return;
  uring.submission.finish();
  BACKENDS.delete(backend);
  closeUringCalls(uring.calls);
}

type OpenCalls = (options: EffectiveOptions) => UringCalls;

/** A thread that attaches may have to look after others before it has a ring of its own. */
function withCalls<T>(
  backend: MethodBackend,
  open: OpenCalls,
  use: (calls: UringCalls) => T,
): T {
  const own = BACKENDS.get(backend);
  if (own !== undefined) return use(own.calls);
  const calls = open(backend.options);
  try {
    return use(calls);
  } finally {
    closeUringCalls(calls);
  }
}

function withCompletions<T>(
  backend: MethodBackend,
  open: OpenCalls,
  use: (completions: UringCompletions) => T,
): T {
  const own = BACKENDS.get(backend);
  if (own !== undefined) return use(own.completions);
  return withCalls(backend, open, (calls) => use(new UringCompletions(backend, calls)));
}

/** Hands IOs to the kernel. */
export const ioUringMethod: IoMethod = createIoUringMethod(null);
