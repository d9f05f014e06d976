/**
 * io_method_test.ts: the peer's case io_method, and the part of 003_initdb that makes sense here:
 * the method in use is the one that the options name, and it starts and stops. initdb itself has no
 * counterpart.
 */

import { assertEquals } from "@std/assert";
import { testEachCoreMethod } from "../../support/core_methods.ts";

testEachCoreMethod("the method in use is the one that the options name", async (test) => {
  await using fixture = await test.open();
  assertEquals([fixture.aio.method, fixture.aio.options.method], [test.method, test.method]);
});

testEachCoreMethod("it starts and stops, again and again, saying just that", async (test) => {
  for (let round = 0; round < 3; round++) {
    const fixture = await test.open({ logLevel: "debug3" });
    await fixture[Symbol.asyncDispose]();
    const closing = `closing descriptor ${fixture.file.fd}`;
    assertEquals([fixture.messages(), fixture.logs], [[], [closing]]);
    assertEquals(fixture.aio.isClosed, true);
  }
});
