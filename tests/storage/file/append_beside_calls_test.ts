/**
 * append_beside_calls_test.ts: appends of other threads beside a write that is executed in the call
 * that starts it: blocking, or by the method `sync`.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioApiError, AioReturn } from "../../../core/mod.ts";
import type { Aio, AioFile } from "../../../mod.ts";
import { insideOf } from "../../../storage/file/open_file.ts";
import { replace } from "../../support/bells/bells.ts";
import { POINT } from "../../support/flush_failures.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { tempDir } from "../../support/temp.ts";

const OPTIONS = { read: true, write: true, create: true } as const;

type Write = (file: AioFile, aio: Aio) => number | Promise<number>;

const WRITES: Readonly<Record<string, Write>> = {
  "writeAt()": (file) => file.writeAt(new Uint8Array(10), 5),
  "writeAt() with flags": (file) => file.writeAt(new Uint8Array(10), 5, { durable: true }),
  "writeAtSync()": (file) => file.writeAtSync(new Uint8Array(10), 5),
  "writeAtSync() with flags": (file) => file.writeAtSync(new Uint8Array(10), 5, { durable: true }),
  "startWritev()": (file, aio) => {
    const ret = new AioReturn();
    const handle = aio.acquire(null, ret);
    handle.setFlag("referencesLocal");
    handle.setIovec(new Uint8Array(10));
    file.startWritev(handle, 5);
    return ret.result.result;
  },
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
    assertEquals(await write(file, aio), 10);
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

testEachMethod(
  "append() goes where the file ends after a startWritev() to no place",
  async (method) => {
    await using dir = await tempDir();
    await using aio = await openAio(method);
    await using file = await aio.openFile(dir.join("file"), OPTIONS);
    await file.append(new Uint8Array(4));
    const { ends } = backendOf(aio).files;
    const { slot } = insideOf(file).slot;
    const { blocking } = insideOf(file).calls;
    const { stat } = blocking;
    const seen = new Set<number>();
    // Before it is made the file's again.
    using _stat = replace(blocking, "stat", (fd, path) => {
      seen.add(ends.endOf(slot));
      return stat.call(blocking, fd, path);
    });
    for (const offset of [NaN, -Infinity, 2 ** 53]) {
      const handle = aio.acquire();
      handle.setFlag("referencesLocal");
      handle.setIovec(new Uint8Array(10));
      assertThrows(() => file.startWritev(handle, offset), RangeError);
      handle.release();
    }
    assertEquals(seen, new Set([4]));
    assertEquals(await file.append(new Uint8Array(1)), 4);
  },
);
