/**
 * close_failures_test.ts: aio.close() gives everything back, whatever fails on the way, and then tells
 * all of it; what it had to close for its user it names.
 *
 * @module
 */

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { errnoOf } from "../../ffi/errno.ts";
import { Aio } from "../../storage/mod.ts";
import { fuseAvailable, FuseServer } from "../support/fuse_server.ts";
import { HeldMethod } from "../support/held_method.ts";
import { openAio, testEachMethod } from "../support/methods.ts";
import { countDescriptorsOf, openDescriptors } from "../support/program.ts";
import { tempDir } from "../support/temp.ts";

const WRITE = { write: true } as const;

/** Those that are not of Deno's own threads, which come and go. */
function ownDescriptors(): string[] {
  const targets = [...openDescriptors().values()];
  return targets.filter((target) => !/^(socket:|anon_inode:.event|pipe:)/.test(target)).sort();
}

testEachMethod(
  "aio.close() with files whose close fails gives everything back, and tells all errors",
  async (method) => {
    await using server = await FuseServer.start();
    await using dir = await tempDir();
    await Deno.writeTextFile(dir.join("good"), "hello");
    const before = ownDescriptors();
    for (const count of [1, 2, 3]) {
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

testEachMethod(
  "aio.close() warns once of files left open, with their paths and the lines that opened them",
  async (method) => {
    await using dir = await tempDir();
    const warnings: string[] = [];
    const aio = await openAio(method, { onWarning: (message) => warnings.push(message) });
    for (const name of ["one", "two", "three", "four"]) {
      await Deno.writeTextFile(dir.join(name), "");
    }
    await aio.openFile(dir.join("one"));
    const two = aio.openFileSync(dir.join("two"));
    aio.attachFile(two.token);
    const closed = await aio.openFile(dir.join("three"));
    await closed.close();
    const closing = (await aio.openFile(dir.join("four"))).close();
    await aio.close();
    await closing;
    assertEquals(warnings.length, 1);
    const line = String.raw`[^;]*close_failures_test\.ts:\d+:\d+\)?`;
    const [one, other] = ["one", "two"].map((name) => JSON.stringify(dir.join(name)));
    const text = `^aio\\.close\\(\\) closed 3 files left open: ${one}, opened at ${line}; ` +
      `${other}, opened at ${line}; ${other}, opened at ${line}; close each with `;
    assert(new RegExp(text).test(warnings[0]!), warnings[0]);
  },
);

testEachMethod("aio.close() with all files closed warns of nothing", async (method) => {
  await using dir = await tempDir();
  const warnings: string[] = [];
  const aio = await openAio(method, { onWarning: (message) => warnings.push(message) });
  await Deno.writeTextFile(dir.join("file"), "");
  await (await aio.openFile(dir.join("file"))).close();
  await aio.close();
  assertEquals(warnings, []);
});
