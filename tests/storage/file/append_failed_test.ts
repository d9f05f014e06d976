/**
 * append_failed_test.ts: where appends go after a write, or another append, that has failed beside
 * writes that go on.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { begin, data } from "../../support/appends/held_appends.ts";
import { FILE_BYTES as END, openHeld } from "../../support/core.ts";
import { heldIos } from "../../support/flush_failures.ts";
import { errorOf } from "../../support/system_errors.ts";

const ENOSPC = 28;

Deno.test("held: append() goes behind no write that has failed beside one that goes on", async () => {
  await using fixture = await openHeld({ arenaBytes: 64 * 1024 });
  const { aio, file, held } = fixture;
  await begin(fixture);
  // Of two pieces.
  const other = file.writeAt(new Uint8Array(20_000), 0);
  const far = file.writeAt([data(1), data(1)], 2 ** 30);
  await heldIos(fixture, 2);
  held.complete(aio, held.held(aio)[1]!, -ENOSPC);
  assertEquals((await errorOf(far)).code, "ENOSPC");
  const appended = file.append(data(2));
  await heldIos(fixture, 2);
  held.letGo(aio);
  assertEquals([await appended, await other], [END + 1, 20_000]);
});

Deno.test("held: append() goes behind a write that has begun in the place of one that fails", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  await begin(fixture);
  const failing = file.append(data(8));
  await heldIos(fixture, 1);
  const written = file.writeAt(data(5), END - 1);
  await heldIos(fixture, 2);
  held.complete(aio, held.held(aio)[0]!, -ENOSPC);
  assertEquals((await errorOf(failing)).code, "ENOSPC");
  const appended = file.append(data(3));
  await heldIos(fixture, 2);
  held.letGo(aio);
  assertEquals([await appended, await written], [END + 4, 5]);
});
