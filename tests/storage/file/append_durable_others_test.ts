/**
 * append_durable_others_test.ts: durable appends to a file that others have open as well: each
 * waits for a flush then. The test completes their IOs one by one.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import {
  appendAndFlush,
  appendDurably,
  begin,
  checkHeld,
  DURABLE,
  flushBefore,
  letFlushGo,
} from "../../support/appends/durable_appends.ts";
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
  await appendAndFlush(fixture, 2, END + 1);
  await other.close();
  // It may have appended until then.
  await appendAndFlush(fixture, 3, END + 3);
  await appendDurably(fixture, 4, END + 6);
});

Deno.test("held: a durable append beside another AioFile of the same thread is a write and a flush", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  await begin(fixture);
  await using other = aio.attachFile(file.token);
  const plain = other.append(data(2));
  await flushBefore(fixture, plain);
  // That flush began before the other one's append was written.
  await appendAndFlush(fixture, 4, END + 6);
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
  await appendDurably(fixture, 3, END + 8);
});

Deno.test("held: a flush makes no append durable whose thread comes right before it begins", async () => {
  await using fixture = await openHeld();
  const { file } = fixture;
  await begin(fixture);
  const plain = file.append(data(2));
  await perform(fixture);
  assertEquals(await plain, END + 1);
  comeAfterLook(fixture, 5);
  await appendAndFlush(fixture, 3, END + 3);
  await appendAndFlush(fixture, 4, END + 11);
});
