/** inspect_test.ts: an Aio, its files, handles and owners in `console.log()`: a short line each. */

import { assertEquals } from "@std/assert";
import { ResourceOwner } from "../../../core/life/resource_owner.ts";
import { openHeld, startOn } from "../../support/core.ts";
import { testEachCoreMethod } from "../../support/core_methods.ts";

testEachCoreMethod(
  "an Aio and its parts show themselves in one line each",
  async ({ open, method }) => {
    await using fixture = await open();
    const { aio, file } = fixture;
    const owner = new ResourceOwner(aio);
    const handle = aio.acquire(owner);
    const path = JSON.stringify(file.path);
    assertEquals([aio, file, handle, owner].map((one) => Deno.inspect(one)), [
      `Aio (${method}, backend 0, 0 in flight)`,
      `AioFile ${path} (descriptor ${file.fd})`,
      `AioHandle ${handle.index} (handedOut)`,
      "ResourceOwner (1 charged)",
    ]);
    // Within something else too, which is where they mostly are.
    assertEquals(Deno.inspect({ aio }), `{ aio: Aio (${method}, backend 0, 0 in flight) }`);
    handle.release();
    owner.release();
    await file.close();
    await aio.close();
    assertEquals([aio, file, owner].map((one) => Deno.inspect(one)), [
      `Aio (${method}, backend 0, closed)`,
      `AioFile ${path} (closed)`,
      "ResourceOwner (released)",
    ]);
  },
);

Deno.test("held: a handle in flight shows what it does", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  const handle = aio.acquire();
  startOn(fixture, handle);
  assertEquals([aio, handle].map((one) => Deno.inspect(one)), [
    "Aio (held, backend 0, 1 in flight)",
    `AioHandle ${handle.index} (readv on file, submitted)`,
  ]);
  held.performAll(aio);
});
