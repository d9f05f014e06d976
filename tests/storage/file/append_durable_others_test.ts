/**
 * append_durable_others_test.ts: durable appends to a file that others have open as well: each
 * waits for a flush then. The test completes their IOs one by one.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { begin, checkHeld, DURABLE, letFlushGo } from "../../support/appends/durable_appends.ts";
import { data } from "../../support/appends/held_appends.ts";
import { FILE_BYTES as END, type Fixture, openHeld } from "../../support/core.ts";
import { openAgain } from "../../support/flush_failures.ts";
import { perform } from "../../support/held_transfers.ts";

/**
 * Another thread comes right after this one has looked next whether there are others, and takes a
 * place.
 */
function comeAfterLook({ aio, file }: Fixture, bytes: number): void {
  const { ends } = backendOf(aio).files;
  const look = ends.mayOthersAppend.bind(ends);
  ends.mayOthersAppend = (slot) => {
    ends.mayOthersAppend = look;
    const mayOthersAppend = look(slot);
    ends.reserve(file.token, bytes);
    ends.started();
    return mayOthersAppend;
  };
}

Deno.test("held: a durable append that others may append beside is a write and a flush", async () => {
  await using fixture = await openHeld();
  await begin(fixture);
  const other = await openAgain(fixture);
  const first = fixture.file.append(data(2), DURABLE);
  await checkHeld(fixture, [`writev ${END + 1} 2`]);
  await perform(fixture);
  await letFlushGo(fixture);
  assertEquals(await first, END + 1);
  await other.close();
  // It may have appended until then.
  const second = fixture.file.append(data(3), DURABLE);
  await checkHeld(fixture, [`writev ${END + 3} 3`]);
  await perform(fixture);
  await letFlushGo(fixture);
  assertEquals(await second, END + 3);
  const third = fixture.file.append(data(4), DURABLE);
  await checkHeld(fixture, [`writev ${END + 6} 4 durably`]);
  await perform(fixture);
  assertEquals(await third, END + 6);
});

Deno.test("held: a durable append beside another AioFile of the same thread is a write and a flush", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await begin(fixture);
  await using other = aio.attachFile(file.token);
  const plain = other.append(data(2));
  await checkHeld(fixture, [`writev ${END + 1} 2`]);
  const first = file.append(data(3), DURABLE);
  await checkHeld(fixture, [`writev ${END + 1} 2`, `writev ${END + 3} 3`]);
  const [before, own] = held.held(aio);
  held.perform(aio, own!);
  await checkHeld(fixture, [`writev ${END + 1} 2`, "fdatasync 0 0"]);
  held.complete(aio, held.held(aio)[1]!, 0);
  assertEquals(await first, END + 3);
  held.perform(aio, before!);
  assertEquals(await plain, END + 1);
  // That flush began before the other one's append was written.
  const second = file.append(data(4), DURABLE);
  await checkHeld(fixture, [`writev ${END + 6} 4`]);
  await perform(fixture);
  await letFlushGo(fixture);
  assertEquals(await second, END + 6);
});

Deno.test("held: a durable append whose place another thread was faster to take waits for a flush", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  await begin(fixture);
  comeAfterLook(fixture, 5);
  const first = file.append(data(2), DURABLE);
  await checkHeld(fixture, [`writev ${END + 6} 2 durably`]);
  await perform(fixture);
  await letFlushGo(fixture);
  assertEquals(await first, END + 6);
  const second = file.append(data(3), DURABLE);
  await checkHeld(fixture, [`writev ${END + 8} 3 durably`]);
  await perform(fixture);
  assertEquals(await second, END + 8);
});

Deno.test("held: a flush makes no append durable whose thread comes right before it begins", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  await begin(fixture);
  const plain = file.append(data(2));
  await perform(fixture);
  assertEquals(await plain, END + 1);
  comeAfterLook(fixture, 5);
  const first = file.append(data(3), DURABLE);
  await checkHeld(fixture, [`writev ${END + 3} 3`]);
  await perform(fixture);
  await letFlushGo(fixture);
  assertEquals(await first, END + 3);
  const second = file.append(data(4), DURABLE);
  await checkHeld(fixture, [`writev ${END + 11} 4`]);
  await perform(fixture);
  await letFlushGo(fixture);
  assertEquals(await second, END + 11);
});
