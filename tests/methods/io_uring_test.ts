/**
 * io_uring_test.ts: what only io_uring has: rings in two forms and many sizes, that other threads
 * look after, and that outlive their threads.
 */

import { assert, assertEquals } from "@std/assert";
import { closeSync, constants, openSync as openFd, writeSync } from "node:fs";
import { backendOf } from "../../core/inside.ts";
import { AioReturn } from "../../core/io/result.ts";
import { BACKEND } from "../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../core/io/wait_ref.ts";
import { availableMethods } from "../../methods/registry.ts";
import { FADVISE_ADVICE, FALLOCATE_MODES } from "../../ffi/layout.ts";
import { fromWords } from "../../ffi/memory.ts";
import { SQE_WORDS, URING_OP } from "../../ffi/uring_layout.ts";
import { SLOT, slotAt } from "../../methods/io_uring/memory.ts";
import { Ring } from "../../methods/io_uring/ring.ts";
import { AttachedWorker } from "../support/threads/attached.ts";
import { openDescriptors } from "../support/belongings.ts";
import { FILE_BYTES, fileContent, type Fixture, openSync, startRead } from "../support/core.ts";
import { until } from "../support/patience.ts";
import { tempDir } from "../support/temp.ts";

const ignore = availableMethods().find(({ name }) => name === "io_uring")?.ok !== true;
const LAYERS = new URL("../core/fixtures/layers.ts", import.meta.url);
const OPTIONS = { method: "io_uring", maxBackends: 4, callbackModules: [LAYERS] };

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: `io_uring: ${name}`, ignore, fn });
}

function slotWord({ aio }: Fixture, id: number, word: number): number {
  const { control } = backendOf(aio);
  return control.words[slotAt(control, id) + word]!;
}

/** A pipe that nobody has written to; a read of it ends when `write` is called. */
async function withPipe(use: (fd: number, write: () => void) => Promise<void>): Promise<void> {
  await using dir = await tempDir();
  const path = dir.join("pipe");
  await new Deno.Command("mkfifo", { args: [path] }).output();
  const fd = openFd(path, constants.O_RDWR);
  try {
    await use(fd, () => writeSync(fd, new Uint8Array(100).fill(7)));
  } finally {
    closeSync(fd);
  }
}

function startReadFd({ aio }: Fixture, fd: number): { ref: WaitRef; ret: AioReturn } {
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.setIovec(aio.alloc(100));
  handle.setTarget(aio.targetId("page"));
  handle.startReadv(fd, 0);
  return { ref, ret };
}

for (const maxConcurrency of [1, 2, 8, 64, 100, 1024]) {
  test(`a ring for ${maxConcurrency} handles takes reads in any number`, async () => {
    await using fixture = await openSync({ ...OPTIONS, maxConcurrency });
    assert(slotWord(fixture, 0, SLOT.sqEntries) >= Math.min(maxConcurrency, 64));
    const { file } = fixture;
    const buffers = Array.from({ length: 300 }, () => new Uint8Array(100));
    await Promise.all(buffers.map((buffer, i) => file.readAt(buffer, i)));
    buffers.forEach((buffer, i) => assertEquals(buffer, fileContent(i, 100)));
  });
}

test("a batch of 40 is two submissions, and all of it is read", async () => {
  await using fixture = await openSync(OPTIONS);
  const { aio } = fixture;
  const started = aio.batch(() => Array.from({ length: 40 }, (_, i) => startRead(fixture, i)));
  for (const { ref, view, offset, ret } of started) {
    aio.waitSync(ref);
    assertEquals(ret.result.status, "ok");
    assertEquals(view, fileContent(offset, view.length));
  }
  assertEquals(aio.backends()[0]!.counters.submissions, 2);
});

test("a failed read has the system's error", async () => {
  await using fixture = await openSync(OPTIONS);
  const closed = 1_000_000;
  const { ref, ret } = startReadFd(fixture, closed);
  fixture.aio.waitSync(ref);
  assertEquals(ret.result.result, -9);
});

test("reads outside the registered part of the arena work as those inside", async () => {
  await using fixture = await openSync({ ...OPTIONS, registeredBytes: 8192 });
  const { aio, file } = fixture;
  assert([0, 8192].includes(slotWord(fixture, 0, SLOT.fixedBytes)));
  // The second begins inside and ends outside.
  const whole = aio.alloc(4 * 4096);
  for (const [from, to] of [[0, 4096], [4096, 12_288], [8192, 16_384]] as const) {
    const view = whole.subarray(from, to);
    assertEquals(await file.readAt(view, 11), view.length);
    assertEquals(view, fileContent(11, view.length));
  }
});

test("flushRange() is executed by the kernel, and refuses what is no range", async () => {
  await using fixture = await openSync(OPTIONS);
  const { file, aio } = fixture;
  await file.writeAt(new Uint8Array(1000), 0);
  await file.flushRange(0, FILE_BYTES);
  await file.flushRange(4096, 0);
  file.flushRangeSync(0, 4096);
  let refused = 0;
  for (const length of [-1, 0.5, 2 ** 53, NaN]) {
    await file.flushRange(0, length).catch((error) => {
      assert(error instanceof RangeError);
      refused++;
    });
  }
  assertEquals([refused, backendOf(aio).hasHandedOut], [4, false]);
});

test("flushRange() of what 32 bits do not hold goes to the end of the file", async () => {
  await using fixture = await openSync(OPTIONS);
  const { file, aio } = fixture;
  const lengths = [4096, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 4096, 0];
  for (const length of lengths) await file.flushRange(0, length);
  const { sqes } = new Ring(backendOf(aio).control, 0);
  const asked = lengths.map((_, i) => sqes.subarray(i * SQE_WORDS.size, (i + 1) * SQE_WORDS.size));
  assertEquals(
    new Set(asked.map((entry) => entry[SQE_WORDS.opcode])),
    new Set([URING_OP.syncFileRange]),
  );
  assertEquals(
    asked.map((entry) => entry[SQE_WORDS.length]! >>> 0),
    [4096, 2 ** 31, 2 ** 32 - 1, 0, 0, 0],
  );
});

test("fadvise and fallocate are executed by the kernel, with lengths of 32 and of 64 bits", async () => {
  await using fixture = await openSync(OPTIONS);
  const { file, aio } = fixture;
  const lengths = [4096, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 4096];
  const start = async (name: "fadvise" | "fallocate", length: number, flags: number) => {
    const ret = new AioReturn();
    const handle = aio.acquire(null, ret);
    const ref = handle.waitRef();
    handle.setTarget(aio.targetId("page"), [7, 3]);
    handle.start(name, file.fd, { offset: 4096, length, flags });
    await aio.wait(ref);
    return ret.result.result;
  };
  for (const length of lengths) {
    assertEquals(await start("fadvise", length, FADVISE_ADVICE.sequential), 0);
    const { keepSize, punchHole } = FALLOCATE_MODES;
    assertEquals(await start("fallocate", length, keepSize | punchHole), 0);
  }
  const { sqes } = new Ring(backendOf(aio).control, 0);
  const asked = lengths.flatMap((_, i) => {
    const [advice, hole] = [i * 2, i * 2 + 1].map((at) =>
      sqes.subarray(at * SQE_WORDS.size, (at + 1) * SQE_WORDS.size)
    );
    assertEquals(advice![SQE_WORDS.opcode], URING_OP.fadvise);
    assertEquals(hole![SQE_WORDS.opcode], URING_OP.fallocate);
    const long = fromWords(hole![SQE_WORDS.addressLow]!, hole![SQE_WORDS.addressHigh]!);
    return [[advice![SQE_WORDS.length]! >>> 0, long]];
  });
  assertEquals(asked, [[4096, 4096], [2 ** 32 - 1, 2 ** 32 - 1], [0, 2 ** 32], [
    0,
    2 ** 32 + 4096,
  ]]);
});

test("an IO is completed by whoever waits for it, good or failed", async () => {
  await using fixture = await openSync(OPTIONS);
  const { aio, file } = fixture;
  await using worker = await AttachedWorker.start(aio, file);
  await withPipe(async (fd, write) => {
    const ref = await worker.ask<WaitRef>({ what: "readFd", fd, bytes: 100 });
    assertEquals(aio.checkDone(ref), false);
    write();
    aio.waitSync(ref);
    assertEquals(await worker.ask({ what: "seen", ref }), new Uint8Array(100).fill(7));
  });
  const failed = await worker.ask<WaitRef>({ what: "readFd", fd: 1_000_000, bytes: 100 });
  aio.waitSync(failed);
  const { completedForOthers } = aio.backends()[0]!.counters;
  assert(completedForOthers <= 2);
});

for (const ending of ["terminate", "selfClose"] as const) {
  test(`after ${ending} of its thread an IO in flight ends for whoever waits`, async () => {
    await using fixture = await openSync(OPTIONS);
    const { aio, file } = fixture;
    const { control } = backendOf(aio);
    const free = backendOf(aio).arena.freeBytes;
    await withPipe(async (fd, write) => {
      const worker = await AttachedWorker.start(aio, file);
      const slow = await worker.ask<WaitRef>({ what: "readFd", fd, bytes: 100 });
      const quick = await worker.ask<WaitRef>({ what: "read", offset: 5, bytes: 100 });
      const awaited = Promise.all([aio.wait(slow), aio.wait(quick)]);
      if (ending === "terminate") worker.terminate();
      else worker.end();
      await awaited;
      // Nobody wrote: it ended because the kernel gave it up for the death of its thread.
      write();
    });
    const threadAt = control.backendAt(1) + BACKEND.threadId;
    await until(() => Atomics.load(control.words, threadAt) === 0, "the slot is free");
    assertEquals([aio.ios(), backendOf(aio).arena.freeBytes], [[], free]);
    assertEquals(slotWord(fixture, 1, SLOT.isUsed), 0);
  });
}

/** How many threads come and go one after the other in a slot. */
const ROUNDS = 4;

/** How many rings this process has. */
function ringCount(): number {
  return openDescriptors().filter((path) => path.includes("io_uring")).length;
}

for (const ending of ["close", "terminate"] as const) {
  test(`after ${ending} of its thread a ring is the next thread's, again and again`, async () => {
    const before = ringCount();
    {
      await using fixture = await openSync(OPTIONS);
      const { aio, file } = fixture;
      const fds = new Set<number>();
      for (let round = 0; round < ROUNDS; round++) {
        const worker = await AttachedWorker.start(aio, file);
        fds.add(slotWord(fixture, 1, SLOT.fd));
        for (let i = 0; i < 3; i++) {
          const offset = round + i;
          const ref = await worker.ask<WaitRef>({ what: "read", offset, bytes: 100 });
          aio.waitSync(ref);
          assertEquals(await worker.ask({ what: "seen", ref }), fileContent(offset, 100));
        }
        if (ending === "close") await worker[Symbol.asyncDispose]();
        else worker.terminate();
        await until(() => {
          backendOf(aio).reapDead();
          return aio.backends().length === 1;
        }, "the thread is gone");
      }
      assertEquals([fds.size, ringCount()], [1, before + 2]);
    }
    assertEquals(ringCount(), before);
  });
}

test("a thread that leaves after the opener has closed closes its ring", async () => {
  const before = ringCount();
  const fixture = await openSync(OPTIONS);
  const worker = await AttachedWorker.start(fixture.aio, fixture.file);
  await fixture[Symbol.asyncDispose]();
  assertEquals(ringCount(), before + 1);
  await worker[Symbol.asyncDispose]();
  assertEquals(ringCount(), before);
});

test("closingFd() waits for the IO of three backends", async () => {
  await using fixture = await openSync(OPTIONS);
  const { aio, file } = fixture;
  await using first = await AttachedWorker.start(aio, file);
  await using second = await AttachedWorker.start(aio, file);
  await withPipe(async (fd, write) => {
    const own = startReadFd(fixture, fd);
    const refs = [
      own.ref,
      await first.ask<WaitRef>({ what: "readFd", fd, bytes: 100 }),
      await second.ask<WaitRef>({ what: "readFd", fd, bytes: 100 }),
    ];
    for (let i = 0; i < refs.length; i++) write();
    aio.closingFd(fd);
    assertEquals(refs.map((ref) => aio.checkDone(ref)), [true, true, true]);
  });
});
