/**
 * close_failures_test.ts: aio.close() gives everything back, whatever fails on the way, and then
 * reports all the errors, with the names of the files that it had to close for its user.
 *
 * @module
 */

import { assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { errnoOf } from "../../../ffi/errno.ts";
import { Aio } from "../../../storage/mod.ts";
import { fuseAvailable, shareFuse } from "../../support/disks/fuse_server.ts";
import { HeldMethod } from "../../support/held_method.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { countDescriptorsOf, openDescriptors } from "../../support/program.ts";
import { tempDir } from "../../support/temp.ts";

const WRITE = { write: true } as const;

const takeServer = shareFuse();

/** All descriptors but those of Deno's own threads, which come and go. */
function ownDescriptors(): string[] {
  const targets = [...openDescriptors().values()];
  return targets.filter((target) => !/^(socket:|anon_inode:.event|pipe:)/.test(target)).sort();
}

testEachMethod(
  "aio.close() with files whose close fails gives everything back, and tells all errors",
  async (method) => {
    await using dir = await tempDir();
    await Deno.writeTextFile(dir.join("good"), "hello");
    const before = ownDescriptors();
    for (const count of [1, 2]) {
      const server = await takeServer();
      const aio = await openAio(method);
      for (let i = 0; i < count; i++) await aio.openFile(server.join(`bad ${i}`), WRITE);
      await aio.openFile(dir.join("good"), WRITE);
      await server.fail("FLUSH", errnoOf("EDQUOT")!);
      const error = await assertRejects(() => aio.close());
      if (count > 1) assertInstanceOf(error, AggregateError);
      const errors = error instanceof AggregateError ? error.errors : [error];
      assertEquals(errors.map((one) => one.code), new Array(count).fill("EDQUOT"));
      assertEquals(countDescriptorsOf(dir.join("good")), 0);
      assertEquals(ownDescriptors(), before);
    }
  },
  fuseAvailable(),
);

Deno.test("held: aio.close() with a method whose end fails gives back the rest, and tells it", async () => {
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("file"), "hello");
  const method = new HeldMethod();
  method.shutdownBackend = () => {
    throw new Error("as planned");
  };
  const before = openDescriptors().size;
  const aio = await Aio.open({ method: "held", onWarning: () => {} }, [method]);
  await aio.openFile(dir.join("file"));
  await assertRejects(() => aio.close(), Error, "as planned");
  assertEquals(openDescriptors().size, before);
  assertEquals(aio.backends(), []);
});

Deno.test("held: Aio.open() with a method that fails to join in gives back everything", async () => {
  const method = new HeldMethod();
  method.initBackend = () => {
    throw new Error("as planned");
  };
  const before = openDescriptors().size;
  await assertRejects(() => Aio.open({ method: "held" }, [method]), Error, "as planned");
  assertEquals(openDescriptors().size, before);
});
