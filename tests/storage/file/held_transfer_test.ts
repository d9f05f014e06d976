/**
 * held_transfer_test.ts: the friendly layer over IOs that a test completes as it likes: short,
 * interrupted, failed, late, in any order, as a healthy disk never does.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { SystemError } from "../../../core/mod.ts";
import type { ManyTransfersError } from "../../../mod.ts";
import { fileContent, type Fixture } from "../../support/core.ts";
import { contentAt } from "../../support/prng.ts";
import { complete, heldNow, perform, turn, withHeld } from "../../support/held_transfers.ts";
import { errorOf } from "../../support/system_errors.ts";

const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;
const ENOSPC = 28;

/** More than any bounded number of tries. */
const TRIES_MAX = 5_000;

/** A buffer in the arena, and one that is bounced. */
function buffersOf(fixture: Fixture, bytes: number): Uint8Array[] {
  return [fixture.aio.alloc(bytes), new Uint8Array(bytes)];
}

Deno.test("held: reads of one turn are submitted together at its end", () =>
  withHeld(async (fixture) => {
    const { file, held } = fixture;
    const reads = [0, 1, 2].map((i) => file.readAt(new Uint8Array(10), i * 10));
    assertEquals(held.submissions, []);
    assertEquals(await heldNow(fixture), ["readv 0 10", "readv 10 10", "readv 20 10"]);
    assertEquals(held.submissions, [3]);
    held.performAll(fixture.aio);
    assertEquals(await Promise.all(reads), [10, 10, 10]);
  }));

Deno.test("held: readAt() that comes short goes on behind what it has, and ends at 0", () =>
  withHeld(async (fixture) => {
    for (const buffer of buffersOf(fixture, 100)) {
      const reading = fixture.file.readAt(buffer, 1_000);
      assertEquals(await heldNow(fixture), ["readv 1000 100"]);
      await complete(fixture, 30);
      assertEquals(await heldNow(fixture), ["readv 1030 70"]);
      await complete(fixture, 20);
      assertEquals(await heldNow(fixture), ["readv 1050 50"]);
      await complete(fixture, 0);
      assertEquals(await reading, 50);
    }
  }));

Deno.test("held: readAt() that comes short and then whole has all its bytes in place", () =>
  withHeld(async (fixture) => {
    for (const buffer of buffersOf(fixture, 100)) {
      const reading = fixture.file.readAt(buffer, 1_000);
      await turn(fixture);
      await complete(fixture, 40);
      await perform(fixture);
      assertEquals(await reading, 100);
      assertEquals(buffer.slice(40), fileContent(1_040, 60));
    }
  }));

Deno.test("held: readAt() of several buffers goes on in the middle of one", () =>
  withHeld(async (fixture) => {
    const buffers = [10, 20, 30].map((bytes) => fixture.aio.alloc(bytes).fill(0));
    const reading = fixture.file.readAt(buffers, 0);
    assertEquals(await heldNow(fixture), ["readv 0 60"]);
    await complete(fixture, 15);
    assertEquals(await heldNow(fixture), ["readv 15 45"]);
    await perform(fixture);
    assertEquals(await reading, 60);
    assertEquals(buffers[1]?.slice(5), fileContent(15, 15));
    assertEquals(buffers[2]?.slice(), fileContent(30, 30));
    assertEquals(buffers[0]?.slice(), new Uint8Array(10));
  }));

Deno.test("held: writeAt() that comes short goes on behind what it has", () =>
  withHeld(async (fixture) => {
    for (const buffer of buffersOf(fixture, 100)) {
      buffer.set(contentAt(3, 0, 100));
      const writing = fixture.file.writeAt(buffer, 1_000);
      await complete(fixture, 30);
      assertEquals(await heldNow(fixture), ["writev 1030 70"]);
      await perform(fixture);
      assertEquals(await writing, 100);
      const back = new Uint8Array(100);
      const reading = fixture.file.readAt(back, 1_000);
      await perform(fixture);
      await reading;
      assertEquals(back.subarray(30), contentAt(3, 30, 70));
    }
  }));

Deno.test("held: writeAt() that gets nowhere is WriteZero, and tells how far it got", () =>
  withHeld(async (fixture) => {
    const { file } = fixture;
    for (const buffer of buffersOf(fixture, 100)) {
      const writing = assertRejects(() => file.writeAt(buffer, 1_000), Deno.errors.WriteZero);
      await complete(fixture, 30);
      await complete(fixture, 0);
      const error = await writing as Error as SystemError;
      assertEquals(
        error.message,
        `Cannot write 100 bytes at offset 1000 of ${JSON.stringify(file.path)}: ` +
          "wrote only 30 of 100 bytes",
      );
      assertEquals([error.bytesWritten, error.offset, error.length], [30, 1_000, 100]);
      assertEquals([error.path, error.syscall], [file.path, "pwritev"]);
    }
  }));

Deno.test("held: writeAt() that fails after a short one tells bytesWritten", () =>
  withHeld(async (fixture) => {
    for (const buffer of buffersOf(fixture, 100)) {
      const writing = errorOf(fixture.file.writeAt(buffer, 1_000));
      await complete(fixture, 30);
      await complete(fixture, -ENOSPC);
      const error = await writing;
      assertEquals([error.code, error.bytesWritten], ["ENOSPC", 30]);
      assertEquals([error.offset, error.length], [1_000, 100]);
    }
  }));

Deno.test("held: readAt() and writeAt() that are interrupted or find no room are made again", () =>
  withHeld(async (fixture) => {
    const { file } = fixture;
    for (const buffer of buffersOf(fixture, 100)) {
      for (const errno of [EINTR, EAGAIN]) {
        const reading = file.readAt(buffer, 1_000);
        for (let i = 0; i < 5; i++) await complete(fixture, -errno);
        assertEquals(await heldNow(fixture), ["readv 1000 100"]);
        await perform(fixture);
        assertEquals(await reading, 100);
        assertEquals(buffer.slice(), fileContent(1_000, 100));
        const writing = file.writeAt(buffer, 1_000);
        await complete(fixture, 10);
        await complete(fixture, -errno);
        await perform(fixture);
        assertEquals(await writing, 100);
      }
    }
  }));

Deno.test("held: an interruption without an end is reported as what it is", () =>
  withHeld(async (fixture) => {
    const { aio, held } = fixture;
    let isSettled = false;
    const reading = assertRejects(
      () => fixture.file.readAt(aio.alloc(100), 0).finally(() => isSettled = true),
      Deno.errors.Interrupted,
    );
    let tries = 0;
    while (!isSettled && tries < TRIES_MAX) {
      const [index] = held.held(aio);
      if (index === undefined) {
        await new Promise((resolve) => queueMicrotask(() => resolve(null)));
        if (tries > 0 && held.held(aio).length === 0) await turn(fixture);
        continue;
      }
      held.complete(aio, index, -EINTR);
      tries++;
    }
    const error = await reading as Error as SystemError;
    assertEquals([error.code, error.errno], ["EINTR", EINTR]);
    assert(tries > 10, `${tries} tries`);
  }));

Deno.test("held: an error of one read is its own, the others are good, in any order", () =>
  withHeld(async (fixture) => {
    const { aio, file, held } = fixture;
    const buffers = [0, 1, 2, 3].map(() => new Uint8Array(50));
    const settled = Promise.allSettled(buffers.map((buffer, i) => file.readAt(buffer, i * 50)));
    await turn(fixture);
    const [first, second, third, fourth] = held.held(aio);
    held.perform(aio, fourth!);
    held.complete(aio, second!, -EIO);
    held.perform(aio, first!);
    held.perform(aio, third!);
    const outcomes = await settled;
    assertEquals(outcomes.map(({ status }) => status === "fulfilled"), [true, false, true, true]);
    for (const i of [0, 2, 3]) assertEquals(buffers[i], fileContent(i * 50, 50));
    assertEquals(buffers[1], new Uint8Array(50), "the one that failed");
  }));

Deno.test("held: sync() that fails is reported and never made again", () =>
  withHeld(async (fixture) => {
    const { file } = fixture;
    for (const [errno, code] of [[EIO, "EIO"], [EINTR, "EINTR"], [ENOSPC, "ENOSPC"]] as const) {
      for (const [name, syscall] of [["sync", "fsync"], ["syncData", "fdatasync"]] as const) {
        const syncing = assertRejects(() => file[name](), Error);
        assertEquals(await heldNow(fixture), [`${syscall} 0 0`]);
        await complete(fixture, -errno);
        const error = await syncing as Error as SystemError;
        assertEquals([error.code, error.syscall, error.path], [code, syscall, file.path]);
        assert(error.message.startsWith(`Cannot sync ${JSON.stringify(file.path)}: `));
        assertEquals(await heldNow(fixture), []);
      }
    }
  }));

Deno.test("held: more reads than handles wait for one, first come, first served", () =>
  withHeld(async (fixture) => {
    const { file } = fixture;
    const order: number[] = [];
    const reads = Array.from(
      { length: 12 },
      (_, i) => file.readAt(new Uint8Array(10), i).then(() => order.push(i)),
    );
    assertEquals((await heldNow(fixture)).length, 4);
    for (let i = 0; i < 12; i++) await perform(fixture);
    await Promise.all(reads);
    assertEquals(order, Array.from({ length: 12 }, (_, i) => i));
  }));

Deno.test("held: writes that wait for room start in the order of their calls", () =>
  withHeld(async (fixture) => {
    const { aio, file, held } = fixture;
    const buffer = new Uint8Array(10_000);
    const writes = Array.from({ length: 40 }, (_, i) => file.writeAt(buffer, i * 10_000));
    const offsets: number[] = [];
    for (let i = 0; i < 40; i++) {
      await turn(fixture);
      const [index] = held.held(aio);
      offsets.push(backendOf(aio).handleOf(index!).operationData.offset);
      held.perform(aio, index!);
    }
    assertEquals(offsets, offsets.map((_, i) => i * 10_000));
    assertEquals(await Promise.all(writes), new Array(40).fill(10_000));
  }, { arenaBytes: 65_536 }));

Deno.test("held: readAtSync() while others are in flight disturbs none of them", () =>
  withHeld(async (fixture) => {
    const { aio, file } = fixture;
    const buffers = [0, 1, 2].map(() => new Uint8Array(10));
    const reads = buffers.map((buffer, i) => file.readAt(buffer, i * 10));
    await turn(fixture);
    const view = aio.alloc(50);
    assertEquals(file.readAtSync(view, 500), 50);
    assertEquals(view.slice(), fileContent(500, 50));
    const plain = new Uint8Array(50);
    assertEquals(file.readAtSync(plain, 700), 50);
    assertEquals(plain, fileContent(700, 50));
    assertEquals((await heldNow(fixture)).length, 3);
    for (let i = 0; i < 3; i++) await perform(fixture);
    assertEquals(await Promise.all(reads), [10, 10, 10]);
    for (const [i, buffer] of buffers.entries()) assertEquals(buffer, fileContent(i * 10, 10));
  }));

Deno.test("held: readAtSync() with all handles in flight waits for one, blocking", () =>
  withHeld(async (fixture) => {
    const { file } = fixture;
    const reads = [0, 1, 2, 3].map((i) => file.readAt(new Uint8Array(10), i));
    const buffer = new Uint8Array(10);
    assertEquals(file.readAtSync(buffer, 50), 10);
    assertEquals(buffer, fileContent(50, 10));
    for (let i = 0; i < 3; i++) await perform(fixture);
    assertEquals(await Promise.all(reads), [10, 10, 10, 10]);
  }));

Deno.test("held: readAtMany() without a handle fails alone of a buffer that goes", () =>
  withHeld(async (fixture) => {
    const { file } = fixture;
    const others = [0, 1, 2, 3].map((i) => file.readAt(new Uint8Array(10), i));
    await turn(fixture);
    const [gone, kept] = [new Uint8Array(16), new Uint8Array(16)];
    const list = [{ buffer: gone, offset: 0 }, { buffer: kept, offset: 5 }];
    const reading = assertRejects(() => file.readAtMany(list), TypeError, "was transferred");
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    for (let i = 0; i < 5; i++) await perform(fixture);
    await Promise.all(others);
    const { results } = await reading as TypeError & ManyTransfersError;
    assertEquals([results, kept], [[null, 16], fileContent(5, 16)]);
  }));

/** What can become of a buffer that a transfer of 8 bytes has, and how long it is then. */
const CHANGES: readonly (readonly [string, (buffer: ArrayBuffer) => void])[] = [
  ["shrinks", (buffer) => buffer.resize(2)],
  ["is transferred", (buffer) => void buffer.transfer()],
];

/** Begins one transfer of a buffer that can change its size. */
function begin(
  { file }: Fixture,
  name: "readAt" | "readAtMany" | "writeAt" | "writeAtMany",
): { memory: ArrayBuffer; done: Promise<number> } {
  const memory = new ArrayBuffer(8, { maxByteLength: 16 });
  const buffer = new Uint8Array(memory);
  const offset = 100;
  const done = name === "readAt" || name === "writeAt"
    ? file[name](buffer, offset)
    : file[name]([{ buffer, offset }]).then(([bytes]) => bytes!);
  return { memory, done };
}

for (const name of ["writeAt", "writeAtMany"] as const) {
  for (const [what, change] of CHANGES) {
    for (const [how, result] of [["cuts short", 4], ["interrupts", -EINTR]] as const) {
      Deno.test(`held: ${name}() that the system ${how} rejects if its buffer ${what}`, () =>
        withHeld(async (fixture) => {
          const { memory, done } = begin(fixture, name);
          await turn(fixture);
          change(memory);
          const rejected = assertRejects(() => done, TypeError, "became smaller");
          await complete(fixture, result);
          await turn(fixture);
          fixture.held.performAll(fixture.aio);
          const { bytesWritten, length } = await rejected as TypeError & SystemError;
          assertEquals([bytesWritten, length], [Math.max(0, result), 8]);
        }));
    }
  }
}

for (const name of ["readAt", "readAtMany"] as const) {
  Deno.test(`held: ${name}() of a buffer that grows fills what it was`, () =>
    withHeld(async (fixture) => {
      const { memory, done } = begin(fixture, name);
      await turn(fixture);
      memory.resize(16);
      await perform(fixture);
      assertEquals(await done, 8);
      const expected = new Uint8Array(16);
      expected.set(fileContent(100, 8));
      assertEquals(new Uint8Array(memory), expected);
    }));
}
