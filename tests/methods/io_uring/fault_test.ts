/**
 * fault_test.ts: what the kernel may do to a ring, without the program noticing: it interrupts
 * calls, finds the ring busy, takes only a part or nothing at all, has no place for completions,
 * and gives up IO unasked.
 */

import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { AioReturn } from "../../../core/io/result.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { EAGAIN, EBUSY, ECANCELED, EINTR, EPERM } from "../../../ffi/errno.ts";
import type { UringCalls } from "../../../ffi/uring_calls.ts";
import { SLOT } from "../../../methods/io_uring/memory.ts";
import { hooks, reset } from "../../core/fixtures/layers.ts";
import {
  fileContent,
  type Fixture,
  type StartedRead,
  startOn,
  startRead,
  stateOf,
} from "../../support/core.ts";
import {
  cancelIn,
  openUring,
  Pipe,
  PIPE_BYTES,
  PIPE_DATA,
  replaceCalls,
  replaceProperty,
  ringOf,
  slotWord,
  smallRings,
  startRawRead,
  testEachForm,
} from "../../support/rings/uring.ts";
import { shareUringThread } from "../../support/rings/uring_attached.ts";
import { spinUntil } from "../../support/patience.ts";

const startUringWorker = shareUringThread();

/** A ring with so few entries has places for twice as many completions. */
const SMALL_ENTRIES = 8;

type Enter = UringCalls["enter"];

/** Replaces `io_uring_enter`. */
function replaceEnter(make: (real: Enter) => Enter): Disposable {
  return replaceCalls((real) => ({ enter: make(real.enter) }));
}

/** Starts reads in one submission. */
function startReads(fixture: Fixture, count: number): StartedRead[] {
  const { aio } = fixture;
  return aio.batch(() => Array.from({ length: count }, (_, i) => startRead(fixture, i * 700)));
}

function assertRead({ aio }: Fixture, reads: readonly StartedRead[]): void {
  for (const { ref, ret, view, offset } of reads) {
    aio.waitSync(ref);
    assertEquals([ret.result.status, ret.result.result], ["ok", view.length]);
    assertEquals(new Uint8Array(view), fileContent(offset, view.length));
    aio.free(view);
  }
}

for (
  const [name, answer] of [["-EINTR", -EINTR], ["-EAGAIN", -EAGAIN], ["-EBUSY", -EBUSY], ["0", 0]]
    .map(([name, answer]) => [String(name), Number(answer)] as const)
) {
  testEachForm(`a submit that is answered ${name} a few times is tried again`, async (form) => {
    await using fixture = await openUring(form);
    let answers = 5;
    using _ = replaceEnter((enter) => (...args) => answers-- > 0 ? answer : enter(...args));
    assertRead(fixture, startReads(fixture, 10));
    const { counters } = fixture.aio.backends()[0]!;
    assertEquals([counters.retries, counters.synchronousByMethod], [5, 0]);
  });
}

testEachForm("what a submit leaves of a batch follows", async (form) => {
  await using fixture = await openUring(form);
  const offered: number[] = [];
  using _ = replaceEnter((enter) => (fd, toSubmit, ...rest) => {
    offered.push(toSubmit);
    // It is interrupted now and then, too.
    return offered.length % 4 === 0 ? -EINTR : enter(fd, Math.min(toSubmit, 5), ...rest);
  });
  assertRead(fixture, startReads(fixture, 32));
  assertEquals(offered, [32, 27, 22, 17, 17, 12, 7, 2, 2]);
  const { counters } = fixture.aio.backends()[0]!;
  assertEquals([counters.retries, counters.synchronousByMethod], [2, 0]);
});

/** Starts reads whose callbacks write down when they were done. */
function startOrdered(fixture: Fixture, count: number, order: number[]): StartedRead[] {
  const { aio } = fixture;
  reset();
  hooks.completeShared = (_handle, prior, data) => {
    order.push(data);
    return prior;
  };
  return aio.batch(() =>
    Array.from({ length: count }, (_, i) => {
      const ret = new AioReturn();
      const handle = aio.acquire(null, ret);
      handle.registerCallbacks(aio.callbackId("free"), i);
      const ref = handle.waitRef();
      return { ref, ret, offset: i, view: startOn(fixture, handle, i) };
    })
  );
}

/** Asserts that the next submit reaches the kernel, with nothing of the one before. */
function assertRingWorks(fixture: Fixture): void {
  const offered: number[] = [];
  using _ = replaceEnter((enter) => (fd, toSubmit, ...rest) => {
    offered.push(toSubmit);
    return enter(fd, toSubmit, ...rest);
  });
  assertRead(fixture, startReads(fixture, 32));
  assertEquals(offered, [32]);
}

for (const [name, errno] of [["-EPERM", EPERM], ["-EAGAIN without end", EAGAIN]] as const) {
  testEachForm(
    `what the kernel refuses with ${name} is executed by a blocking wait`,
    async (form) => {
      await using fixture = await openUring(form);
      const { aio } = fixture;
      const order: number[] = [];
      {
        using _ = replaceEnter(() => () => -errno);
        const reads = startOrdered(fixture, 20, order);
        // The submit may come from the event loop.
        assertEquals(order, []);
        assertRead(fixture, reads);
        assertEquals(order, Array.from({ length: 20 }, (_, i) => i));
      }
      assertEquals(aio.backends()[0]!.counters.synchronousByMethod, 20);
      assertRingWorks(fixture);
      assertEquals(aio.backends()[0]!.counters.synchronousByMethod, 20);
      reset();
    },
  );

  testEachForm(`what the kernel refuses with ${name} fails where it is awaited`, async (form) => {
    const warnings: string[] = [];
    await using fixture = await openUring(form, { onWarning: (text) => warnings.push(text) });
    const { aio } = fixture;
    {
      using _ = replaceEnter(() => () => -errno);
      const reads = startReads(fixture, 20);
      await Promise.all(reads.map(({ ref }) => aio.wait(ref)));
      for (const { ret } of reads) {
        assertEquals([ret.result.status, ret.result.errorData], ["error", errno]);
      }
    }
    assertEquals(warnings.length, 1);
    assertStringIncludes(warnings[0]!, "Cannot submit to io_uring, so 20 IOs fail: E");
    assertRingWorks(fixture);
    assertEquals(aio.backends()[0]!.counters.synchronousByMethod, 0);
  });
}

testEachForm("what the kernel refuses for a while is submitted later", async (form) => {
  await using fixture = await openUring(form);
  const { aio } = fixture;
  let isRefusing = true;
  using _ = replaceEnter((enter) => (...args) => isRefusing ? -EAGAIN : enter(...args));
  const reads = startReads(fixture, 20);
  const all = Promise.all(reads.map(({ ref }) => aio.wait(ref)));
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(aio.ios().length, 20);
  isRefusing = false;
  await all;
  assertRead(fixture, reads);
  assertEquals(aio.backends()[0]!.counters.synchronousByMethod, 0);
});

testEachForm("what finds no room in the ring does not stop the event loop", async (form) => {
  using _small = smallRings(SMALL_ENTRIES);
  await using fixture = await openUring(form, { maxConcurrency: 64 });
  const { aio } = fixture;
  using pipe = await Pipe.open();
  const reads = Array.from({ length: 40 }, () => startRawRead(fixture, pipe.fd));
  const { inKernel, cqEntries } = ringOf(fixture);
  assertEquals(inKernel, cqEntries);
  // One of these is in the ring already, and two are not.
  aio.cancel(reads[39]!.ref);
  assertEquals(reads[39]!.ret.result.result, -ECANCELED);
  await new Promise((resolve) => setTimeout(resolve, 1));
  pipe.write(39);
  await Promise.all(reads.map(({ ref }) => aio.wait(ref)));
  for (const { ret } of reads.slice(0, 39)) assertEquals(ret.result.result, PIPE_BYTES);
  assertEquals(aio.backends()[0]!.counters.synchronousByMethod, 0);
});

testEachForm(
  "another thread gets IO that found no room, though its issuer awaits none",
  async (form) => {
    using _small = smallRings(SMALL_ENTRIES);
    await using fixture = await openUring(form, { maxConcurrency: 64 });
    await using worker = await startUringWorker(fixture, form);
    using pipe = await Pipe.open();
    const reads = Array.from({ length: 20 }, () => startRawRead(fixture, pipe.fd));
    const awaited = worker.ask({ what: "waitSync", ref: reads[19]!.ref });
    pipe.write(20);
    await awaited;
  },
);

testEachForm(
  "of a submit that fails half-way only the rest is executed by blocking waits",
  async (form) => {
    await using fixture = await openUring(form);
    const { aio } = fixture;
    const order: number[] = [];
    {
      let calls = 0;
      using _ = replaceEnter((enter) => (fd, _, ...rest) =>
        calls++ === 0 ? enter(fd, 3, ...rest) : -EPERM
      );
      assertRead(fixture, startOrdered(fixture, 10, order));
    }
    assertEquals(order.toSorted((a, b) => a - b), Array.from({ length: 10 }, (_, i) => i));
    assertEquals(order.filter((i) => i >= 3), [3, 4, 5, 6, 7, 8, 9]);
    assertEquals(aio.backends()[0]!.counters.synchronousByMethod, 7);
    assertRingWorks(fixture);
    assertEquals(aio.backends()[0]!.counters.synchronousByMethod, 7);
    reset();
  },
);

for (const maxConcurrency of [SMALL_ENTRIES, 1024]) {
  testEachForm(
    `${maxConcurrency} handles never overfill a ring of ${SMALL_ENTRIES} entries`,
    async (form) => {
      using _small = smallRings(SMALL_ENTRIES);
      await using fixture = await openUring(form, { maxConcurrency });
      assertEquals(slotWord(fixture, 0, SLOT.sqEntries), SMALL_ENTRIES);
      const ring = ringOf(fixture);
      let most = 0;
      let overflows = 0;
      using _ = replaceEnter((enter) => (...args) => {
        const result = enter(...args);
        most = Math.max(most, ring.inKernel + ring.ready);
        if (ring.hasOverflow) overflows++;
        return result;
      });
      const buffers = Array.from({ length: 10_000 }, () => new Uint8Array(64));
      await Promise.all(buffers.map((buffer, i) => fixture.file.readAt(buffer, i)));
      buffers.forEach((buffer, i) => assertEquals(buffer, fileContent(i, 64)));
      assertEquals(overflows, 0);
      assert(most >= SMALL_ENTRIES && most <= ring.cqEntries, `${most} of ${ring.cqEntries}`);
      assertEquals(fixture.aio.backends()[0]!.counters.synchronousByMethod, 0);
    },
  );
}

testEachForm("a drain takes no more than was there when it began", async (form) => {
  await using fixture = await openUring(form);
  const { aio } = fixture;
  using first = await Pipe.open();
  using second = await Pipe.open();
  const reads = [first, second].map(({ fd }) => startRawRead(fixture, fd, "free"));
  const ring = ringOf(fixture);
  reset();
  hooks.completeShared = (_handle, prior) => {
    // The second one is done while the first is being completed.
    if (ring.inKernel > 0) second.write();
    spinUntil(() => ring.inKernel === 0);
    return prior;
  };
  first.write();
  spinUntil(() => ring.ready > 0);
  assertEquals(aio.checkDone(reads[0]!.ref), true);
  assertEquals([stateOf(fixture, reads[1]!.ref), ring.ready], ["submitted", 1]);
  assertEquals(aio.checkDone(reads[1]!.ref), true);
  for (const { view } of reads) assertEquals(new Uint8Array(view), PIPE_DATA);
  reset();
});

testEachForm("completions that find no place in the ring are not lost", async (form) => {
  using _small = smallRings(SMALL_ENTRIES);
  await using fixture = await openUring(form);
  using pipe = await Pipe.open();
  const ring = ringOf(fixture);
  const count = 40;
  // As if the ring had places without end.
  using _ = replaceProperty("room", function () {
    return this.sqEntries - this.filled;
  });
  const reads = Array.from({ length: count }, () => startRawRead(fixture, pipe.fd));
  assertGreater(ring.inKernel, ring.cqEntries);
  pipe.write(count);
  spinUntil(() => ring.ready >= ring.cqEntries && ring.hasOverflow);
  await Promise.all(reads.map(({ ref }) => fixture.aio.wait(ref)));
  for (const { ret, view } of reads) {
    assertEquals(ret.result.result, PIPE_BYTES);
    assertEquals(new Uint8Array(view), PIPE_DATA);
  }
  assertEquals([ring.hasOverflow, ring.inKernel, ring.ready], [false, 0, 0]);
});

/** Points an IO at a file: doing it again means to read at a position, which a pipe cannot. */
function pointAtFile({ aio }: Fixture, ref: WaitRef, fd: number): void {
  const { control } = backendOf(aio);
  control.words[control.handleAt(ref.index) + HANDLE.fd] = fd;
}

testEachForm(
  "IO that the kernel gives up unasked is submitted again by its issuer",
  async (form) => {
    await using fixture = await openUring(form);
    const { aio, file } = fixture;
    using pipe = await Pipe.open();
    const { ref, ret, view } = startRawRead(fixture, pipe.fd);
    pointAtFile(fixture, ref, file.fd);
    assertEquals(cancelIn(fixture, 0, ref), 0);
    await aio.wait(ref);
    assertEquals([ret.result.status, ret.result.result], ["ok", PIPE_BYTES]);
    assertEquals(new Uint8Array(view), fileContent(0, PIPE_BYTES));
    const { counters } = aio.backends()[0]!;
    assertEquals([counters.completedBySelf, counters.completedByOthers], [1, 0]);
  },
);

testEachForm(
  "IO that the kernel gives up unasked is executed by whoever waits for it",
  async (form) => {
    await using fixture = await openUring(form);
    const { aio, file } = fixture;
    await using worker = await startUringWorker(fixture, form);
    using pipe = await Pipe.open();
    const view = aio.alloc(PIPE_BYTES);
    const ref = await worker.read(pipe.fd, view);
    pointAtFile(fixture, ref, file.fd);
    assertEquals(cancelIn(fixture, worker.id, ref), 0);
    aio.waitSync(ref);
    assertEquals(new Uint8Array(view), fileContent(0, PIPE_BYTES));
    assertEquals(await worker.ask({ what: "result", ref }), PIPE_BYTES);
    const [own, other] = aio.backends();
    assertEquals([own!.counters.completedForOthers, other!.counters.completedByOthers], [1, 1]);
  },
);
