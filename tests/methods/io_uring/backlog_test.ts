/**
 * backlog_test.ts: how awaited IO goes on that the kernel refuses for a while, and how it ends if
 * the kernel refuses it for good.
 */

import { assertEquals } from "@std/assert";
import { LOOK_AGAIN_MS } from "../../../core/base/pauses.ts";
import { backendOf } from "../../../core/inside.ts";
import { EAGAIN, EPERM } from "../../../ffi/errno.ts";
import type { UringCalls } from "../../../ffi/uring_calls.ts";
import { replace } from "../../support/bells/bells.ts";
import { fileContent, type Fixture, type StartedRead, startRead } from "../../support/core.ts";
import { openUring, replaceCalls, testEachForm } from "../../support/rings/uring.ts";

type Enter = UringCalls["enter"];

/** Replaces `io_uring_enter` where it submits. */
function replaceSubmit(make: (real: Enter) => Enter): Disposable {
  return replaceCalls((real) => {
    const submit = make(real.enter);
    return {
      enter: (fd, toSubmit, ...rest) => (toSubmit > 0 ? submit : real.enter)(fd, toSubmit, ...rest),
    };
  });
}

/** Starts reads in one submission. */
function startReads(fixture: Fixture, count: number): StartedRead[] {
  return fixture.aio.batch(() => Array.from({ length: count }, (_, i) => startRead(fixture, i)));
}

async function untilDone({ aio }: Fixture, reads: readonly StartedRead[]): Promise<void> {
  await Promise.all(reads.map(({ ref }) => aio.wait(ref)));
}

function assertRead(reads: readonly StartedRead[]): void {
  for (const { ret, view, offset } of reads) {
    assertEquals([ret.result.status, ret.result.result], ["ok", view.length]);
    assertEquals(new Uint8Array(view), fileContent(offset, view.length));
  }
}

testEachForm("no IO fails for as long as the kernel takes some", async (form) => {
  // Of a kernel that takes nothing for twice as long, awaited IO fails.
  const takesMs = 600;
  let ms = 0;
  using _clock = replace(performance, "now", () => ms += 0.001);
  await using fixture = await openUring(form);
  let isRefusing = false;
  using _slow = replaceSubmit((enter) => (fd, _, ...rest) => {
    isRefusing = !isRefusing;
    if (isRefusing) return -EAGAIN;
    ms += takesMs;
    return enter(fd, 1, ...rest);
  });
  const reads = startReads(fixture, 60);
  await untilDone(fixture, reads);
  assertRead(reads);
});

for (const end of ["waitSync", "cancel"] as const) {
  testEachForm(
    `no IO fails of what the kernel refused before ${end}() ended that`,
    async (form) => {
      let ms = 0;
      using _clock = replace(performance, "now", () => ms += 0.001);
      await using fixture = await openUring(form);
      const { aio } = fixture;
      let refusals = Infinity;
      using _refusing = replaceSubmit((enter) => (...args) =>
        refusals-- > 0 ? -EAGAIN : enter(...args)
      );
      const { ref } = startRead(fixture);
      aio[end](ref);
      assertEquals(aio.ios(), []);
      // Nobody asks the kernel for twice as long as it may refuse IO.
      ms += 2000;
      refusals = 40;
      const reads = startReads(fixture, 1);
      await untilDone(fixture, reads);
      assertRead(reads);
    },
  );
}

testEachForm("the event loop looks every ms while the kernel refuses IO", async (form) => {
  await using fixture = await openUring(form);
  const { libc } = backendOf(fixture.aio);
  const sleptMs: number[] = [];
  using _refusing = replaceSubmit((enter) => (...args) =>
    sleptMs.length < 3 ? -EAGAIN : enter(...args)
  );
  const poll = libc.pollNonblocking.bind(libc);
  using _watch = replace(libc, "pollNonblocking", (pollfds, count, timeoutMs) => {
    sleptMs.push(timeoutMs);
    return poll(pollfds, count, timeoutMs);
  });
  const reads = startReads(fixture, 3);
  await untilDone(fixture, reads);
  assertEquals(sleptMs.slice(0, 3), [LOOK_AGAIN_MS, LOOK_AGAIN_MS, LOOK_AGAIN_MS]);
  assertRead(reads);
});

testEachForm("a hook that hears that IO fails can wait for IO of the same Aio", async (form) => {
  const statuses: string[] = [];
  const onWarning = () => {
    const { aio, file } = fixture;
    for (const { ref, ret } of reads) {
      aio.waitSync(ref);
      statuses.push(ret.result.status);
    }
    // All handles were in use.
    assertEquals(file.readAtSync(new Uint8Array(10), 0), 10);
    statuses.push("read");
  };
  await using fixture: Fixture = await openUring(form, { maxConcurrency: 3, onWarning });
  using _none = replaceSubmit(() => () => -EPERM);
  const reads = startReads(fixture, 3);
  await untilDone(fixture, reads);
  assertEquals(statuses, ["error", "error", "error", "read"]);
});
