/**
 * give_up_test.ts: whoever waits for the end of a file, or of the Aio, can give up when the device does
 * not answer: nothing keeps the event loop alive then, and if the device answers after all the rest
 * follows by itself.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { fuseAvailable, FuseServer } from "../../support/disks/fuse_server.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { LineProcess } from "../../support/line_process.ts";
import { countDescriptorsOf, LIBRARY_URL, openDescriptors } from "../../support/program.ts";

const OPTIONS = { read: true, write: true } as const;
const REASON = new Error("given up");

function testOnFuse(name: string, fn: Parameters<typeof testEachMethod>[1]): void {
  testEachMethod(name, fn, fuseAvailable());
}

/** A signal that a test aborts. */
function abortable(): { signal: AbortSignal; abort(): void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(REASON) };
}

testOnFuse("file.close() of a file that hangs can be given up, and ends later", async (method) => {
  await using server = await FuseServer.start();
  await using aio = await openAio(method);
  const file = await aio.openFile(server.join("file"), OPTIONS);
  await server.hold("FLUSH");
  const { signal, abort } = abortable();
  const closing = file.close({ signal });
  const outcome = assertRejects(() => closing, Error, "given up");
  await server.untilHeld("FLUSH");
  abort();
  assertEquals(await outcome, REASON);
  assertEquals(backendOf(aio).files.count, 1, "its descriptor stays");
  await file[Symbol.asyncDispose](); // Whoever gave up is not held up by the end of a block.
  await server.release("FLUSH");
  await file.close();
  assertEquals([backendOf(aio).files.count, countDescriptorsOf(server.join("file"))], [0, 0]);
});

testOnFuse("aio.close() with a file that hangs can be given up, and ends later", async (method) => {
  await using server = await FuseServer.start();
  const before = openDescriptors().size;
  const aio = await openAio(method);
  await aio.openFile(server.join("file"), OPTIONS);
  await server.hold("FLUSH");
  const { signal, abort } = abortable();
  const outcome = assertRejects(() => aio.close({ signal }), Error, "given up");
  await server.untilHeld("FLUSH");
  abort();
  assertEquals(await outcome, REASON);
  await aio[Symbol.asyncDispose]();
  await server.release("FLUSH");
  await aio.close();
  assertEquals(openDescriptors().size, before);
});

testOnFuse("close() with a signal that is aborted already closes all the same", async (method) => {
  await using server = await FuseServer.start();
  await using aio = await openAio(method);
  const file = await aio.openFile(server.join("file"), OPTIONS);
  await assertRejects(() => file.close({ signal: AbortSignal.abort(REASON) }), Error, "given up");
  assert(file.isClosed);
  await file.close();
  assertEquals(backendOf(aio).files.count, 0);
});

/** What hangs, by what a program does with a file that was opened for reading and writing. */
const HANGS = [
  ["FLUSH", "", "a close"],
  ["READ", "void file.readAt(new Uint8Array(10), 0).catch(() => {});", "a read"],
  // With the method worker the read has a Worker started, so that the write is on its way in time.
  [
    "WRITE",
    "await file.readAt(new Uint8Array(1), 0); void file.writeAt(new Uint8Array(10), 0).catch(() => {});",
    "a write",
  ],
] as const;

for (const [operation, work, what] of HANGS) {
  for (const closed of ["file", "aio"] as const) {
    testEachMethod(
      `${closed}.close() that was given up for ${what} lets the program end`,
      async (method) => {
        // A read or write with this method blocks the program itself.
        if (method === "sync" && operation !== "FLUSH") return;
        await using server = await FuseServer.start();
        await server.hold(operation);
        await using program = new LineProcess(
          `
          import { Aio } from ${JSON.stringify(LIBRARY_URL)};
          addEventListener("unload", () => console.log("ended"));
          const options = { method: ${JSON.stringify(method)}, onWarning: () => {} };
          const aio = await Aio.open(options);
          const file = await aio.openFile(Deno.args[0], { read: true, write: true });
          ${work}
          const controller = new AbortController();
          const closing = ${closed}.close({ signal: controller.signal });
          await Deno.stdin.read(new Uint8Array(8));
          controller.abort(new Error("given up"));
          await closing.catch((error) => console.log(error.message));`,
          [server.join("file")],
        );
        await server.untilHeld(operation);
        await program.say("give up");
        assertEquals(await program.nextLine(), "given up");
        assertEquals(await program.nextLine(), "ended");
        await server.release(operation); // Until then the kernel may hold the process.
      },
      fuseAvailable(),
    );
  }
}
