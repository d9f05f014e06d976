/**
 * append_held_test.ts: appends whose IOs the test completes one by one: what is one write, what
 * shares a flush, what becomes of places that are not written.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { FILE } from "../../../core/memory/shared_memory.ts";
import type { Aio } from "../../../mod.ts";
import { begin, data, giveUp } from "../../support/appends/held_appends.ts";
import { FILE_BYTES as END, type Fixture, openHeld } from "../../support/core.ts";
import { checkCloses, heldIos, openAgain, POINT, REMEDY } from "../../support/flush_failures.ts";
import { complete, heldNow, perform, turn } from "../../support/held_transfers.ts";
import { HeldMethod } from "../../support/held_method.ts";
import { until } from "../../support/patience.ts";
import { errorOf } from "../../support/system_errors.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";

const EIO = 5;
const EINVAL = 22;
const ENOSPC = 28;
const FLUSH = "fdatasync 0 0";

/** Which of some promises are settled. */
function watch(promises: readonly Promise<unknown>[]): { readonly settled: number[] } {
  const settled: number[] = [];
  for (const [i, promise] of promises.entries()) {
    const note = () => void settled.push(i);
    promise.then(note, note);
  }
  return { settled };
}

Deno.test("held: append() of one turn is one write, and any number of writes are under way", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  await begin(fixture);
  const first = [2, 3, 4].map((bytes) => file.append(data(bytes)));
  assertEquals(await heldNow(fixture), [`writev ${END + 1} 9`]);
  const second = [5, 6].map((bytes) => file.append(data(bytes)));
  assertEquals(await heldNow(fixture), [`writev ${END + 1} 9`, `writev ${END + 10} 11`]);
  const [, later] = fixture.held.held(fixture.aio);
  fixture.held.perform(fixture.aio, later!);
  assertEquals(await Promise.all(second), [END + 10, END + 15]);
  await perform(fixture);
  assertEquals(await Promise.all(first), [END + 1, END + 3, END + 6]);
});

Deno.test("held: append() goes behind a writeAt() that was in flight when the end was asked for", async () => {
  await using fixture = await openHeld();
  const written = fixture.file.writeAt(data(10), END + 1000);
  await heldIos(fixture, 1);
  const appended = fixture.file.append(data(3));
  const [, second] = await heldIos(fixture, 2);
  fixture.held.perform(fixture.aio, second!);
  assertEquals(await appended, END + 1010);
  await perform(fixture);
  assertEquals(await written, 10);
});

Deno.test("held: append() goes behind a writeAt() of several pieces that has only begun", async () => {
  await using fixture = await openHeld({ arenaBytes: 64 * 1024 });
  await begin(fixture);
  const written = fixture.file.writeAt(new Uint8Array(100_000), END);
  await heldIos(fixture, 1);
  const appended = fixture.file.append(data(3));
  await heldIos(fixture, 2);
  fixture.held.letGo(fixture.aio);
  assertEquals([await appended, await written], [END + 100_000, 100_000]);
});

Deno.test("held: truncate() leaves the place of an append that is under way", async () => {
  await using fixture = await openHeld();
  await begin(fixture);
  const appended = fixture.file.append(data(5));
  await heldIos(fixture, 1);
  await fixture.file.truncate(10);
  const behind = fixture.file.append(data(6));
  assertEquals(await heldNow(fixture), [`writev ${END + 1} 5`, `writev ${END + 6} 6`]);
  fixture.held.letGo(fixture.aio);
  assertEquals(await Promise.all([appended, behind]), [END + 1, END + 6]);
  await fixture.file.truncate(10);
  assertEquals(await fixture.file.append(data(6)), 10);
});

Deno.test("held: append() that fails before others is a hole, and says so", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  await begin(fixture);
  const failing = [file.append(data(2)), file.append(data(3))];
  await heldNow(fixture);
  const behind = file.append(data(4));
  await heldIos(fixture, 2);
  await complete(fixture, -ENOSPC);
  const [first, second] = await Promise.all(failing.map(errorOf));
  const hole = (from: number, to: number) =>
    `(ENOSPC); bytes ${from} to ${to} stay a hole, as others have appended behind them`;
  assert(first!.message.endsWith(hole(END + 1, END + 2)), first!.message);
  assert(second!.message.endsWith(hole(END + 3, END + 5)), second!.message);
  assertEquals([first!.offset, second!.offset], [END + 1, END + 3]);
  await perform(fixture);
  assertEquals(await behind, END + 6);
  const next = file.append(data(1));
  await heldIos(fixture, 1);
  await perform(fixture);
  assertEquals(await next, END + 10);
});

Deno.test("held: append() that a signal ends goes on, and its hole is a warning", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  await begin(fixture);
  const end = new AbortController();
  const given = file.append(data(2), { signal: end.signal });
  await heldIos(fixture, 1);
  const behind = file.append(data(4));
  await heldIos(fixture, 2);
  await giveUp(end, given);
  await complete(fixture, -ENOSPC);
  await perform(fixture);
  assertEquals(await behind, END + 3);
  // The append first learns from the system where the file ends.
  await until(() => fixture.messages().length > 0, "a warning");
  const [message] = fixture.messages();
  assert(message!.includes(`bytes ${END + 1} to ${END + 2} stay a hole`), message);
});

Deno.test("held: durable appends share a flush that begins after their writes", async () => {
  await using fixture = await openHeld();
  await using _other = await openAgain(fixture);
  const { file } = fixture;
  await begin(fixture);
  const appended = [2, 3].map((bytes) => file.append(data(bytes), { durable: true }));
  const plain = file.append(data(1));
  const watched = watch(appended);
  await heldNow(fixture);
  await perform(fixture);
  assertEquals(await plain, END + 6);
  assertEquals([await heldNow(fixture), watched.settled], [[FLUSH], []]);
  // What is written while it is under way waits for the next one.
  const later = [4, 5].map((bytes) => file.append(data(bytes), { durable: true }));
  const watchedLater = watch(later);
  const [, write] = await heldIos(fixture, 2);
  fixture.held.perform(fixture.aio, write!);
  assertEquals(await heldNow(fixture), [FLUSH]);
  await complete(fixture, 0);
  assertEquals(await Promise.all(appended), [END + 1, END + 3]);
  assertEquals([await heldNow(fixture), watchedLater.settled], [[FLUSH], []]);
  await complete(fixture, 0);
  assertEquals(await Promise.all(later), [END + 7, END + 11]);
});

Deno.test("held: a signal ends the wait of append() for its flush", async () => {
  await using fixture = await openHeld();
  await using _other = await openAgain(fixture);
  const { file } = fixture;
  await begin(fixture);
  const end = new AbortController();
  const options = { durable: true, signal: end.signal };
  const given = file.append(data(2), options);
  const other = file.append(data(3), { durable: true });
  await heldIos(fixture, 1);
  await perform(fixture);
  assertEquals(await heldNow(fixture), [FLUSH]);
  const watched = watch([given]);
  end.abort(new Error("no more"));
  await turn(fixture);
  assertEquals(watched.settled, [0]);
  await assertRejects(() => given, Error, "no more");
  await complete(fixture, 0);
  assertEquals(await other, END + 3);
  assertEquals(fixture.messages(), []);
});

Deno.test("held: the end of a block tells of a flush that only an append() waited for that was given up", async () => {
  await using fixture = await openHeld();
  await using _other = await openAgain(fixture);
  const { file } = fixture;
  await begin(fixture);
  const end = new AbortController();
  const given = file.append(data(2), { durable: true, signal: end.signal });
  await heldIos(fixture, 1);
  await perform(fixture);
  assertEquals(await heldNow(fixture), [FLUSH]);
  await giveUp(end, given);
  await complete(fixture, -EIO);
  assertEquals((await errorOf(file[Symbol.asyncDispose]())).code, "EIO");
});

/** A bit for each thread that waits for another one's flush of the first file. */
function flusherWaiters(aio: Aio): number {
  const { control } = backendOf(aio);
  return Atomics.load(control.words, control.fileAt(0) + FILE.flusherWaiters);
}

Deno.test("held: durable appends of two threads share a flush", async () => {
  await using fixture = await openHeld();
  const { aio, held, file } = fixture;
  await begin(fixture);
  await using worker = await AttachedWorker.start(aio, file);
  const first = file.append(data(2), { durable: true });
  await heldIos(fixture, 1);
  await perform(fixture);
  assertEquals(await heldNow(fixture), [FLUSH]);
  const theirs = worker.ask({ what: "append", bytes: data(3), durable: true });
  await heldIos(fixture, 2);
  const ours = file.append(data(4), { durable: true });
  const [flush, ...writes] = await heldIos(fixture, 3);
  for (const write of writes) held.perform(aio, write);
  await until(() => flusherWaiters(aio) !== 0, "the Worker waits for its turn");
  const watched = watch([theirs, ours]);
  await turn(fixture);
  assertEquals(held.held(aio), [flush!]);
  held.complete(aio, flush!, 0);
  assertEquals(await first, END + 1);
  // One of the two threads flushes for both.
  const [second] = await heldIos(fixture, 1);
  await turn(fixture);
  assertEquals([held.held(aio), watched.settled], [[second!], []]);
  held.complete(aio, second!, 0);
  assertEquals(await Promise.all([theirs, ours]), [END + 3, END + 6]);
  assertEquals(held.held(aio), []);
});

Deno.test("held: a durable append goes on when the thread dies that flushes for it", async () => {
  await using fixture = await openHeld();
  const { aio, held, file } = fixture;
  await begin(fixture);
  const worker = await AttachedWorker.start(aio, file);
  const theirs = worker.ask({ what: "append", bytes: data(3), durable: true });
  theirs.catch(() => {});
  const [write] = await heldIos(fixture, 1);
  held.perform(aio, write!);
  await until(() => heldOperations(fixture).includes("fdatasync"), "the Worker flushes");
  const ours = file.append(data(4), { durable: true });
  const [, second] = await heldIos(fixture, 2);
  held.perform(aio, second!);
  worker.end();
  await reap(aio);
  const [flush] = await heldIos(fixture, 1);
  held.complete(aio, flush!, 0);
  assertEquals(await ours, END + 4);
});

function heldOperations({ aio, held }: Fixture): string[] {
  return held.held(aio).map((index) => backendOf(aio).handleOf(index).operation);
}

Deno.test("held: a durable append rejects with the flush that fails, and all later ones", async () => {
  await using fixture = await openHeld();
  await using _other = await openAgain(fixture);
  const { file } = fixture;
  await begin(fixture);
  const appended = [2, 3].map((bytes) => file.append(data(bytes), { durable: true }));
  await heldNow(fixture);
  await perform(fixture);
  assertEquals(await heldNow(fixture), [FLUSH]);
  const during = file.append(data(4), { durable: true });
  const [flush, write] = await heldIos(fixture, 2);
  fixture.held.perform(fixture.aio, write!);
  await turn(fixture);
  fixture.held.complete(fixture.aio, flush!, -EIO);
  for (const error of await Promise.all([...appended, during].map(errorOf))) {
    assert(error.message.endsWith(`(EIO); close it, ${REMEDY}`), error.message);
  }
  const plain = file.append(data(5));
  await heldIos(fixture, 1);
  await perform(fixture);
  assertEquals(await plain, END + 10);
  const late = file.append(data(1), { durable: true });
  await heldIos(fixture, 1);
  await perform(fixture);
  await errorOf(late);
  await checkCloses(fixture, "EIO");
});

Deno.test("held: a flush that was not executed fails those that waited for it, and no later ones", async () => {
  await using fixture = await openHeld();
  await using _other = await openAgain(fixture);
  const { file } = fixture;
  await begin(fixture);
  const first = file.append(data(2), { durable: true });
  await heldIos(fixture, 1);
  await perform(fixture);
  assertEquals(await heldNow(fixture), [FLUSH]);
  const second = file.append(data(3), { durable: true });
  const [flush, write] = await heldIos(fixture, 2);
  fixture.held.perform(fixture.aio, write!);
  await turn(fixture);
  fixture.held.complete(fixture.aio, flush!, -EINVAL);
  assertEquals((await errorOf(first)).code, "EINVAL");
  await heldIos(fixture, 1);
  await complete(fixture, 0);
  assertEquals(await second, END + 3);
});

Deno.test("held: appendSync() flushes by itself while a task of its thread does", async () => {
  const method = new HeldMethod();
  await using fixture = await openHeld({}, method);
  await using _other = await openAgain(fixture);
  const { file } = fixture;
  await begin(fixture);
  const first = file.append(data(2), { durable: true });
  await heldIos(fixture, 1);
  await perform(fixture);
  assertEquals(await heldNow(fixture), [FLUSH]);
  assertEquals(file.appendSync(data(3), { durable: true }), END + 3);
  await until(() => method.held(fixture.aio).length === 0, "the one before is waited for as well");
  assertEquals(await first, END + 1);
});

/** Has a Worker append, and end while that is held. */
async function dieAppending(fixture: Fixture, bytes: number): Promise<void> {
  const worker = await AttachedWorker.start(fixture.aio, fixture.file);
  worker.ask({ what: "append", bytes: data(bytes), durable: false }).catch(() => {});
  await heldIos(fixture, 1);
  worker.end();
}

async function reap(aio: Aio): Promise<void> {
  await until(() => {
    backendOf(aio).reapDead();
    return aio.backends().length === 1;
  }, "the Worker is reaped");
}

Deno.test("held: an append of a thread that dies is done all the same", async () => {
  await using fixture = await openHeld();
  await begin(fixture);
  await dieAppending(fixture, 3);
  await reap(fixture.aio);
  const behind = fixture.file.append(data(4));
  await heldIos(fixture, 1);
  await perform(fixture);
  assertEquals([await behind, fixture.messages()], [END + 4, []]);
  const content = await Deno.readFile(fixture.file.path);
  assertEquals([...content.subarray(END + 1)], [3, 3, 3, 4, 4, 4, 4]);
});

Deno.test("held: an append of a thread that dies, and that cannot be done, is a warning", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await begin(fixture);
  await dieAppending(fixture, 3);
  const behind = file.append(data(4));
  const [, own] = await heldIos(fixture, 2);
  fixture.held.perform(aio, own!);
  assertEquals(await behind, END + 4);
  aio.attachInjectionPoint(POINT, ({ operation }) => operation === "writev" ? -ENOSPC : undefined);
  await reap(aio);
  aio.detachInjectionPoint(POINT);
  assertEquals(fixture.messages(), [
    `Bytes ${END + 1} to ${END + 3} of ${JSON.stringify(file.path)} may read as zeros: ` +
    "the thread that was appending there has died",
  ]);
});
