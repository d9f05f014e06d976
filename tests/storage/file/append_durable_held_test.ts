/**
 * append_durable_held_test.ts: durable appends to a file that only one thread has open, once. The
 * test completes their IOs one by one: each batch is one durable write, and the next batch waits
 * for it.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  appendAndFlush,
  begin,
  checkHeld,
  DURABLE,
  flushBefore,
  letFlushGo,
} from "../../support/appends/durable_appends.ts";
import { data, giveUp } from "../../support/appends/held_appends.ts";
import { FILE_BYTES as END, type Fixture, openHeld } from "../../support/core.ts";
import { checkCloses, heldIos, REMEDY } from "../../support/flush_failures.ts";
import { HeldMethod } from "../../support/held_method.ts";
import { complete, perform, through, turn } from "../../support/held_transfers.ts";
import { until } from "../../support/patience.ts";
import { errorOf } from "../../support/system_errors.ts";

const EIO = 5;
const EINVAL = 22;
const ENOSPC = 28;
const EOPNOTSUPP = 95;

/** Has a durable append of a byte under way. */
async function beginDurably(fixture: Fixture): Promise<{ first: Promise<number> }> {
  await begin(fixture);
  const first = fixture.file.append(data(1), DURABLE);
  first.catch(() => {});
  await heldIos(fixture, 1);
  return { first };
}

Deno.test("held: durable appends of one turn are one durable write", async () => {
  await using fixture = await openHeld();
  await begin(fixture);
  const appended = [2, 3].map((bytes) => fixture.file.append(data(bytes), DURABLE));
  await checkHeld(fixture, [`writev ${END + 1} 5 durably`]);
  await perform(fixture);
  assertEquals(await Promise.all(appended), [END + 1, END + 3]);
  await checkHeld(fixture, []);
});

Deno.test("held: durable appends of one turn that are too large for one write are written at once", async () => {
  await using fixture = await openHeld({ arenaBytes: 64 * 1024 });
  await begin(fixture);
  const appended = [10_000, 11_000, 12_000].map((bytes) =>
    fixture.file.append(data(bytes), DURABLE)
  );
  const offsets = [END + 1, END + 10_001, END + 21_001];
  await checkHeld(fixture, offsets.map((offset, i) => `writev ${offset} ${10_000 + 1000 * i}`));
  assertEquals(await through(fixture, Promise.all(appended)), offsets);
});

Deno.test("held: durable appends that come while one is under way are the next write", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const { first } = await beginDurably(fixture);
  const second = file.append(data(2), DURABLE);
  await turn(fixture);
  const third = file.append(data(3), DURABLE);
  await checkHeld(fixture, [`writev ${END + 1} 1 durably`]);
  await perform(fixture);
  assertEquals(await first, END + 1);
  await checkHeld(fixture, [`writev ${END + 2} 5 durably`]);
  await perform(fixture);
  assertEquals(await Promise.all([second, third]), [END + 2, END + 4]);
});

Deno.test("held: append() that is not to be durable goes at once, with the durable ones before it", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const { first } = await beginDurably(fixture);
  const second = file.append(data(2), DURABLE);
  await turn(fixture);
  const plain = file.append(data(3));
  await checkHeld(fixture, [
    `writev ${END + 1} 1 durably`,
    `writev ${END + 2} 5`,
  ]);
  const [own, behind] = fixture.held.held(fixture.aio);
  fixture.held.perform(fixture.aio, behind!);
  assertEquals(await plain, END + 4);
  // The durable one waits for a flush that has yet to begin.
  await checkHeld(fixture, [`writev ${END + 1} 1 durably`]);
  fixture.held.perform(fixture.aio, own!);
  assertEquals(await first, END + 1);
  await letFlushGo(fixture);
  assertEquals(await second, END + 2);
});

Deno.test("held: durable writes do not go before a durable append that waits for a flush", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const { first } = await beginDurably(fixture);
  // With one that is not to be durable it goes at once, and waits for a flush. They have no place.
  const [second, plain] = [file.append([], DURABLE), file.append([])];
  assertEquals(await plain, END + 2);
  const third = file.append(data(4), DURABLE);
  await perform(fixture);
  assertEquals(await first, END + 1);
  await letFlushGo(fixture);
  assertEquals(await second, END + 2);
  await checkHeld(fixture, [`writev ${END + 2} 4 durably`]);
  await perform(fixture);
  assertEquals(await third, END + 2);
});

Deno.test("held: durable appends that come while a flush is under way are one durable write after it", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  await begin(fixture);
  const [plain, first] = [file.append(data(1)), file.append(data(2), DURABLE)];
  await perform(fixture);
  assertEquals(await plain, END + 1);
  await checkHeld(fixture, ["fdatasync 0 0"]);
  const second = file.append(data(3), DURABLE);
  await turn(fixture);
  const third = file.append(data(4), DURABLE);
  await turn(fixture);
  await letFlushGo(fixture);
  assertEquals(await first, END + 2);
  await checkHeld(fixture, [`writev ${END + 4} 7 durably`]);
  await perform(fixture);
  assertEquals(await Promise.all([second, third]), [END + 4, END + 7]);
});

Deno.test("held: a durable append behind one that is not durable is a write and a flush", async () => {
  await using fixture = await openHeld();
  await begin(fixture);
  const plain = fixture.file.append(data(2));
  await flushBefore(fixture, plain);
  // That flush began before the one before was written.
  await appendAndFlush(fixture, 4, END + 6);
});

Deno.test("held: a durable append whose write fails is a failed flush, and keeps its place", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const { first } = await beginDurably(fixture);
  const second = file.append(data(2), DURABLE);
  // The system has taken it, and its flush fails.
  await Deno.writeFile(file.path, data(1), { append: true });
  await complete(fixture, -EIO);
  const { message } = await errorOf(first);
  assert(message.startsWith("Cannot make an append to "), message);
  assert(message.endsWith(`(EIO); close it, ${REMEDY}`), message);
  await checkHeld(fixture, [`writev ${END + 2} 2`]);
  await perform(fixture);
  assertEquals((await errorOf(second)).message, message);
  const plain = file.append(data(3));
  await perform(fixture);
  assertEquals(await plain, END + 4);
  await checkCloses(fixture, "EIO");
});

Deno.test("held: a durable append that fails beside a failed flush keeps its place, whatever its error", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  const { first } = await beginDurably(fixture);
  const synced = file.sync();
  const [own, flush] = await heldIos(fixture, 2);
  held.complete(aio, flush!, -EIO);
  assertEquals((await errorOf(synced)).code, "EIO");
  await Deno.writeFile(file.path, data(1), { append: true });
  held.complete(aio, own!, -ENOSPC);
  assertEquals((await errorOf(first)).code, "EIO");
  const plain = file.append(data(3));
  await perform(fixture);
  assertEquals(await plain, END + 2);
  await checkCloses(fixture, "EIO");
});

Deno.test("held: a durable append that comes to no flush gives its place back, and later ones go on", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const { first } = await beginDurably(fixture);
  await complete(fixture, -ENOSPC);
  const error = await errorOf(first);
  assertEquals([error.code, error.message.includes("sync()")], ["ENOSPC", false]);
  const second = file.append(data(2), DURABLE);
  await checkHeld(fixture, [`writev ${END + 1} 2`]);
  await perform(fixture);
  await letFlushGo(fixture);
  assertEquals(await second, END + 1);
  await file.close();
});

Deno.test("held: a durable append with a full disk is no failed flush behind a hole at the end", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  await begin(fixture);
  const before = file.append(data(2));
  await turn(fixture);
  const behind = file.append(data(3));
  await checkHeld(fixture, [`writev ${END + 1} 2`, `writev ${END + 3} 3`]);
  for (const append of [before, behind]) {
    await complete(fixture, -ENOSPC);
    assertEquals((await errorOf(append)).code, "ENOSPC");
  }
  const empty = file.append([], DURABLE);
  await letFlushGo(fixture);
  assertEquals(await empty, END + 3);
  const last = file.append(data(4), DURABLE);
  await checkHeld(fixture, [`writev ${END + 3} 4 durably`]);
  await complete(fixture, -ENOSPC);
  const error = await errorOf(last);
  assertEquals([error.code, error.message.includes("sync()")], ["ENOSPC", false]);
  await file.close();
});

Deno.test("held: a durable append with a full disk is a failed flush where the file has grown", async () => {
  await using fixture = await openHeld();
  const { first } = await beginDurably(fixture);
  await Deno.writeFile(fixture.file.path, data(1), { append: true });
  await complete(fixture, -ENOSPC);
  const { message } = await errorOf(first);
  assert(message.endsWith(`(ENOSPC); close it, ${REMEDY}`), message);
  await checkCloses(fixture, "ENOSPC");
});

Deno.test("held: a durable append that fails is a failed flush where the file was cut meanwhile", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const { first } = await beginDurably(fixture);
  await Deno.writeFile(file.path, data(1), { append: true });
  await file.truncate(1);
  await complete(fixture, -EIO);
  const { message } = await errorOf(first);
  assert(message.endsWith(`(EIO); close it, ${REMEDY}`), message);
  await checkCloses(fixture, "EIO");
});

Deno.test("held: a durable append that the system does not know is a write and a flush", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const { first } = await beginDurably(fixture);
  await complete(fixture, -EOPNOTSUPP);
  await checkHeld(fixture, [`writev ${END + 1} 1`]);
  await perform(fixture);
  await letFlushGo(fixture);
  assertEquals(await first, END + 1);
  const second = file.append(data(2), DURABLE);
  await checkHeld(fixture, [`writev ${END + 2} 2`]);
  await perform(fixture);
  await complete(fixture, 0);
  assertEquals(await second, END + 2);
});

Deno.test("held: the rest of a durable append is written durably", async () => {
  await using fixture = await openHeld();
  await begin(fixture);
  const appended = fixture.file.append(data(9), DURABLE);
  await heldIos(fixture, 1);
  await complete(fixture, 4);
  await checkHeld(fixture, [`writev ${END + 5} 5 durably`]);
  await perform(fixture);
  assertEquals(await appended, END + 1);
});

Deno.test("held: a signal ends a durable append that waits for another one, and it is not written", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const { first } = await beginDurably(fixture);
  const end = new AbortController();
  const given = file.append(data(2), { durable: true, signal: end.signal });
  const third = file.append(data(3), DURABLE);
  await turn(fixture);
  await giveUp(end, given);
  await perform(fixture);
  assertEquals(await first, END + 1);
  await checkHeld(fixture, [`writev ${END + 2} 3 durably`]);
  await perform(fixture);
  assertEquals(await third, END + 2);
});

Deno.test("held: the end of a block tells of a durable append that failed after it was given up", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  await begin(fixture);
  const end = new AbortController();
  const given = file.append(data(2), { durable: true, signal: end.signal });
  await heldIos(fixture, 1);
  await giveUp(end, given);
  await Deno.writeFile(file.path, data(2), { append: true });
  await complete(fixture, -EIO);
  await turn(fixture);
  assertEquals((await errorOf(file[Symbol.asyncDispose]())).code, "EIO");
});

Deno.test("held: a durable append that fails lets go those that waited for it", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const { first } = await beginDurably(fixture);
  const second = file.append(data(2), DURABLE);
  await complete(fixture, -EINVAL);
  assertEquals((await errorOf(first)).code, "EINVAL");
  await checkHeld(fixture, [`writev ${END + 1} 2`]);
  await perform(fixture);
  await letFlushGo(fixture);
  assertEquals(await second, END + 1);
});

Deno.test("held: appendSync() flushes by itself beside a durable append", async () => {
  const method = new HeldMethod();
  await using fixture = await openHeld({}, method);
  const { first } = await beginDurably(fixture);
  assertEquals(fixture.file.appendSync(data(3), DURABLE), END + 2);
  await until(() => method.held(fixture.aio).length === 0, "the one before is waited for as well");
  assertEquals(await first, END + 1);
});

Deno.test("held: close() waits for durable appends that are not issued yet", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  const { first } = await beginDurably(fixture);
  const second = file.append(data(2), DURABLE);
  await turn(fixture);
  const closed = file.close();
  await perform(fixture);
  await perform(fixture);
  await closed;
  assertEquals(await Promise.all([first, second]), [END + 1, END + 2]);
});
