/**
 * held_end_test.ts: what becomes of IO in flight when its file closes, its view is freed or its
 * signal aborts.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { FILE_BYTES as END } from "../../support/core.ts";
import { heldNow, perform, turn, withHeld } from "../../support/held_transfers.ts";
import { until } from "../../support/patience.ts";

Deno.test("held: close() waits for what is in flight, and so does closing the Aio", () =>
  withHeld(async (fixture) => {
    const { aio, file } = fixture;
    const reading = file.readAt(new Uint8Array(10), 0);
    await turn(fixture);
    let isClosed = false;
    const closing = file.close().then(() => isClosed = true);
    await turn(fixture);
    await turn(fixture);
    assert(!isClosed);
    const other = assertThrows(() => file.token, Deno.errors.BadResource);
    assert(other.message.endsWith("the file is closed"));
    await perform(fixture);
    assertEquals(await reading, 10);
    await closing;
    await aio.close();
  }));

Deno.test("held: closeSync() with a read in flight is Busy", () =>
  withHeld(async (fixture) => {
    const { file } = fixture;
    const reading = file.readAt(new Uint8Array(10), 0);
    await turn(fixture);
    const error = assertThrows(() => file.closeSync(), Deno.errors.Busy);
    assertEquals(
      error.message,
      `Cannot close ${JSON.stringify(file.path)} at once while 1 operations are pending: ` +
        "await close() instead",
    );
    await perform(fixture);
    await reading;
    file.closeSync();
  }));

Deno.test("held: free() of a view in flight is Busy, and fine afterwards", () =>
  withHeld(async (fixture) => {
    const { aio, file } = fixture;
    const view = aio.alloc(5_000);
    const reading = file.readAt(view.subarray(4_500, 4_600), 0);
    const message = `Cannot free the view at byte ${view.byteOffset} of the arena ` +
      "while an IO uses it: wait for the IO first";
    assertEquals(assertThrows(() => aio.free(view), Deno.errors.Busy).message, message);
    await turn(fixture);
    assertEquals(assertThrows(() => aio.free(view), Deno.errors.Busy).message, message);
    await perform(fixture);
    await reading;
    aio.free(view);
  }));

Deno.test("held: free() of a view is Busy while a write has yet to hear it was cut short", () =>
  withHeld(async (fixture) => {
    const { aio, file, held } = fixture;
    const view = aio.alloc(100);
    const writing = file.writeAt(view, 0);
    await turn(fixture);
    held.complete(aio, held.held(aio)[0]!, 40);
    assertThrows(() => aio.free(view), Deno.errors.Busy, "while an IO uses it");
    await until(() => held.held(aio).length === 1, "the rest is held");
    await perform(fixture);
    assertEquals(await writing, 100);
    aio.free(view);
  }));

Deno.test("held: free() of a view that a bounced read will fill is Busy", () =>
  withHeld(async (fixture) => {
    const { aio, file } = fixture;
    const view = aio.alloc(100);
    const reading = file.readAt([view, new Uint8Array(10)], 0);
    await turn(fixture);
    assertThrows(() => aio.free(view), Deno.errors.Busy, "while an IO uses it");
    await perform(fixture);
    await reading;
    aio.free(view);
  }));

Deno.test("held: an abort rejects at once, and the memory is kept until the kernel is done", () =>
  withHeld(async (fixture) => {
    const { aio, file } = fixture;
    const { freeBytes } = backendOf(aio).arena;
    const controller = new AbortController();
    const plain = new Uint8Array(100);
    const view = aio.alloc(100);
    const { signal } = controller;
    const reads = [plain, view].map((buffer) => {
      const reading = file.readAt(buffer, 0, { signal });
      return reading.then(() => "read", (reason) => reason);
    });
    await turn(fixture);
    controller.abort("enough");
    assertEquals(await Promise.all(reads), ["enough", "enough"]);
    assertEquals((await heldNow(fixture)).length, 2, "they are still in flight");
    assertEquals(
      backendOf(aio).arena.freeBytes,
      freeBytes - 2 * 4096,
      "the bounce page and the view",
    );
    assertThrows(() => aio.free(view), Deno.errors.Busy);
    let isClosed = false;
    const closing = file.close().then(() => isClosed = true);
    await turn(fixture);
    assert(!isClosed, "the descriptor outlives what is in flight on it");
    await perform(fixture);
    await perform(fixture);
    await closing;
    assertEquals(plain, new Uint8Array(100), "the buffer is its owner's again");
    aio.free(view);
    assertEquals(backendOf(aio).arena.freeBytes, freeBytes);
  }));

Deno.test("held: an abort of a read that has no handle yet never starts it", () =>
  withHeld(async (fixture) => {
    const { file } = fixture;
    const reads = [0, 1, 2, 3].map((i) => file.readAt(new Uint8Array(10), i));
    const controller = new AbortController();
    const { signal } = controller;
    const aborted = file.readAt(new Uint8Array(10), 77, { signal }).catch((reason) => reason);
    const syncing = file.sync({ signal }).catch((reason) => reason);
    await turn(fixture);
    controller.abort("enough");
    assertEquals([await aborted, await syncing], ["enough", "enough"]);
    for (let i = 0; i < 4; i++) await perform(fixture);
    await Promise.all(reads);
    assertEquals(await heldNow(fixture), [], "nothing at offset 77");
  }));

Deno.test("held: a read that was short goes on after close() of its file", () =>
  withHeld(async (fixture) => {
    const { aio, file } = fixture;
    const other = await aio.openFile(file.path, { read: true });
    const reading = file.readAt(new Uint8Array(4096), END - 100);
    // They take all handles, so that the rest waits for one.
    const others = [0, 1, 2, 3].map((i) => other.readAt(new Uint8Array(10), i));
    let isClosed = false;
    const closing = file.close().then(() => isClosed = true);
    await perform(fixture);
    await turn(fixture);
    assert(!isClosed, "the rest is pending");
    for (let i = 0; i < 5; i++) await perform(fixture);
    assertEquals(await reading, 100);
    await Promise.all([closing, ...others]);
    await other.close();
  }));

Deno.test("held: a transfer that was started goes on after close() of its file", () =>
  withHeld(async (fixture) => {
    const { aio, file } = fixture;
    const views = Array.from({ length: 40 }, () => aio.alloc(10));
    const reading = file.readAt(views, 0);
    const closing = file.close();
    for (let i = 0; i < 3; i++) await perform(fixture);
    assertEquals(await reading, 400);
    await closing;
  }));
