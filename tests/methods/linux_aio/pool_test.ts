/**
 * linux_aio/pool_test.ts: the kernel and the pool of IO Workers have the IO of one Aio side by
 * side: what becomes of one part does not touch the other.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { EAGAIN } from "../../../ffi/errno.ts";
import type { Libc } from "../../../ffi/libc.ts";
import {
  closeLinuxAioCalls,
  LinuxAioCalls,
  openLinuxAioCalls,
} from "../../../ffi/linux_aio_calls.ts";
import { createLinuxAioMethod } from "../../../methods/linux_aio.ts";
import { LinuxAioCompletions } from "../../../methods/linux_aio/completions.ts";
import { setPollfd } from "../../../ffi/memory.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { comes, PollWatch, replace } from "../../support/bells/bells.ts";
import { fileContent, openFixture, startRead } from "../../support/core.ts";
import { openMethod } from "../../support/core_methods.ts";
import { METHODS_UNDER_TEST } from "../../support/methods.ts";
import { settles, spinUntil, until } from "../../support/patience.ts";
import { tempDir } from "../../support/temp.ts";
import { failingModule } from "../../support/workers/failing_module.ts";
import { FAULTS_MODULE, openGate, start } from "../../support/workers/opened_pool.ts";
import {
  lockQueue,
  METHODS_FOR_TESTS,
  ONE_WORKER,
  poolUp,
  untilRunning,
} from "../../support/workers/worker_pool.ts";

const ignore = METHODS_UNDER_TEST.some(({ name, ignore }) => name === "linux_aio" && ignore);

/** As on a slow device: the kernel takes IO, and begins it only when the test says so. */
function delaySubmits(): Disposable & { readonly begins: (() => number)[] } {
  const begins: (() => number)[] = [];
  const submit = LinuxAioCalls.prototype.submit;
  const replaced = replace(
    LinuxAioCalls.prototype,
    "submit",
    function (this: LinuxAioCalls, context, count, list) {
      begins.push(() => submit.call(this, context, count, list));
      return count;
    },
  );
  return { begins, [Symbol.dispose]: () => replaced[Symbol.dispose]() };
}

/** Keeps all IO of the pool waiting, also where a test fails. */
function holdQueue(aio: Aio): Disposable {
  return { [Symbol.dispose]: lockQueue(aio) };
}

/** Asks the system about a descriptor. */
function isReadyToRead(libc: Libc, fd: number): boolean {
  const pollfd = new Int32Array(new SharedArrayBuffer(8));
  setPollfd(pollfd, 0, fd);
  return libc.poll(new Uint8Array(pollfd.buffer), 1, 0) > 0;
}

Deno.test({
  name: "linux_aio: IO that the kernel has goes on where no Worker can be started",
  ignore,
  async fn() {
    await using dir = await tempDir();
    await Deno.writeTextFile(dir.join("fails"), "");
    const callbackModules = [failingModule(dir.join("fails"))];
    const options = { method: "linux_aio", workers: ONE_WORKER, callbackModules };
    await using fixture = await openFixture(options, METHODS_FOR_TESTS);
    const { aio, file } = fixture;
    using taken = delaySubmits();
    const { ref, view, ret } = startRead(fixture, 512);
    const read = aio.wait(ref);
    assertEquals(taken.begins.length, 1);
    await assertRejects(() => file.allocate(0, 100), Deno.errors.WouldBlock);
    assertEquals(ret.result.status, "unknown");
    taken.begins[0]!();
    await read;
    assertEquals([ret.result.status, ret.result.result], ["ok", 512]);
    assertEquals(new Uint8Array(view), fileContent(512, 512));
    await Deno.remove(dir.join("fails"));
  },
});

for (const way of ["readAt", "readAtSync"] as const) {
  Deno.test({
    name: `linux_aio: onWarning may call ${way}() when no context is to be had`,
    ignore,
    async fn() {
      const read = Promise.withResolvers<number>();
      const opened: AioFile[] = [];
      const onWarning = () => {
        const reading = async () => await opened[0]![way](new Uint8Array(100), 0);
        reading().then(read.resolve, read.reject);
      };
      const options = { method: "linux_aio", workers: ONE_WORKER, onWarning };
      await using fixture = await openFixture(options, METHODS_FOR_TESTS);
      using _setup = replace(LinuxAioCalls.prototype, "setup", () => -EAGAIN);
      opened.push(fixture.file);
      assertEquals(await fixture.file.readAt(new Uint8Array(512), 0), 512);
      assertEquals(await read.promise, 100);
    },
  });
}

Deno.test({
  name:
    "linux_aio: IO of the pool is slept for though the kernel signals after a completion is taken",
  ignore,
  async fn() {
    await using fixture = await openMethod("linux_aio", { workers: ONE_WORKER });
    const { aio, file } = fixture;
    const backend = backendOf(aio);
    const { libc } = backend;
    const isReadable = () => isReadyToRead(libc, backend.method.pollFd!(backend));
    const calls = openLinuxAioCalls();
    const { ref } = aio.batch(() => startRead(fixture));
    spinUntil(isReadable);
    // As if the signal had come only now.
    assertEquals(new LinuxAioCompletions(backend, calls).take(backend.id), 1);
    closeLinuxAioCalls(calls);
    assert(aio.checkDone(ref));
    using watch = new PollWatch(libc, () => false);
    using lock = holdQueue(aio);
    const allocated = file.allocate(0, 100);
    await watch.untilParked();
    assertEquals(isReadable(), false);
    lock[Symbol.dispose]();
    await allocated;
  },
});

Deno.test({
  name: "linux_aio: the first IO in the kernel wakes its thread though that sleeps for the pool",
  ignore,
  async fn() {
    await using fixture = await openMethod("linux_aio", { workers: ONE_WORKER });
    const { aio, file } = fixture;
    using watch = new PollWatch(backendOf(aio).libc);
    using lock = holdQueue(aio);
    const allocated = file.allocate(0, 100);
    await watch.untilParked();
    using taken = delaySubmits();
    const read = file.readAt(new Uint8Array(512), 0);
    await until(() => taken.begins.length === 1, "the kernel has the read");
    await watch.untilParked();
    taken.begins[0]!();
    const comesBack = await comes(read, true);
    lock[Symbol.dispose]();
    backendOf(aio).doorbells.ring(aio.backendId);
    await allocated;
    assertEquals(comesBack, true);
  },
});

Deno.test({
  name: "linux_aio: IO of the pool waits for no long one of it while the oldest is in the kernel",
  ignore,
  async fn() {
    const workers = { min: 2, max: 2 };
    const options = { method: "linux_aio", workers, callbackModules: [FAULTS_MODULE] };
    await using fixture = await openFixture(options, [createLinuxAioMethod(false)]);
    const { aio, file } = fixture;
    await poolUp(aio);
    // Each finds one IO, so Workers learn not to wake each other.
    for (let i = 0; i < 20; i++) {
      await untilRunning(aio);
      await aio.wait(start(fixture, "whoCompletes").ref);
    }
    await untilRunning(aio);
    using taken = delaySubmits();
    const flushed = file.sync();
    await until(() => taken.begins.length === 1, "the kernel has the flush");
    const [long, short] = aio.batch(() =>
      [start(fixture, "gated"), start(fixture, "whoCompletes")] as const
    );
    const waited = aio.wait(short.ref);
    const ends = await settles(waited);
    openGate(aio);
    await Promise.all([waited, aio.wait(long.ref)]);
    taken.begins[0]!();
    await flushed;
    assertEquals(ends, true);
  },
});
