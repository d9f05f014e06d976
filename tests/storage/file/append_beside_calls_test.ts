/**
 * append_beside_calls_test.ts: appends of other threads beside a write that is executed in the call
 * that starts it: blocking, or by the method `sync`.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioApiError } from "../../../core/mod.ts";
import type { AioFile } from "../../../mod.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import { POINT } from "../../support/flush_failures.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { tempDir } from "../../support/temp.ts";

const OPTIONS = { read: true, write: true, create: true } as const;

const WRITES: Readonly<Record<string, (file: AioFile) => number | Promise<number>>> = {
  "writeAt()": (file) => file.writeAt(new Uint8Array(10), 5),
  "writeAt() with flags": (file) => file.writeAt(new Uint8Array(10), 5, { durable: true }),
  "writeAtSync()": (file) => file.writeAtSync(new Uint8Array(10), 5),
  "writeAtSync() with flags": (file) => file.writeAtSync(new Uint8Array(10), 5, { durable: true }),
};

for (const [name, write] of Object.entries(WRITES)) {
  testEachMethod(`appends go behind a ${name} that is being executed`, async (method) => {
    await using dir = await tempDir();
    await using aio = await openAio(method);
    await using file = await aio.openFile(dir.join("file"), OPTIONS);
    await file.append(new Uint8Array(1));
    const { ends } = backendOf(aio).files;
    const { slot } = insideOf(file).slot;
    const seen: number[] = [];
    // Where another thread's append would go.
    aio.attachInjectionPoint(POINT, ({ operation }) => {
      if (operation === "writev") seen.push(ends.endOf(slot));
    });
    assertEquals(await write(file), 10);
    aio.detachInjectionPoint(POINT);
    // A flag may be refused first.
    assertEquals(new Set(seen), new Set([15]));
  });
}

testEachMethod("append() goes behind no writeAtSync() that could not start", async (method) => {
  await using dir = await tempDir();
  await using aio = await openAio(method);
  await using file = await aio.openFile(dir.join("file"), OPTIONS);
  await file.append(new Uint8Array(1));
  const handle = aio.acquire();
  assertThrows(() => file.writeAtSync(new Uint8Array(10), 2 ** 30), AioApiError);
  handle.release();
  assertEquals(file.appendSync(new Uint8Array(1)), 1);
});
