/**
 * durable_on_fuse_test.ts: a durable direct write on FUSE is flushed on every method. The kernel
 * forgets that of those that do not block their thread: it calls the server for the bytes alone.
 *
 * @module
 */

import { assertRejects } from "@std/assert";
import { AioSystemError } from "../../../core/mod.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import type { Aio, AioFile, OpenFileOptions } from "../../../storage/mod.ts";
import { testsOnFuse } from "../../support/disks/on_fuse.ts";
import { openAio } from "../../support/methods.ts";
import { Turns } from "../../support/turns.ts";

const DIRECT: OpenFileOptions = { read: true, write: true, direct: "required" };
const BYTES = 4096;

/** Writes that are to be durable, and how the file is opened. */
const WAYS: readonly {
  readonly name: string;
  readonly options: OpenFileOptions;
  write(file: AioFile, memory: Uint8Array): Promise<unknown>;
}[] = [
  {
    name: "writeAt() with `durable`",
    options: DIRECT,
    write: (file, memory) => file.writeAt(memory, 0, { durable: true }),
  },
  {
    name: "writeAt() to a file opened with `dsync`",
    options: { ...DIRECT, dsync: true },
    write: (file, memory) => file.writeAt(memory, 0),
  },
  {
    name: "writeAtMany() with `durable`",
    options: DIRECT,
    write: (file, memory) => file.writeAtMany([{ buffer: memory, offset: 0 }], { durable: true }),
  },
  {
    name: "writeAtSync() to a file opened with `dsync`",
    options: { ...DIRECT, dsync: true },
    write: (file, memory) => Promise.try(() => file.writeAtSync(memory, 0)),
  },
];

const testOnFuse = testsOnFuse(new Turns(WAYS.length));

async function withFile(
  aio: Aio,
  path: string,
  options: OpenFileOptions,
  use: (file: AioFile, memory: Uint8Array) => Promise<void>,
): Promise<void> {
  await using file = await aio.openFile(path, options);
  await use(file, aio.alloc(BYTES));
}

for (const { name, options, write } of WAYS) {
  testOnFuse(`${name} past the page cache is flushed on FUSE`, async (server, method) => {
    await using aio = await openAio(method);
    await withFile(aio, server.join(name), options, async (file, memory) => {
      // Only a write that flushes hears of it.
      await server.fail("FSYNC", errnoOf("EIO")!);
      await assertRejects(() => write(file, memory), AioSystemError, "EIO");
      await server.reset();
    });
  });
}
