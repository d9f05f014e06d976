/**
 * log_recovery_test.ts: whatever has become of a log's files, opening it gives what was durable, or
 * an error that names the place.
 */

import { dirname, join } from "node:path";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { type Aio, AioFile, type Log } from "../../../mod.ts";
import { segmentPath } from "../../../storage/log/segment_names.ts";
import { replace } from "../../support/bells/bells.ts";
import { POINT } from "../../support/flush_failures.ts";
import {
  BUFFER_BYTES,
  type LogFixture,
  recordOf,
  recordsOf,
  SEGMENT_BYTES,
  testLog,
} from "../../support/log/log_fixture.ts";

/** More than is searched for what was durable. */
const LARGE = { segmentBytes: 16 * SEGMENT_BYTES };
const OPTIONS = { segmentBytes: SEGMENT_BYTES, bufferBytes: BUFFER_BYTES };
const RECORDS = Array.from({ length: 40 }, (_, i) => recordOf(i, i * 7));
const FIRST = "0000000000000000.log";

/** Copies a log that nobody writes, as a crash would leave it. */
async function copyLog({ directory }: LogFixture, to: string): Promise<string> {
  const copy = `${directory}_${to}`;
  await Deno.mkdir(copy);
  for (const { name } of Deno.readDirSync(directory)) {
    // Those that are being made go away at any moment.
    if (!name.endsWith(".new")) await Deno.copyFile(`${directory}/${name}`, `${copy}/${name}`);
  }
  return copy;
}

async function readCopy(aio: Aio, copy: string): Promise<{ log: Log; records: Uint8Array[] }> {
  await using log = await aio.openLog(copy, OPTIONS);
  return { log, records: (await recordsOf(log)).records };
}

async function damage(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true });
  await file.seek(offset, Deno.SeekMode.Start);
  await file.write(bytes);
}

testLog(
  "openLog() gives what was flushed, or names what is damaged, for any flipped bit",
  async (fixture) => {
    const { aio, log } = fixture;
    // One flush each: every record knows that those before it are durable.
    for (const record of RECORDS.slice(0, 12)) await log.append(record);
    // As a crash leaves it: the control file does not say how far it is.
    const copy = await copyLog(fixture, "flipped");
    const control = await Deno.readFile(`${copy}/control`);
    const image = await Deno.readFile(`${copy}/${FIRST}`);
    const path = `${copy}/${FIRST}`;
    const outcomes = { whole: 0, shorter: 0, refused: 0 };
    for (let at = 0; at < log.end; at += 5) {
      await Deno.writeFile(`${copy}/control`, control);
      await damage(path, at, new Uint8Array([image[at]! ^ 1 << at % 8]));
      try {
        const { records } = await readCopy(aio, copy);
        assertEquals(records, RECORDS.slice(0, records.length), `byte ${at}`);
        // Only the last record may be lost: nothing says that it was durable.
        assert(records.length >= 11, `byte ${at}: ${records.length} records`);
        outcomes[records.length === 12 ? "whole" : "shorter"]++;
      } catch (error) {
        assert(error instanceof Deno.errors.InvalidData, `byte ${at}: ${error}`);
        assert(/segment 0, offset \d+/.test(error.message), error.message);
        outcomes.refused++;
      }
      await damage(path, 0, image.subarray(0, log.end));
    }
    assert(outcomes.refused > 0 && outcomes.shorter > 0, JSON.stringify(outcomes));
    assertEquals(outcomes.whole, 0);
  },
);

testLog(
  "log.read() refuses what is damaged before the end that the control file says",
  async (fixture) => {
    const { aio, log } = fixture;
    await log.append(RECORDS);
    await log.close();
    const copy = await copyLog(fixture, "closed");
    await damage(`${copy}/${FIRST}`, 100, new Uint8Array([1, 2, 3]));
    await assertRejects(
      () => readCopy(aio, copy),
      Deno.errors.InvalidData,
      "Cannot read the record",
    );
  },
);

testLog(
  "openLog() goes on behind what a crash has cut off, which never comes back",
  async (fixture) => {
    const { aio, log } = fixture;
    const positions = await log.append(RECORDS.slice(0, 3));
    const same = recordOf(99, 64);
    const [torn, behind] = await log.append([same, recordOf(100, 64)]);
    const copy = await copyLog(fixture, "crash");
    // The first crash: of two records that were under way, only the second one was written.
    await damage(`${copy}/${FIRST}`, torn!, new Uint8Array(8));
    // A direct write would take the second one away, with the rest of the block.
    const first = await aio.openLog(copy, { ...OPTIONS, direct: false });
    assertEquals(first.recovery, { end: torn!, stop: "torn or damaged" });
    // As long as the one that was lost: the next record would follow it.
    assertEquals(await first.append(recordOf(7, 64)), torn);
    assertEquals(first.end, behind);
    // The second crash.
    const again = await copyLog({ ...fixture, directory: copy }, "again");
    await first.close();
    await using second = await aio.openLog(again, OPTIONS);
    assertEquals(second.recovery, { end: behind!, stop: "stale" });
    const { records } = await recordsOf(second);
    assertEquals(records, [...RECORDS.slice(0, positions.length), recordOf(7, 64)]);
  },
);

testLog(
  "openLog() refuses segments that are missing, short, swapped or of another log",
  async (fixture) => {
    const { aio, log, directory } = fixture;
    for (let i = 0; i < 8; i++) await log.append(recordOf(i, 40_000));
    await using other = await aio.openLog(`${directory}_other`, OPTIONS);
    for (let i = 0; i < 8; i++) await other.append(recordOf(i, 40_000));
    await log.close();
    const second = "0000000000000001.log";
    const changes: Readonly<Record<string, (copy: string) => Promise<void>>> = {
      missing: (copy) => Deno.remove(`${copy}/${second}`),
      short: (copy) => Deno.truncate(`${copy}/${second}`, 1000),
      swapped: async (copy) => {
        await Deno.rename(`${copy}/${FIRST}`, `${copy}/x`);
        await Deno.rename(`${copy}/${second}`, `${copy}/${FIRST}`);
        await Deno.rename(`${copy}/x`, `${copy}/${second}`);
      },
      foreign: (copy) => Deno.copyFile(`${other.directory}/${second}`, `${copy}/${second}`),
    };
    for (const [name, change] of Object.entries(changes)) {
      const copy = await copyLog(fixture, name);
      await change(copy);
      const error = await readCopy(aio, copy).then(() => null, (error) => error);
      assert(error instanceof Deno.errors.InvalidData, `${name}: ${error}`);
      assert(error.message.includes(name === "swapped" ? FIRST : second), error.message);
    }
  },
);

testLog("openLog() refuses a crashed log without a segment that is large", async (fixture) => {
  const { aio, log } = fixture;
  const records = Array.from({ length: 16 }, (_, i) => recordOf(i, 300_000));
  for (const record of records) await log.append(record);
  // Files that are used again have records of other places.
  await log.truncateBefore(log.flushed);
  const first = Math.floor(log.end / LARGE.segmentBytes) + 1;
  for (const record of records) await log.append(record);
  const copy = await copyLog(fixture, "crashed");
  assertEquals((await readCopy(aio, copy)).records, records);
  const another = await copyLog(fixture, "lacking");
  await Deno.remove(segmentPath(another, first));
  const error = await assertRejects(() => readCopy(aio, another), Deno.errors.InvalidData);
  assertStringIncludes(error.message, `damaged at segment ${first}, offset 0 (missing)`);
}, LARGE);

testLog("openLog() refuses a control file that is damaged or missing", async (fixture) => {
  const { aio, log } = fixture;
  await log.append(RECORDS);
  await log.close();
  const copy = await copyLog(fixture, "control");
  const path = `${copy}/control`;
  const control = await Deno.readFile(path);
  for (let at = 0; at < control.length; at++) {
    const damaged = control.slice();
    damaged[at]! ^= 1 << at % 7;
    await Deno.writeFile(path, damaged);
    await assertRejects(() => readCopy(aio, copy), Error, "Cannot open the log");
  }
  await Deno.remove(path);
  await assertRejects(() => readCopy(aio, copy), Deno.errors.NotFound, "but segments");
});

testLog("a flush that failed ends the log, until it is opened again", async (fixture) => {
  const { aio, log } = fixture;
  const position = await log.append(RECORDS[5]!);
  aio.attachInjectionPoint(POINT, ({ operation }) => operation === "writev" ? -5 : undefined);
  const failed = await Promise.allSettled([1, 2, 3].map((i) => log.append(RECORDS[i]!)));
  aio.detachInjectionPoint(POINT);
  assertEquals(failed.map(({ status }) => status), ["rejected", "rejected", "rejected"]);
  await assertRejects(() => log.append(RECORDS[1]!), Error, "open it again");
  await assertRejects(() => log.flush(), Error, "open it again");
  assertEquals((await recordsOf(log)).positions, [position]);
  await assertRejects(() => log.close(), Error, "open it again");
  await using again = await fixture.open();
  // Nobody knows of the others.
  assertEquals((await recordsOf(again)).records[0], RECORDS[5]);
  const last = await again.append(RECORDS[6]!);
  assertEquals((await recordsOf(again, { from: last })).records, [RECORDS[6]]);
});

testLog("a log stays where it is when the program goes to another directory", async (fixture) => {
  const { aio, log: other, directory } = fixture;
  const elsewhere = `${directory}_elsewhere`;
  await Deno.mkdir(elsewhere);
  const data = [recordOf(1, 30_000), recordOf(2, 30_000), recordOf(3, 30_000)];
  const before = Deno.cwd();
  try {
    Deno.chdir(elsewhere);
    await using log = await aio.openLog("log", OPTIONS);
    assertEquals(log.directory, join(Deno.cwd(), "log"));
    Deno.chdir(dirname(directory));
    for (const record of data) await log.append(record);
    await log.truncateBefore(log.flushed);
  } finally {
    Deno.chdir(before);
  }
  await using log = await aio.openLog(`${elsewhere}/log`, OPTIONS);
  assertEquals([log.recovery.stop, log.start], ["closed", log.end]);
  assert(log.end > 90_000);
  await other.close();
  await using again = await fixture.open();
  assertEquals(again.recovery, { end: 0, stop: "closed" });
});

testLog("openLog() closes the lock's file where the system refuses the lock", async (fixture) => {
  const { aio, log } = fixture;
  await log.close();
  const { files } = backendOf(aio);
  const { count } = files;
  {
    const refuses = () => Promise.reject(new Error("no locks available"));
    using _tryLock = replace(AioFile.prototype, "tryLock", refuses);
    await assertRejects(() => fixture.open(), Error, "no locks available");
  }
  assertEquals(files.count, count);
  await (await fixture.open()).close();
});

testLog("openLog() removes what a crash in the middle of its last steps has left", async (it) => {
  const { log, directory, open } = it;
  await log.append(RECORDS[3]!);
  await log.close();
  const names = () => Array.from(Deno.readDirSync(directory), ({ name }) => name).sort();
  const before = names();
  // A control file, and a segment, that were to get their names; and what is none of the log's.
  const others = [".control.kept", "control.tmp"];
  for (const name of [`.control.${crypto.randomUUID()}.tmp`, `${FIRST}.x.new`, ...others]) {
    await Deno.writeTextFile(`${directory}/${name}`, "half");
  }
  await using again = await open();
  assertEquals((await recordsOf(again)).records, [RECORDS[3]]);
  assertEquals(names(), [...before, ...others].sort());
});
