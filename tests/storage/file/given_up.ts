/**
 * given_up.ts: a program that gives up a close ends, whatever hangs: the check that give_up_test.ts
 * makes with some operations, and give_up_long_test.ts with the others.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { fuseAvailable, type FuseServer } from "../../support/disks/fuse_server.ts";
import { LineProcess } from "../../support/line_process.ts";
import { METHODS_UNDER_TEST, methodsOfPart } from "../../support/methods.ts";
import { LIBRARY_URL } from "../../support/program.ts";
import type { Turns } from "../../support/turns.ts";

/** What hangs: its name, and what a program does with a file opened for reading and writing. */
const HANGS = {
  FLUSH: { what: "a close", work: "" },
  READ: {
    what: "a read",
    work: "void file.readAt(new Uint8Array(10), 0).catch(() => {});",
  },
  // With the method worker the read starts a Worker, so that the write is on its way in time.
  WRITE: {
    what: "a write",
    work: `await file.readAt(new Uint8Array(1), 0);
           void file.writeAt(new Uint8Array(10), 0).catch(() => {});`,
  },
} as const;

async function runGivenUp(
  method: string,
  operation: keyof typeof HANGS,
  closed: "file" | "aio",
  server: FuseServer,
): Promise<void> {
  const { work } = HANGS[operation];
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
}

/**
 * Registers this check for each method.
 *
 * @param operation what hangs
 * @param closed what the program closes
 * @param takeServer gives the file system that hangs
 * @param turns those of its subject
 */
export function testGivenUp(
  operation: keyof typeof HANGS,
  closed: "file" | "aio",
  takeServer: () => Promise<FuseServer>,
  turns: Turns | null = null,
): void {
  const { what } = HANGS[operation];
  // A read or write with the method sync blocks the program itself.
  const methods = METHODS_UNDER_TEST.filter(({ name }) => operation === "FLUSH" || name !== "sync");
  const name = `${closed}.close() that was given up for ${what} lets the program end`;
  for (const { name: method, ignore } of methodsOfPart(name, methods, turns)) {
    Deno.test({
      name: `${method}: ${name}`,
      ignore: ignore || !fuseAvailable(),
      fn: async () => await runGivenUp(method, operation, closed, await takeServer()),
    });
  }
}
