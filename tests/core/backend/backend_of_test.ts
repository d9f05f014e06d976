/**
 * backend_of_test.ts: the backend of an Aio is there for those inside the house, and nowhere on the
 * Aio itself.
 *
 * @module
 */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Backend } from "../../../core/backend/backend.ts";
import { backendOf } from "../../../core/inside.ts";
import { ResourceOwner } from "../../../core/mod.ts";
import { wrong } from "../../support/core.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";

testEachMethod("backendOf() is this thread's side of an Aio", async (method) => {
  await using aio = await openAio(method);
  const backend = backendOf(aio);
  assert(backend instanceof Backend);
  assertStrictEquals(backendOf(aio), backend);
  assertEquals(backend.id, aio.backendId);
});

testEachMethod("no property of an Aio or a file is its backend", async (method) => {
  await using aio = await openAio(method);
  await using file = await aio.openFile(new URL("../../../deno.json", import.meta.url));
  for (const value of [aio, file]) {
    for (const at of Object.values(value)) assertEquals(at instanceof Backend, false);
  }
  assertEquals(["backend" in aio, "backend" in file], [false, false]);
});

Deno.test("backendOf() refuses what is no Aio", () => {
  const message = "Cannot take a Object for an Aio: it comes from Aio.open() or attach()";
  assertThrows(() => backendOf({}), TypeError, message);
  assertThrows(() => new ResourceOwner(wrong({})), TypeError, message);
  assertThrows(() => backendOf(wrong(7)), TypeError, "Cannot take 7 for an Aio");
});
