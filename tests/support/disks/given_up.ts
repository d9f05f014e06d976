/**
 * given_up.ts: a program that gives up a close while a disk stands still with a write in flight.
 *
 * @module
 */

import { assert, assertEquals } from "../assert/assert.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import { LineProcess } from "../line_process.ts";
import { METHODS_UNDER_TEST, methodsOfPart } from "../methods.ts";
import { until } from "../patience.ts";
import { LIBRARY_URL } from "../program.ts";
import { diskAvailable, type DiskType, isStuck, makeDisk } from "./stuck_disk.ts";

/** What is closed. */
type Closed = "file" | "aio";

/** A program that gives up a close, and goes on where its event loop would end. */
const PROGRAM = `
import { Aio } from ${JSON.stringify(LIBRARY_URL)};
const [path, method, closed] = Deno.args;
const told = () => Deno.stdin.read(new Uint8Array(8));
const aio = await Aio.open({ method, onWarning: () => {} });
const file = await aio.openFile(path, { read: true, write: true });
const closing = closed === "file" ? file : aio;
await file.readAt(new Uint8Array(1), 0); // With the method worker it has a Worker started.
console.log("ready");
await told();
const written = file.writeAt(new TextEncoder().encode("new"), 0);
const controller = new AbortController();
const close = closing.close({ signal: controller.signal });
await told();
controller.abort(new Error("given up"));
await close.then(() => console.log("closed"), (error) => console.log(error.message));
addEventListener("unload", () => console.log("ended"));
addEventListener("beforeunload", async (event) => {
  event.preventDefault();
  console.log("nothing left to do");
  await told();
  await closing.close();
  console.log("wrote", await written);
}, { once: true });
`;

async function testGivenUp(type: DiskType, method: IoMethodName, closed: Closed): Promise<void> {
  await using disk = await makeDisk(type);
  const path = disk.join("file");
  await Deno.writeTextFile(path, "old content");
  await using program = new LineProcess(PROGRAM, [path, method, closed]);
  assertEquals(await program.nextLine(), "ready");
  await using frozen = await disk.freeze();
  await program.say("write");
  await until(() => isStuck(program.pid), "the write waits for the disk");
  await program.say("give up");
  assertEquals(await program.nextLine(), "given up");
  assertEquals(await program.nextLine(), "nothing left to do");
  assert(await frozen.thaw(), "the disk went on before it was told to");
  await program.say("go on");
  assertEquals(await program.nextLine(), "wrote 3");
  assertEquals(await program.nextLine(), "ended");
  assertEquals(await Deno.readTextFile(path), "new content");
}

/** Registers the tests of one file system, for each method. */
export function testCloseGivenUp(type: DiskType): void {
  // A write with this method blocks the program itself.
  const methods = METHODS_UNDER_TEST.filter(({ name }) => name !== "sync");
  for (const { name: method, ignore } of methodsOfPart(type, methods)) {
    for (const closed of ["file", "aio"] as const) {
      Deno.test({
        name: `${method}: ${closed}.close() with a write to a frozen ${type} can be given up, ` +
          "lets the program end, and the write is made",
        ignore: ignore || !diskAvailable(type),
        fn: () => testGivenUp(type, method, closed),
      });
    }
  }
}
