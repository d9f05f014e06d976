/**
 * linux_aio.ts: the method that hands direct transfers and flushes to the kernel's native AIO
 * (`io_submit`), up to 32 by one system call, and everything else to the pool of the method worker.
 * For sandboxes that refuse io_uring, as Docker's default profile does: they allow these calls.
 *
 * The kernel executes in the background only what does without the page cache, so the pool keeps
 * buffered IO. linux_aio/submission.ts says who gets what, linux_aio/completions.ts takes it back,
 * linux_aio/context.ts has the kernel's side, linux_aio/probe.ts says whether the machine can.
 *
 * @module
 */

import { assert } from "../core/base/assert.ts";
import type { EffectiveOptions } from "../core/base/options.ts";
import type { IoMethod, MethodBackend } from "../core/io/method.ts";
import {
  closeLinuxAioCalls,
  type LinuxAioCalls,
  openLinuxAioCalls,
} from "../ffi/linux_aio_calls.ts";
import { LinuxAioCompletions } from "./linux_aio/completions.ts";
import { isMarkedInKernel, linuxAioBytes, unmarkInKernel } from "./linux_aio/memory.ts";
import { linuxAioAvailability } from "./linux_aio/probe.ts";
import { LinuxAioSubmission } from "./linux_aio/submission.ts";
import { createWorkerMethod } from "./worker.ts";

/** What one backend has in the method. */
interface LinuxAioBackend {
  readonly calls: LinuxAioCalls;
  readonly submission: LinuxAioSubmission;
  readonly completions: LinuxAioCompletions;
}

/** By backend of this thread. */
const BACKENDS = new WeakMap<MethodBackend, LinuxAioBackend>();

function of(backend: MethodBackend): LinuxAioBackend {
  const own = BACKENDS.get(backend);
  assert(own !== undefined, "A backend that has not joined in uses linux_aio");
  return own;
}

/**
 * The method.
 *
 * @param triesCached as of `createWorkerMethod()`
 * @param takesBuffered whether transfers of the page cache go to the kernel, too, which executes
 *   them in the submit or refuses them; for tests of the method itself
 */
export function createLinuxAioMethod(triesCached = true, takesBuffered = false): IoMethod {
  const pool = createWorkerMethod(
    triesCached,
    (words, base) => !isMarkedInKernel(words, base),
  );
  return {
    ...pool,
    name: "linux_aio",
    module: import.meta.url,
    available(options: EffectiveOptions) {
      const own = linuxAioAvailability(options);
      const rest = pool.available(options);
      return own.ok && !rest.ok ? rest : own;
    },
    shmemSize: linuxAioBytes,
    async initBackend(backend) {
      await pool.initBackend!(backend);
      const calls = openLinuxAioCalls(backend.options.libraries.libc);
      const completions = new LinuxAioCompletions(backend, calls);
      const submission = new LinuxAioSubmission(backend, calls, completions, pool, takesBuffered);
      BACKENDS.set(backend, { calls, submission, completions });
    },
    async shutdownBackend(backend) {
      const own = BACKENDS.get(backend);
      await own?.submission.finish();
      await pool.shutdownBackend!(backend);
      // It was never made: the opening failed.
      if (own === undefined) return;
      BACKENDS.delete(backend);
      closeLinuxAioCalls(own.calls);
    },
    submit: (backend, staged, count) => of(backend).submission.submit(staged, count),
    waitOne: (backend, handle, generation) => of(backend).submission.wait(handle, generation),
    checkOne: (backend, handle) => of(backend).submission.check(handle),
    cancelOne: (backend, handle) => of(backend).submission.cancel(handle),
    pollFd: (backend) => of(backend).submission.pollFd(),
    hasCompletions: (backend) => of(backend).submission.hasCompletions,
    redo(backend, handle, dead) {
      // The completion that the dead thread had may be found once more. It counts no longer.
      unmarkInKernel(handle.words, handle.base);
      pool.redo!(backend, handle, dead);
    },
    reapBackend(backend, dead, from) {
      const isHelper = dead >= backend.options.maxBackends;
      const end = (completions: LinuxAioCompletions) => completions.endDead(dead, from);
      if (!isHelper && !withCompletions(backend, end)) return false;
      return pool.reapBackend!(backend, dead, from);
    },
  };
}

/** A thread that attaches may have to look after others before it has joined in. */
function withCompletions<T>(
  backend: MethodBackend,
  use: (completions: LinuxAioCompletions) => T,
): T {
  const own = BACKENDS.get(backend);
  if (own !== undefined) return use(own.completions);
  const calls = openLinuxAioCalls(backend.options.libraries.libc);
  try {
    return use(new LinuxAioCompletions(backend, calls));
  } finally {
    closeLinuxAioCalls(calls);
  }
}

/** Hands direct transfers and flushes to the kernel's native AIO, and the rest to Workers. */
export const linuxAioMethod: IoMethod = createLinuxAioMethod();
