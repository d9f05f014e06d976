/**
 * append_beside_writes_test.ts: appends beside writes that are under way, in all their forms: none
 * goes where such a write has still to go, whatever sets the end back meanwhile.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import { begin, giveUp } from "../../support/appends/held_appends.ts";
import { FILE_BYTES as END, type Fixture, openHeld } from "../../support/core.ts";
import { heldIos, POINT } from "../../support/flush_failures.ts";
import { complete, heldNow, perform, turn } from "../../support/held_transfers.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { until } from "../../support/patience.ts";
import { errorOf } from "../../support/system_errors.ts";
import { mountTmpfs, tempDir, tmpfsAvailable } from "../../support/temp.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";

const ENOSPC = 28;
/** Room for pieces of 16 KiB. */
const SMALL = { arenaBytes: 64 * 1024 };
/** Of several pieces then. */
const LONG = 100_000;
const DISK_BYTES = 64 * 1024;

/** An append of three bytes. */
const APPENDED = new Uint8Array(3).fill(3);

/** Lets all go, and looks whether an append is where its promise says. */
async function checkAppended(
  fixture: Fixture,
  appended: Promise<number>,
  others: readonly Promise<unknown>[],
): Promise<number> {
  fixture.held.letGo(fixture.aio);
  const at = await appended;
  await Promise.all(others);
  const content = await Deno.readFile(fixture.file.path);
  assertEquals(content.subarray(at, at + APPENDED.length), APPENDED);
  return at;
}

Deno.test("held: the first append() goes behind a writeAt() of several pieces that has only begun", async () => {
  await using fixture = await openHeld(SMALL);
  const written = fixture.file.writeAt(new Uint8Array(LONG), END);
  await heldIos(fixture, 1);
  const appended = fixture.file.append(APPENDED);
  await heldIos(fixture, 2);
  assertEquals(await checkAppended(fixture, appended, [written]), END + LONG);
});

const WAITING: Readonly<Record<string, (file: Fixture["file"]) => Promise<unknown>>> = {
  "writeAt()": (file) => file.writeAt(new Uint8Array(10), END),
  // Not every file system can do that, which makes no difference here.
  "zeroRange()": (file) => file.zeroRange(END, 10).catch(() => {}),
};

for (const [name, write] of Object.entries(WAITING)) {
  Deno.test(`held: the first append() goes behind a ${name} of another thread that waits for a handle`, async () => {
    await using fixture = await openHeld({ maxConcurrency: 1 });
    const { aio, file, held } = fixture;
    await using worker = await AttachedWorker.start(aio, file);
    const read = file.readAt(new Uint8Array(1), 0);
    await heldIos(fixture, 1);
    const written = write(file);
    const appended = worker.ask<number>({ what: "append", bytes: APPENDED, durable: false });
    const [, append] = await heldIos(fixture, 2);
    held.perform(aio, append!);
    assertEquals(await appended, END + 10);
    await checkAppended(fixture, appended, [read, written]);
  });
}

Deno.test("held: writeAtSync() that waits for a handle counts as a write that has begun", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { aio, file, held } = fixture;
  const read = file.readAt(new Uint8Array(1), 0);
  const [io] = await heldIos(fixture, 1);
  const { ends } = backendOf(aio).files;
  const { slot } = insideOf(file).slot;
  const { acquire } = aio;
  let reached = 0;
  aio.acquire = (...args) => {
    reached = ends.writesEnd(slot);
    held.perform(aio, io!);
    return acquire.apply(aio, args);
  };
  file.writeAtSync(new Uint8Array(10), END);
  assertEquals([reached, ends.writesEnd(slot), await read], [END + 10, 0, 1]);
});

Deno.test("held: append() goes where the file ends after a zeroRange() that waited in vain", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { file } = fixture;
  await begin(fixture);
  const read = file.readAt(new Uint8Array(1), 0);
  await heldIos(fixture, 1);
  const end = new AbortController();
  const zeroed = file.zeroRange(END, 1000, { signal: end.signal });
  await giveUp(end, zeroed);
  const { ends } = backendOf(fixture.aio).files;
  await until(() => ends.endOf(insideOf(file).slot.slot) === END + 1, "the end goes back");
  await perform(fixture);
  assertEquals(await read, 1);
});

for (const isFirst of [true, false]) {
  const name = isFirst ? "the first append()" : "append()";
  Deno.test(`held: ${name} goes behind all of a writeAtMany() of which some have begun`, async () => {
    await using fixture = await openHeld({ maxConcurrency: 4 });
    if (!isFirst) await begin(fixture);
    const buffer = new Uint8Array(4096);
    const list = Array.from({ length: 8 }, (_, i) => ({ buffer, offset: END + i * 4096 }));
    const written = fixture.file.writeAtMany(list);
    await heldIos(fixture, 4);
    const appended = fixture.file.append(APPENDED);
    await turn(fixture);
    assertEquals(await checkAppended(fixture, appended, [written]), END + 8 * 4096);
  });
}

Deno.test("held: truncate() leaves the places of all long appends", async () => {
  await using fixture = await openHeld(SMALL);
  const { file } = fixture;
  await begin(fixture);
  const long = [7, 8].map((byte) => file.append(new Uint8Array(LONG).fill(byte)));
  await heldIos(fixture, 2);
  await file.truncate(10);
  const appended = file.append(APPENDED);
  await heldIos(fixture, 3);
  assertEquals(await checkAppended(fixture, appended, long), END + 1 + 2 * LONG);
  await file.truncate(10);
  assertEquals(await file.append(APPENDED), 10, "once they are over");
});

Deno.test("held: truncate() leaves the place of an append of which the system has done a part", async () => {
  await using fixture = await openHeld({ maxConcurrency: 2 });
  const { file, held, aio } = fixture;
  await begin(fixture);
  const first = file.append(new Uint8Array(1000));
  const [write] = await heldIos(fixture, 1);
  const reads = [0, 1].map((offset) => file.readAt(new Uint8Array(1), offset));
  await heldIos(fixture, 2);
  held.complete(aio, write!, 5);
  await heldIos(fixture, 2);
  await file.truncate(10);
  const appended = file.append(APPENDED);
  await turn(fixture);
  assertEquals(await checkAppended(fixture, appended, [first, ...reads]), END + 1001);
});

for (const name of ["writeAt", "writeAtMany"] as const) {
  Deno.test(`held: ${name}() of a buffer that grows goes on over no append`, async () => {
    await using fixture = await openHeld();
    const { file } = fixture;
    await begin(fixture);
    const buffer = new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 }));
    const offset = END + 1;
    const written: Promise<number | number[]> = name === "writeAt"
      ? file.writeAt(buffer, offset)
      : file.writeAtMany([{ buffer, offset }]);
    await heldIos(fixture, 1);
    const appended = file.append(APPENDED);
    await heldIos(fixture, 2);
    buffer.buffer.resize(16);
    await complete(fixture, 4);
    await perform(fixture);
    assertEquals(await checkAppended(fixture, appended, [written]), offset + 8);
    assertEquals([await written].flat(), [8]);
  });
}

Deno.test("held: truncate() leaves the end behind a writeAt() of several pieces", async () => {
  await using fixture = await openHeld(SMALL);
  const { file } = fixture;
  await begin(fixture);
  const written = file.writeAt(new Uint8Array(LONG), END);
  await heldIos(fixture, 1);
  await file.truncate(10);
  const appended = file.append(APPENDED);
  await heldIos(fixture, 2);
  assertEquals(await checkAppended(fixture, appended, [written]), END + LONG);
});

Deno.test("held: allocate() that fails leaves the end behind a writeAt() of several pieces", async () => {
  await using fixture = await openHeld(SMALL);
  const { file, held, aio } = fixture;
  await begin(fixture);
  const written = file.writeAt(new Uint8Array(LONG), END);
  await heldIos(fixture, 1);
  const allocated = errorOf(file.allocate(0, 2 ** 20));
  const [, allocation] = await heldIos(fixture, 2);
  held.complete(aio, allocation!, -ENOSPC);
  assertEquals((await allocated).code, "ENOSPC");
  const appended = file.append(APPENDED);
  await heldIos(fixture, 2);
  assertEquals(await checkAppended(fixture, appended, [written]), END + LONG);
});

Deno.test("held: truncate() leaves the end behind a copyRangeTo() that goes on", async () => {
  await using fixture = await openHeld();
  const { aio, file: source } = fixture;
  const options = { read: true, write: true, create: true, dsync: true };
  await using target = await aio.openFile(`${source.path}.copy`, options);
  const copied = source.copyRangeTo(target, 0, 100, END);
  await heldIos(fixture, 1);
  await target.truncate(0);
  const appended = target.append(APPENDED);
  await turn(fixture);
  fixture.held.letGo(aio);
  assertEquals([await appended, await copied], [100 + END, END]);
  await target.close();
});

Deno.test("held: truncate() leaves the end behind a long writeAt() of another thread, until that dies", async () => {
  await using fixture = await openHeld(SMALL);
  const { aio, file } = fixture;
  await begin(fixture);
  const worker = await AttachedWorker.start(aio, file);
  worker.ask({ what: "write", bytes: new Uint8Array(LONG), offset: END }).catch(() => {});
  await heldIos(fixture, 1);
  await file.truncate(10);
  const appended = file.append(APPENDED);
  const [, own] = await heldIos(fixture, 2);
  fixture.held.perform(aio, own!);
  assertEquals(await appended, END + LONG);
  worker.end();
  await until(() => {
    backendOf(aio).reapDead();
    return aio.backends().length === 1;
  }, "the Worker is reaped");
  await file.truncate(10);
  fixture.held.letGo(aio);
  assertEquals(await file.append(APPENDED), 10);
});

Deno.test("held: append() that fails gives no place back that is another append's by then", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await begin(fixture);
  const { ends } = backendOf(aio).files;
  const { slot } = insideOf(file);
  const failed = errorOf(file.append(APPENDED));
  const [write] = await heldIos(fixture, 1);
  held.complete(aio, write!, -ENOSPC);
  // Before the task hears of it, another thread sets the end back, and appends there.
  assert(ends.tryReset(slot.slot, ends.askedVersion(slot.slot), END + 1));
  assertEquals(ends.reserve(slot, APPENDED.length), END + 1);
  await Deno.truncate(file.path, END + 1 + APPENDED.length);
  assertEquals((await failed).code, "ENOSPC");
  ends.started();
  assertEquals(ends.endOf(slot.slot), END + 1 + APPENDED.length);
  const next = file.append(APPENDED);
  await heldIos(fixture, 1);
  assertEquals(await checkAppended(fixture, next, []), END + 1 + APPENDED.length);
});

testEachMethod(
  "appendSync() that fails leaves no hole where the end was set back meanwhile",
  async (method) => {
    await using dir = await tempDir();
    await using aio = await openAio(method);
    const options = { read: true, write: true, create: true };
    await using file = await aio.openFile(dir.join("file"), options);
    assertEquals(file.appendSync(APPENDED), 0);
    const { ends } = backendOf(aio).files;
    const { slot } = insideOf(file).slot;
    let count = 0;
    aio.attachInjectionPoint(POINT, () => {
      count++;
      // It has not written any. A write of another thread has failed that was to reach further.
      Deno.truncateSync(file.path, 3);
      ends.raise(slot, 1000);
      const version = ends.askedVersion(slot);
      ends.tryReset(slot, version, Math.max(3, ends.writesEnd(slot)));
      return -ENOSPC;
    });
    const error = assertThrows(() => file.appendSync(APPENDED));
    aio.detachInjectionPoint(POINT);
    assertEquals(count, 1);
    assert(!(error as Error).message.includes("hole"), String(error));
    assertEquals(file.appendSync(APPENDED), 3);
  },
);

/** Starts a write as soon as the system has told a file's size, and before anybody hears of it. */
function whenMeasured(file: Fixture["file"], write: () => Promise<unknown>): Disposable {
  const { awaited } = insideOf(file).calls;
  const { stat } = awaited;
  let written: Promise<unknown> | null = null;
  awaited.stat = async (...args) => {
    const measured = await stat(...args);
    await (written ??= write());
    return measured;
  };
  return { [Symbol.dispose]: () => void (awaited.stat = stat) };
}

testEachMethod(
  "append() goes behind a writeAt() that came while truncate() set the end back",
  async (method) => {
    await using dir = await tempDir();
    await Deno.writeFile(dir.join("file"), new Uint8Array(5000));
    await using aio = await openAio(method);
    await using file = await aio.openFile(dir.join("file"), { read: true, write: true });
    await file.append(new Uint8Array(1));
    {
      using _ = whenMeasured(file, () => file.writeAt(new Uint8Array(100).fill(9), 500));
      await file.truncate(0);
    }
    assertEquals(await file.append(APPENDED), 600);
    assertEquals((await file.readAll()).subarray(500, 600), new Uint8Array(100).fill(9));
    // What was noted then is over.
    await file.truncate(5);
    assertEquals(await file.append(APPENDED), 5);
  },
);

testEachMethod("append() that first asks for the end heeds a truncate()", async (method) => {
  await using dir = await tempDir();
  await Deno.writeFile(dir.join("file"), new Uint8Array(5000));
  await using aio = await openAio(method);
  await using file = await aio.openFile(dir.join("file"), { read: true, write: true });
  using measured = whenMeasured(file, () => {
    measured[Symbol.dispose]();
    return file.truncate(10);
  });
  assertEquals(await file.append(APPENDED), 10);
});

Deno.test("held: a writeAt() that a signal ends does not leave the end behind it", async () => {
  await using fixture = await openHeld(SMALL);
  const { file, held, aio } = fixture;
  await begin(fixture);
  const end = new AbortController();
  const buffer = new Uint8Array(2 ** 27);
  const written = file.writeAt(buffer, END, { signal: end.signal });
  await heldIos(fixture, 1);
  await giveUp(end, written);
  assertEquals((await heldNow(fixture)).length, 1, "its first piece goes on");
  held.letGo(aio);
  const { ends } = backendOf(aio).files;
  const { slot } = insideOf(file).slot;
  await until(() => ends.endOf(slot) < END + buffer.length, "the end goes back");
  const at = await file.append(APPENDED);
  assert(at <= END + SMALL.arenaBytes, `${at}`);
});

testEachMethod(
  "append() does not go behind a write that has failed, of any form",
  async (method) => {
    await using disk = await mountTmpfs(DISK_BYTES);
    await using aio = await openAio(method);
    const options = { read: true, write: true, create: true };
    await using file = await aio.openFile(disk.join("file"), options);
    await file.append(new Uint8Array(1));
    const ballast = new Uint8Array(2 * DISK_BYTES);
    await assertRejects(() => Deno.writeFile(disk.join("ballast"), ballast));
    const one = new Uint8Array(1);
    const far = 2 ** 30;
    const many = [{ buffer: one, offset: 0 }, { buffer: one, offset: far }];
    const { signal } = new AbortController();
    const writes: readonly (() => Promise<unknown>)[] = [
      () => file.writeAt(one, far),
      () => file.writeAt([one, one], far),
      () => file.writeAt(one, far, { durable: true }),
      () => file.writeAt(one, far, { signal }),
      () => file.writeAtMany(many),
      () => file.writeAtMany(many, { signal }),
      () => Promise.try(() => file.writeAtSync(one, far)),
      () => Promise.try(() => file.writeAtSync([one, one], far)),
    ];
    for (const [i, write] of writes.entries()) {
      assertEquals((await errorOf(write())).code, "ENOSPC", `write ${i}`);
      assertEquals(await file.append(one), 1 + i, `after write ${i}`);
    }
  },
  tmpfsAvailable(),
);
