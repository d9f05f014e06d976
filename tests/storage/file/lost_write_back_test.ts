/**
 * lost_write_back_test.ts: a device loses what the system writes back to it. The kernel reports
 * that once; here no flush resolves that overlapped the loss, or came later.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AioSystemError, type SystemError } from "../../../core/base/errors.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { AttachedWorker } from "../../support/threads/attached.ts";
import {
  type FailingDisk,
  failingDiskAvailable,
  makeFailingDisk,
} from "../../support/disks/failing_disk.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { Turns } from "../../support/turns.ts";

const RECORD_BYTES = 100_000;

const turns = new Turns(3);

interface Fixture {
  readonly disk: FailingDisk;
  readonly aio: Aio;
  readonly path: string;
  readonly file: AioFile;
}

/** Registers a test for each method, with a file on a disk of its own. */
function testLoss(
  name: string,
  use: (fixture: Fixture) => Promise<void>,
  { dsync = false } = {},
): void {
  testEachMethod(
    name,
    async (method: IoMethodName) => {
      await using disk = await makeFailingDisk();
      await using aio = await openAio(method, { maxBackends: 2 });
      const path = disk.join("log");
      const file = await aio.openFile(path, { read: true, write: true, create: true, dsync });
      await file.sync();
      await use({ disk, aio, path, file });
    },
    failingDiskAvailable(),
    turns,
  );
}

/** What one committer does: it writes its record and makes it durable. */
async function commit(file: AioFile, record: number): Promise<void> {
  await file.writeAt(new Uint8Array(RECORD_BYTES).fill(record), record * RECORD_BYTES);
  await file.sync();
}

async function checkRejected(promise: Promise<unknown>): Promise<void> {
  const error = await promise.then(() => null, (error: SystemError) => error);
  assert(error instanceof AioSystemError, `${error}`);
  assert(["ENOSPC", "EIO"].includes(error.code), error.message);
}

/**
 * Checks the remedy: once the disk is fine, the file can be opened again, written and verified.
 */
async function checkRemedy({ disk, aio, path }: Fixture): Promise<void> {
  await disk.recover();
  const again = await aio.openFile(path, { read: true, write: true });
  await commit(again, 1);
  const record = new Uint8Array(RECORD_BYTES);
  assertEquals(await again.readAt(record, RECORD_BYTES), RECORD_BYTES);
  assertEquals(new Set(record), new Set([1]));
  await again.close();
}

testLoss("no committer whose record is lost is told that it is durable", async (fixture) => {
  const { disk, file } = fixture;
  await disk.fail();
  await Promise.all([1, 2, 3, 4].map((record) => checkRejected(commit(file, record))));
  // Nothing is left to be written back, so the kernel itself would report success.
  await checkRejected(file.sync());
  await checkRejected(file.syncData());
  assertThrows(() => file.syncSync(), AioSystemError, "close it, open it again and verify");
  assertThrows(() => file.syncDataSync(), AioSystemError, "close it, open it again and verify");
  await checkRejected(file.close());
  await checkRemedy(fixture);
});

testLoss("a committer in another thread is told of the loss, too", async (fixture) => {
  const { disk, aio, file } = fixture;
  const worker = await AttachedWorker.start(aio, file);
  await disk.fail();
  const theirs = async () => {
    const bytes = new Uint8Array(RECORD_BYTES);
    await worker.ask({ what: "write", bytes, offset: 2 * RECORD_BYTES });
    await worker.ask({ what: "sync" });
  };
  const told = assertRejects(theirs, Error, "close it, open it again and verify");
  await Promise.all([checkRejected(commit(file, 1)), told]);
  await assertRejects(() => worker.ask({ what: "syncSync" }), Error, "Cannot sync");
  assertThrows(() => file.syncSync(), AioSystemError, "close it, open it again and verify");
  await assertRejects(() => worker.ask({ what: "close" }), Error, "an earlier flush of it failed");
  await worker.ask({ what: "closeAio" });
  worker.terminate();
  await checkRejected(file.close());
  await checkRemedy(fixture);
});

testLoss("no write of a file opened with dsync resolves whose data is lost", async (fixture) => {
  const { disk, file } = fixture;
  await disk.fail();
  const write = (record: number) =>
    file.writeAt(new Uint8Array(RECORD_BYTES).fill(record), record * RECORD_BYTES);
  await Promise.all([1, 2, 3, 4].map((record) => checkRejected(write(record))));
  await checkRejected(file.syncData());
  await checkRejected(file.close());
  await checkRemedy(fixture);
}, { dsync: true });
