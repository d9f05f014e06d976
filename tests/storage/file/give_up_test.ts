/**
 * give_up_test.ts: whoever waits for the end of a file, or of the Aio, can give up when the device
 * does not answer. Nothing keeps the event loop alive then, and if the device answers after all,
 * the rest happens by itself.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { shareFuse } from "../../support/disks/fuse_server.ts";
import { testsOnFuse } from "../../support/disks/on_fuse.ts";
import { openAio } from "../../support/methods.ts";
import { becomes } from "../../support/patience.ts";
import { countDescriptorsOf, endOneWorker, openDescriptors } from "../../support/program.ts";
import { testGivenUp } from "./given_up.ts";
import { Turns } from "../../support/turns.ts";

const OPTIONS = { read: true, write: true } as const;
const REASON = new Error("given up");

const takeServer = shareFuse();
const testOnFuse = testsOnFuse(new Turns(3), takeServer);
const turns = new Turns(2);

/** A signal that a test aborts. */
function abortable(): { signal: AbortSignal; abort(): void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(REASON) };
}

testOnFuse(
  "file.close() of a file that hangs can be given up, and ends later",
  async (server, method) => {
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
    await file[Symbol.asyncDispose](); // The end of a block does not wait then.
    await server.release("FLUSH");
    await file.close();
    assertEquals([backendOf(aio).files.count, countDescriptorsOf(server.join("file"))], [0, 0]);
  },
);

testOnFuse(
  "aio.close() with a file that hangs can be given up, and ends later",
  async (server, method) => {
    await endOneWorker();
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
    // The thread that closed it ends when it has had nothing to do for a while.
    assertEquals(await becomes(() => openDescriptors().size <= before), true);
  },
);

testOnFuse(
  "close() with a signal that is aborted already closes all the same",
  async (server, method) => {
    await using aio = await openAio(method);
    const file = await aio.openFile(server.join("file"), OPTIONS);
    await assertRejects(() => file.close({ signal: AbortSignal.abort(REASON) }), Error, "given up");
    assert(file.isClosed);
    await file.close();
    assertEquals(backendOf(aio).files.count, 0);
  },
);

// The other combinations of operation and close: give_up_long_test.ts.
testGivenUp("FLUSH", "aio", takeServer);
testGivenUp("READ", "file", takeServer, turns);
testGivenUp("WRITE", "aio", takeServer, turns);
