/**
 * append_durable_rest_test.ts: durable appends to a file that is larger than its end, as an append
 * has failed of which a part was written: its size does not tell whether another one has begun.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { AioSystemError } from "../../../core/mod.ts";
import {
  appendAndFlush,
  appendDurably,
  begin,
  checkHeld,
  DURABLE,
} from "../../support/appends/durable_appends.ts";
import { data } from "../../support/appends/held_appends.ts";
import { FILE_BYTES as END, type Fixture, openHeld } from "../../support/core.ts";
import { POINT } from "../../support/flush_failures.ts";
import { complete, perform } from "../../support/held_transfers.ts";
import { errorOf } from "../../support/system_errors.ts";

const ENOSPC = 28;

/** Has an append fail of which 8 bytes are written, and a durable one of 2 take its place. */
async function leaveRest(fixture: Fixture, isBlocking: boolean): Promise<void> {
  await begin(fixture);
  await (isBlocking ? failSync(fixture) : fail(fixture));
  await appendAndFlush(fixture, 2, END + 1);
}

async function fail(fixture: Fixture): Promise<void> {
  const { file } = fixture;
  const short = file.append(data(9));
  await Deno.writeFile(file.path, data(8), { append: true });
  await complete(fixture, 8);
  await complete(fixture, -ENOSPC);
  await perform(fixture); // The zeros.
  assertEquals((await errorOf(short)).code, "ENOSPC");
}

function failSync({ aio, file }: Fixture): void {
  const results = [8, -ENOSPC];
  aio.attachInjectionPoint(POINT, (_io, raw) => results.shift() ?? raw);
  assertThrows(() => file.appendSync(data(9)), AioSystemError, "ENOSPC");
  aio.detachInjectionPoint(POINT);
}

for (const isBlocking of [false, true]) {
  const name = isBlocking ? "appendSync()" : "append()";

  Deno.test(`held: a durable append with a full disk is no failed flush before the rest of a failed ${name}`, async () => {
    await using fixture = await openHeld();
    const { file } = fixture;
    await leaveRest(fixture, isBlocking);
    const first = file.append(data(3), DURABLE);
    await checkHeld(fixture, [`writev ${END + 3} 3`]);
    await complete(fixture, -ENOSPC);
    const error = await errorOf(first);
    assertEquals([error.code, error.message.includes("sync()")], ["ENOSPC", false]);
    await appendAndFlush(fixture, 6, END + 3);
    await appendDurably(fixture, 4, END + 9);
    await file.close();
  });

  Deno.test(`held: durable appends are durable writes again where the rest of a failed ${name} was cut`, async () => {
    await using fixture = await openHeld();
    const { file } = fixture;
    await leaveRest(fixture, isBlocking);
    await file.truncate(END);
    await appendAndFlush(fixture, 3, END);
    await appendDurably(fixture, 4, END + 3);
  });
}
