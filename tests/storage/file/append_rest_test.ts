/**
 * append_rest_test.ts: appends beside a write that the system has cut short, and whose issuer has
 * not heard of that yet: its handle does not tell of the rest any more.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { AioFile } from "../../../mod.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import { replace } from "../../support/bells/bells.ts";
import { FILE_BYTES as END, openHeld } from "../../support/core.ts";
import { heldIos, POINT } from "../../support/flush_failures.ts";
import { perform } from "../../support/held_transfers.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { tempDir } from "../../support/temp.ts";

const EINTR = 4;
const DATA = new Uint8Array(9).fill(9);

type Write = (file: AioFile) => number | Promise<number>;

const WRITES: Readonly<Record<string, Write>> = {
  "writeAt()": (file) => file.writeAt(DATA, 1),
  "writeAt() with flags": (file) => file.writeAt(DATA, 1, { durable: true }),
  "writeAtSync()": (file) => file.writeAtSync(DATA, 1),
  "append()": (file) => file.append(DATA),
};

for (const [name, write] of Object.entries(WRITES)) {
  for (const [how, result] of [["cut short", 4], ["interrupted", -EINTR]] as const) {
    testEachMethod(
      `appends keep behind all of a call of ${name} that was ${how}`,
      async (method) => {
        await using dir = await tempDir();
        await using aio = await openAio(method);
        const options = { read: true, write: true, create: true } as const;
        await using file = await aio.openFile(dir.join("file"), options);
        await file.append(new Uint8Array(1));
        const { ends } = backendOf(aio).files;
        const { slot: { slot }, transfers } = insideOf(file);
        const { restOf } = transfers;
        const reached: number[] = [];
        // What another thread finds that is about to set the end back.
        using _restOf = replace(transfers, "restOf", (...io) => {
          reached.push(ends.writesEnd(slot));
          return restOf.apply(transfers, io);
        });
        aio.attachInjectionPoint(POINT, ({ operation }, raw) => {
          if (operation !== "writev" || reached.length > 0) return raw;
          return result;
        });
        await write(file);
        aio.detachInjectionPoint(POINT);
        assertEquals(reached[0], 10);
        assertEquals(ends.writesEnd(slot), 0);
        assertEquals(await file.append(new Uint8Array(1)), 10);
      },
    );
  }
}

for (const name of ["writeAt", "append"] as const) {
  Deno.test(`held: an append goes behind the rest of a short ${name}() that has yet to begin`, async () => {
    await using fixture = await openHeld();
    const { aio, file, held } = fixture;
    const first = file.append(new Uint8Array(1));
    await heldIos(fixture, 1);
    await perform(fixture);
    assertEquals(await first, END);
    const writing = name === "append" ? file.append(DATA) : file.writeAt(DATA, END + 1);
    await heldIos(fixture, 1);
    held.complete(aio, held.held(aio)[0]!, 4);
    // The file is as long as before, and the end is set back to where writes reach.
    file.truncateSync(END + 1);
    assertEquals(file.appendSync(new Uint8Array(3)), END + 1 + DATA.byteLength);
    held.letGo(aio);
    await writing;
  });
}

Deno.test("held: a write that fails after it came short leaves no end behind", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  const first = file.append(new Uint8Array(1));
  await heldIos(fixture, 1);
  await perform(fixture);
  await first;
  const { ends } = backendOf(aio).files;
  const { slot } = insideOf(file).slot;
  for (const results of [[4, -28], [-28], [-EINTR, -28]]) {
    const writing = file.writeAt(DATA, 2 ** 30).catch((error) => error.code);
    for (const result of results) {
      await heldIos(fixture, 1);
      held.complete(aio, held.held(aio)[0]!, result);
    }
    assertEquals(await writing, "ENOSPC");
    assertEquals(ends.writesEnd(slot), 0);
    assertEquals(ends.endOf(slot), END + 1);
  }
});
