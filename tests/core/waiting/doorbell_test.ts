/**
 * doorbell_test.ts: what a bell costs, when it comes too late, and what happens where none can be
 * made. That a bell wakes a sleeper is in wake_up_test.ts.
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { EAGAIN } from "../../../ffi/errno.ts";
import { POLLFD_WORDS } from "../../../ffi/layout.ts";
import type { Backend } from "../../../core/backend/backend.ts";
import { BACKEND } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { Doorbells } from "../../../core/waiting/doorbell.ts";
import {
  BellWorker,
  comes,
  replace,
  shareStages,
  type Stage,
  whenTold,
} from "../../support/bells/bells.ts";
import { openHeld, startRead } from "../../support/core.ts";

const openStage = shareStages(2);

const EMFILE = 24;
/** core/waiting/doorbell.ts: the word of a backend that was rung while it slept. */
const RUNG = 2;

function parkedAt(backend: Backend, id = backend.id): number {
  return backend.control.backendAt(id) + BACKEND.parked;
}

function doorbellOf(backend: Backend, id = backend.id): number {
  const { words } = backend.control;
  return Atomics.load(words, backend.control.backendAt(id) + BACKEND.doorbell);
}

/** Takes what a doorbell still holds; -EAGAIN: nothing. */
function takeBack({ libc }: Backend, fd: number): number {
  return libc.read(fd, new Uint8Array(8));
}

// --- which threads are rung ---

Deno.test("held: a completion rings its owner and all who wait for it", async () => {
  await using stage = await openStage({ workers: 2 });
  const { aio, watch, workers: [owner, other] } = stage;
  const ref = await owner!.ask<WaitRef>({ what: "read" });
  const awaited = [aio.wait(ref), owner!.ask({ what: "await", ref })];
  await watch.untilParked();
  await owner!.ask({ what: "untilParked" });
  assertEquals(await other!.perform(ref), 2);
  assertEquals(await comes(Promise.all(awaited), true), true);
});

Deno.test("held: ringAll() rings every backend of the mask but its own", async () => {
  await using fixture = await openHeld({ maxBackends: 32, maxConcurrency: 1 });
  const { doorbells } = backendOf(fixture.aio);
  const rung: number[] = [];
  using _record = replace(doorbells, "ring", (id) => rung.push(id));
  const ringsOf = (mask: number) => {
    doorbells.ringAll(mask);
    return rung.splice(0);
  };
  assertEquals(ringsOf(-1), Array.from({ length: 31 }, (_, i) => i + 1));
  assertEquals(ringsOf(1 << 31), [31]);
  assertEquals(ringsOf(0b1010_0011), [1, 5, 7]);
  assertEquals(ringsOf(1), []);
});

for (const maxBackends of [2, 16]) {
  Deno.test(`held: attach() with ${maxBackends} backends leaves IO in flight alone`, async () => {
    await using fixture = await openHeld({ maxBackends });
    const { aio, file } = fixture;
    const refs = Array.from({ length: 4 }, () => startRead(fixture).ref);
    await using _worker = await BellWorker.start(aio, file);
    assertEquals(refs.map((ref) => aio.checkDone(ref)), [false, false, false, false]);
  });
}

Deno.test("held: whoever is rung finds the completion published", async () => {
  await using stage = await openStage({ workers: 1 });
  const { aio, fixture, held, workers: [worker] } = stage;
  const { control, doorbells } = backendOf(aio);
  const foreign = await worker!.ask<WaitRef>({ what: "read" });
  const own = startRead(fixture).ref;
  const waited = worker!.ask({ what: "await", ref: own });
  await worker!.ask({ what: "untilParked" });
  const counterAt = control.backendAt(worker!.id) + BACKEND.foreignCompletions;
  const before = control.words[counterAt]!;
  const seen: string[] = [];
  {
    using _look = replace(doorbells, "ring", (id) => {
      const states = [own, foreign].map(({ index }) => backendOf(aio).handleOf(index).state);
      seen.push(`rings ${id}: ${states}, counter + ${control.words[counterAt]! - before}`);
    });
    held.perform(aio, own);
    held.perform(aio, foreign);
  }
  doorbells.ring(worker!.id);
  await waited;
  assertEquals(seen, [
    `rings ${worker!.id}: idle,submitted, counter + 0`,
    `rings ${worker!.id}: idle,completedShared, counter + 1`,
  ]);
});

// --- what a bell costs ---

Deno.test("held: a bell for a backend that does not sleep costs no system call", async () => {
  await using stage = await openStage({ workers: 1 });
  const { aio, fixture, workers } = stage;
  const { ref } = startRead(fixture);
  assertEquals(await workers[0]!.perform(ref), 0);
  assertEquals(aio.checkDone(ref), true);
});

Deno.test("held: a second bell for a backend that is about to wake costs no system call", async () => {
  await using stage = await openStage({ workers: 1 });
  const { aio, fixture, watch, workers } = stage;
  const refs = [startRead(fixture).ref, startRead(fixture, 512).ref];
  const awaited = refs.map((ref) => aio.wait(ref));
  const poll = await watch.untilParked();
  const told = refs.map((ref) => whenTold<number>(workers[0]!, { what: "perform", ref }));
  // This thread stands still until both are done, so it cannot wake up between them.
  for (const { signal } of told) signal.tellAndWait();
  assertEquals(backendOf(aio).control.words[parkedAt(backendOf(aio))], RUNG);
  assertEquals(await Promise.all(told.map(({ answer }) => answer)), [1, 0]);
  assertEquals(await comes(Promise.all(awaited), true), true);
  assertEquals([poll.result, watch.polls.length], [1, 1]);
});

// --- a bell that comes too late ---

Deno.test("held: a bell that comes when the sleep is over does not end the next one", async () => {
  await using stage = await openStage({ workers: 1, isLong: () => false });
  const { aio, fixture, watch, workers } = stage;
  const { libc } = backendOf(aio);
  const { signal, answer } = whenTold<number>(workers[0]!, { what: "ring", id: aio.backendId });
  const poll = libc.pollNonblocking.bind(libc);
  let isFirst = true;
  using _late = replace(libc, "pollNonblocking", (pollfds, count, timeoutMs) => {
    if (!isFirst) return poll(pollfds, count, timeoutMs);
    isFirst = false;
    signal.tellAndWait();
    return Promise.resolve(0);
  });
  const awaited = aio.wait(startRead(fixture).ref);
  const next = await watch.untilParked();
  assertEquals([await answer, await next.ended], [1, 0]);
  stage.held.performAll(aio);
  await awaited;
});

/** As if another thread had rung, but had not written yet. */
function ringWithoutWrite(backend: Backend, id = backend.id): void {
  backend.control.words[parkedAt(backend, id)] = RUNG;
}

const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

Deno.test("held: whoever wakes up does not wait for the ringer's write, but takes it back later", async () => {
  await using fixture = await openHeld();
  const backend = backendOf(fixture.aio);
  const { doorbells, libc } = backend;
  const fd = doorbells.tryOpen();
  let reads = 0;
  const read = libc.read.bind(libc);
  using _count = replace(libc, "read", (from, into) => {
    reads++;
    return read(from, into);
  });
  const sleep = (meanwhile: () => void) => {
    reads = 0;
    doorbells.park();
    meanwhile();
    doorbells.unpark();
    return reads;
  };
  assertEquals(sleep(() => {}), 0);
  assertEquals(sleep(() => ringWithoutWrite(backend)), 1);
  assertEquals(sleep(() => {}), 1); // One write is still owed.
  assertEquals(sleep(() => libc.write(fd, ONE)), 1);
  assertEquals(sleep(() => {}), 0);
  assertEquals(takeBack(backend, fd), -EAGAIN);
});

Deno.test("held: a write to a doorbell that nobody owes ends one sleep, not each that follows", async () => {
  await using stage = await openStage();
  const { aio, fixture, watch } = stage;
  const backend = backendOf(aio);
  const awaited = aio.wait(startRead(fixture).ref);
  const first = await watch.untilParked();
  backend.libc.write(doorbellOf(backend), ONE);
  await first.ended;
  const next = await watch.untilParked();
  assertEquals(takeBack(backend, doorbellOf(backend)), -EAGAIN);
  assertEquals(await comes(next.ended, false), false);
  stage.held.performAll(aio);
  await awaited;
});

/** The descriptors that a function closes. */
function closedBy({ libc }: Backend, close: () => void): number[] {
  const closed: number[] = [];
  using _record = replace(libc, "close", (fd) => closed.push(fd));
  close();
  return closed;
}

/** What becomes of a late write, and whether the descriptor may be closed. */
const LATE_WRITES = [
  { when: "has come", isClosed: true },
  { when: "comes while it is waited for", isClosed: true },
  { when: "never comes", isClosed: false },
] as const;

/**
 * Lets the write come at that time; one that is waited for comes at the closer's 15th look. The
 * ringer reads the descriptor just before, and writes nothing if there is none.
 */
function writeLate(backend: Backend, id: number, when: string): Disposable | null {
  const { libc } = backend;
  const write = () => {
    const fd = doorbellOf(backend, id);
    if (fd > 0) libc.write(fd, ONE);
  };
  if (when === "has come") write();
  if (when !== "comes while it is waited for") return null;
  const read = libc.read.bind(libc);
  let reads = 0;
  return replace(libc, "read", (from, into) => {
    if (++reads === 15) write();
    return read(from, into);
  });
}

for (const { when, isClosed } of LATE_WRITES) {
  const what = isClosed ? "is closed" : "stays open";
  Deno.test(`held: a doorbell ${what} where the ringer's write ${when}`, async () => {
    await using fixture = await openHeld();
    const backend = backendOf(fixture.aio);
    const { doorbells, libc } = backend;
    const fd = doorbells.tryOpen();
    doorbells.park();
    ringWithoutWrite(backend);
    doorbells.unpark();
    {
      using _write = writeLate(backend, backend.id, when);
      assertEquals(closedBy(backend, () => doorbells.close()), isClosed ? [fd] : []);
    }
    assertEquals([doorbellOf(backend), takeBack(backend, fd)], [0, -EAGAIN]);
    libc.close(fd);
  });

  Deno.test(`held: the doorbell of a dead thread ${what} where the ringer's write ${when}`, async () => {
    await using stage = await openStage({ workers: 1, mortals: 1 });
    const { aio, fixture, workers: [worker] } = stage;
    const backend = backendOf(aio);
    void worker!.ask({ what: "await", ref: startRead(fixture).ref });
    await worker!.ask({ what: "untilParked" });
    const fd = doorbellOf(backend, worker!.id);
    await worker!.kill();
    ringWithoutWrite(backend, worker!.id);
    {
      using _write = writeLate(backend, worker!.id, when);
      // A thread that died while it looked for what its event loop rests in leaves a file for that,
      // which is closed too.
      const closed = closedBy(backend, () => aio.reapBackend(worker!.id));
      assertEquals(closed.filter((one) => one === fd), isClosed ? [fd] : []);
    }
    assertEquals(doorbellOf(backend, worker!.id), 0);
    backend.libc.close(fd);
  });
}

// --- no doorbell ---

Deno.test("held: a doorbell is made for the first sleep, and only then", async () => {
  await using stage = await openStage();
  const { aio, fixture, watch } = stage;
  aio.waitSync(startRead(fixture).ref);
  assertEquals(doorbellOf(backendOf(aio)), 0);
  for (let round = 0; round < 2; round++) {
    const awaited = aio.wait(startRead(fixture).ref);
    await watch.untilParked();
    stage.held.performAll(aio);
    await awaited;
  }
  assertEquals(doorbellOf(backendOf(aio)) > 0, true);
});

/** Lets no doorbell be made until the end of the scope; `tried` resolves when two were refused. */
function withoutDoorbell({ aio }: Stage): Disposable & { readonly tried: Promise<void> } {
  const { promise: tried, resolve } = Promise.withResolvers<void>();
  let calls = 0;
  const replaced = replace(backendOf(aio).libc, "eventfd", () => {
    if (++calls === 2) resolve();
    return -EMFILE;
  });
  return { tried, [Symbol.dispose]: () => replaced[Symbol.dispose]() };
}

for (const whose of ["an own", "another thread's"]) {
  Deno.test(`held: with no descriptor left ${whose} IO is awaited all the same`, async () => {
    await using stage = await openStage({ workers: 1 });
    const { aio, fixture, watch, workers } = stage;
    const start = async () =>
      whose === "an own"
        ? startRead(fixture).ref
        : await workers[0]!.ask<WaitRef>({ what: "read" });
    {
      using none = withoutDoorbell(stage);
      const ref = await start();
      const awaited = aio.wait(ref);
      assertEquals(await comes(none.tried, true), true);
      assertEquals(await workers[0]!.perform(ref), 0);
      assertEquals(await comes(awaited, true), true);
      assertEquals([watch.polls.length, doorbellOf(backendOf(aio))], [0, 0]);
    }
    // From now on there are descriptors again.
    const ref = await start();
    const awaited = aio.wait(ref);
    await watch.untilParked();
    assertEquals(await workers[0]!.perform(ref), 1);
    assertEquals(await comes(awaited, true), true);
  });
}

Deno.test("held: nobody rings a thread that dozes with no descriptor left for a doorbell", async () => {
  await using stage = await openStage();
  const backend = backendOf(stage.aio);
  const { control, doorbells, libc } = backend;
  const other = new Doorbells(control, libc, 1);
  {
    using _none = withoutDoorbell(stage);
    const pollfds = new Int32Array(2 * POLLFD_WORDS.size);
    assertEquals(backend.pump.lieDown(pollfds, 0), true);
    other.ring(backend.id);
    backend.pump.getUp();
  }
  // No write is owed, neither to this sleep nor to the one that has a doorbell.
  const fd = doorbells.tryOpen();
  doorbells.park();
  assertEquals(doorbells.unpark(), "nobody");
  assertEquals(control.words[control.backendAt(backend.id) + BACKEND.bellsOwed], 0);
  assertEquals(closedBy(backend, () => doorbells.close()), [fd]);
  libc.close(fd);
});

Deno.test("held: close() works with no descriptor left for a doorbell", async () => {
  await using stage = await openStage();
  const { aio, fixture, held } = stage;
  using none = withoutDoorbell(stage);
  const awaited = aio.wait(startRead(fixture).ref);
  assertEquals(await comes(none.tried, true), true);
  held.performAll(aio);
  await awaited;
  assertEquals(await comes(aio.close(), true), true);
});
