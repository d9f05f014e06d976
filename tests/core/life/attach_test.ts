/**
 * attach_test.ts: several threads on one Aio: attaching and leaving, each other's files, waiting
 * for and completing each other's IO.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { BACKEND, HEADER } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import { Aio } from "../../../storage/aio.ts";
import { AttachedWorker, shareThread } from "../../support/threads/attached.ts";
import { fileContent, openHeld, openSync, startRead } from "../../support/core.ts";
import { testSharedCores } from "../../support/core_methods.ts";
import { METHODS_UNDER_TEST } from "../../support/methods.ts";
import { untilDead } from "../../support/patience.ts";

const startWorker = shareThread();

// Not `held`: the Worker's own IO would wait until a test lets it go.
testSharedCores("attach() gives a Worker its own backend and the same files", async (fixture) => {
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  assertEquals(aio.backends().map(({ backendId }) => backendId), [0, 1]);
  const bytes = new TextEncoder().encode("from the other thread");
  assertEquals(await worker.ask({ what: "write", bytes, offset: 100 }), bytes.length);
  const read = new Uint8Array(bytes.length);
  assertEquals(await file.readAt(read, 100), bytes.length);
  assertEquals(read, bytes);
}, { only: METHODS_UNDER_TEST.map(({ name }) => name) });

Deno.test("sync: attach() twice in one thread is refused", async () => {
  await using fixture = await openSync();
  const { aio, file } = fixture;
  await assertRejects(
    () => Aio.attach(aio.token),
    AioApiError,
    "Cannot attach twice in one thread",
  );
  await using worker = await startWorker(aio, file);
  const again = worker.ask({ what: "attachAgain", token: aio.token });
  await assertRejects(() => again, Error, "AioApiError: Cannot attach twice in one thread");
});

Deno.test("sync: attach() with no slot free names the option", async () => {
  await using fixture = await openSync({ maxBackends: 1 });
  await assertRejects(
    () => startWorker(fixture.aio, fixture.file),
    Error,
    'Busy: Cannot attach while 1 threads are attached: raise the option "maxBackends"',
  );
});

testSharedCores("a slot is free again after close(), and the file stays open", async (fixture) => {
  const { aio, file } = fixture;
  for (let round = 0; round < 3; round++) {
    await using worker = await startWorker(aio, file);
    const ref = await worker.ask<WaitRef>({ what: "read", offset: round, bytes: 10 });
    aio.waitSync(ref);
    assertEquals(await worker.ask({ what: "seen", ref }), fileContent(round, 10));
  }
  const { control, files } = backendOf(aio);
  assertEquals(control.words[control.backendAt(1) + BACKEND.threadId], 0);
  assertEquals(files.count, 1);
  assertEquals(file.readAtSync(new Uint8Array(5), 0), 5);
});

Deno.test("sync: attach() with other callbacks than the opener is refused", async () => {
  await using fixture = await openSync();
  const { aio, file } = fixture;
  const url = new URL("../fixtures/layers.ts", import.meta.url).href;
  const token = {
    ...aio.token,
    options: { ...aio.options, callbackModules: [{ url, data: undefined }] },
  };
  await using worker = AttachedWorker.startBare();
  const attached = worker.ask({ what: "attach", token, file: file.token });
  await assertRejects(() => attached, Error, "Cannot attach with other callbacks");
  await worker.ask({ what: "attach", token: aio.token, file: file.token });
});

Deno.test("sync: attach() of another version's token is refused", async () => {
  await using fixture = await openSync();
  const token = { ...fixture.aio.token, version: 999 };
  await assertRejects(() => Aio.attach(token), TypeError, "a token of version 999");
});

Deno.test("sync: attach() after the opener's close() is refused", async () => {
  await using fixture = await openSync();
  const { token } = fixture.aio;
  await fixture.file.close();
  await fixture.aio.close();
  await assertRejects(() => Aio.attach(token), Deno.errors.BadResource, "closed by its opener");
});

Deno.test("held: an IO that another thread completes wakes its awaiting issuer", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  for (let round = 0; round < 20; round++) {
    const { ref, view, ret } = startRead(fixture, round);
    const awaited = aio.wait(ref);
    await worker.ask({ what: "perform", ref });
    await awaited;
    assertEquals([ret.result.status, ret.result.result], ["ok", view.length]);
    assertEquals(view, fileContent(round, view.length));
    aio.free(view);
  }
});

Deno.test("held: a failed IO that another thread completes fails for its issuer", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  const { ref, ret } = startRead(fixture);
  const awaited = aio.wait(ref);
  await worker.ask({ what: "complete", ref, result: -5 });
  await awaited;
  assertEquals([ret.result.status, ret.result.errorData], ["error", 5]);
});

Deno.test("held: awaiting another thread's IO ends when its issuer completes it", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  for (let round = 0; round < 20; round++) {
    const ref = await worker.ask<WaitRef>({ what: "read", offset: round, bytes: 50 });
    assertEquals(aio.checkDone(ref), false);
    const awaited = aio.wait(ref);
    await worker.ask({ what: "perform", ref });
    await awaited;
    assertEquals(aio.checkDone(ref), true);
    assertEquals(await worker.ask({ what: "seen", ref }), fileContent(round, 50));
  }
});

testSharedCores(
  "waitSync() of another thread's IO ends when it is over, whoever completes it",
  async (fixture) => {
    const { aio, file } = fixture;
    await using worker = await startWorker(aio, file);
    const ref = await worker.ask<WaitRef>({ what: "read", offset: 7, bytes: 50 });
    aio.waitSync(ref);
    assertEquals(aio.checkDone(ref), true);
    assertEquals(await worker.ask({ what: "seen", ref }), fileContent(7, 50));
  },
);

testSharedCores("an IO that another thread has only staged can be awaited", async (fixture) => {
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  const ref = await worker.ask<WaitRef>({ what: "stage", offset: 3, bytes: 50 });
  const awaited = aio.wait(ref);
  await worker.ask({ what: "submit" });
  await awaited;
  assertEquals(await worker.ask({ what: "seen", ref }), fileContent(3, 50));
});

Deno.test("held: a Worker waits, blocking, for what the main thread completes", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await using worker = await startWorker(aio, file);
  const { ref, ret } = startRead(fixture);
  const waited = worker.ask({ what: "await", ref });
  held.perform(aio, ref);
  await waited;
  assertEquals(ret.result.status, "ok");
});

Deno.test("held: the opener's close() waits for what another thread has in flight", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await using worker = await startWorker(aio, file);
  const ref = await worker.ask<WaitRef>({ what: "read", offset: 9, bytes: 50 });
  let isClosed = false;
  const closing = aio.close().then(() => isClosed = true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(isClosed, false);
  const refused = worker.ask({ what: "read", offset: 0, bytes: 1 });
  await assertRejects(() => refused, Error, "BadResource");
  await worker.ask({ what: "perform", ref });
  await closing;
  assertEquals(await worker.ask({ what: "seen", ref }), fileContent(9, 50));
});

Deno.test("sync: the locks of a thread that died are taken over", async () => {
  await using fixture = await openSync();
  const { aio, file } = fixture;
  const worker = await AttachedWorker.start(aio, file);
  const { control, libc } = backendOf(aio);
  const threadId = control.words[control.backendAt(1) + BACKEND.threadId]!;
  assertEquals(libc.isThreadAlive(threadId), true);
  worker.terminate();
  await untilDead(libc, threadId);
  // As if it had died between locking and unlocking them.
  control.words[HEADER.arenaLock] = threadId;
  control.words[HEADER.filesLock] = threadId;
  aio.free(aio.alloc(4096));
  await (await aio.openFile(file.path)).close();
  assertEquals([control.words[HEADER.arenaLock], control.words[HEADER.filesLock]], [0, 0]);
});

Deno.test("held: close() waits for the IO of others that this thread awaits, asleep", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  const { ref } = startRead(fixture);
  const worker = await AttachedWorker.start(aio, file);
  const awaited = worker.ask({ what: "await", ref });
  let isClosed = false;
  const closed = worker.ask({ what: "close" }).then(() => isClosed = true);
  const { control } = backendOf(aio);
  // It rings no bells for itself, except those from before the call.
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals([isClosed, control.words[control.backendAt(1) + BACKEND.bellsOwed]], [false, 0]);
  held.perform(aio, ref);
  await Promise.all([awaited, closed]);
  worker.terminate();
});
