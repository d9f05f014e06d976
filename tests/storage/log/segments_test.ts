/** segments_test.ts: the files of a log, when calls that make and give them up fail. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeControl, parseControl } from "../../../storage/log/control_file.ts";
import { replace } from "../../support/bells/bells.ts";
import { recordOf, recordsOf, SEGMENT_BYTES, testLog } from "../../support/log/log_fixture.ts";

/** Those with which a segment is used again. */
const CALLS_EACH = 3;
/** Those with which the first two are given up, at most. */
const CALLS = 2 * CALLS_EACH;

/** Counts the calls that name files, and has one of them fail. */
class NameCalls implements Disposable {
  #count = 0;
  readonly #hooks = new DisposableStack();

  /** @param failing its number, from 0 */
  constructor(failing: number) {
    for (const name of ["link", "rename", "remove"] as const) {
      const original = Deno[name] as (...paths: string[]) => Promise<void>;
      const call = (...paths: string[]): Promise<void> => {
        // The control file is replaced with every truncation: that is no matter of segments.
        if (!paths[0]!.includes(".log")) return original(...paths);
        if (this.#count++ === failing) return Promise.reject(new Error(`${name} ${failing} fails`));
        return original(...paths);
      };
      this.#hooks.use(replace(Deno, name, call as never));
    }
  }

  [Symbol.dispose](): void {
    this.#hooks.dispose();
  }
}

/** The segments' files, without names: one that has two is there twice. */
function inodesIn(directory: string): (number | null)[] {
  const names = [...Deno.readDirSync(directory)].map(({ name }) => name);
  return names.filter((name) => name.endsWith(".log"))
    .map((name) => Deno.statSync(`${directory}/${name}`).ino);
}

testLog("log.truncateBefore() that fails leaves no file that is two segments", async (fixture) => {
  const { log, directory } = fixture;
  const ten = (from: number) => Array.from({ length: 10 }, (_, i) => recordOf(from + i, 20_000));
  let failures = 0;
  for (let failing = 0; failing < CALLS; failing++) {
    await log.append(ten(0));
    const [position] = await log.append(ten(10));
    {
      using _calls = new NameCalls(failing);
      await log.truncateBefore(position!).catch(() => failures++);
    }
    const [next] = await log.append(ten(20));
    await log.truncateBefore(next!);
    const inodes = inodesIn(directory);
    assertEquals(new Set(inodes).size, inodes.length, `after call ${failing}`);
    await log.append(ten(30));
    assertEquals((await recordsOf(log)).records, [...ten(20), ...ten(30)]);
  }
  assert(failures >= CALLS_EACH, `${failures} calls failed`);
  await log.close();
  await using again = await fixture.open();
  assertEquals((await recordsOf(again)).records, [...ten(20), ...ten(30)]);
  assertEquals([...Deno.readDirSync(directory)].filter(({ name }) => name.endsWith(".new")), []);
});

testLog("a flush goes on where a segment could not be made", async ({ log }) => {
  const records = Array.from({ length: 24 }, (_, i) => recordOf(i, 10_000));
  for (const record of records) log.write(record);
  {
    // The disk is full for a moment, when others of the same flush are written.
    const { link } = Deno;
    using _link = replace(Deno, "link", (from, to) => {
      const isFull = `${to}`.endsWith("3.log");
      return isFull ? Promise.reject(new Error("the disk is full")) : link(from, to);
    });
    await assertRejects(() => log.flush(), Error, "the disk is full");
  }
  await log.flush();
  await log.append(recordOf(24, 10));
  assertEquals((await recordsOf(log)).records, [...records, recordOf(24, 10)]);
});

testLog("a log goes on behind segment 2 ** 31", async ({ log, open, directory }) => {
  await log.close();
  const first = 2 ** 31 - 2;
  const start = first * SEGMENT_BYTES;
  const path = `${directory}/control`;
  const control = parseControl(path, await Deno.readTextFile(path));
  await Deno.writeTextFile(path, encodeControl({ ...control, start, durable: start }));
  await using far = await open();
  const records = Array.from({ length: 12 }, (_, i) => recordOf(i, SEGMENT_BYTES / 4));
  const positions: number[] = [];
  for (const record of records) positions.push(await far.append(record));
  assertEquals(Math.floor(positions.at(-1)! / SEGMENT_BYTES), 2 ** 31);
  await far.truncateBefore(positions[9]!);
  await far.append(records.slice(0, 9));
  const kept = [...records.slice(9), ...records.slice(0, 9)];
  assertEquals((await recordsOf(far)).records, kept);
  await far.close();
  await using again = await open();
  assertEquals((await recordsOf(again)).records, kept);
});
