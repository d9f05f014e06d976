/** read_ranges_test.ts: `readRanges()`: what comes out, and how much is read for it. */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { Aio, AioFile, FileRange } from "../../../mod.ts";
import { directUnitHere } from "../../support/disks/direct_io.ts";
import { FILE_BYTES, fileContent } from "../../support/core.ts";
import { heldNow, withHeld } from "../../support/held_transfers.ts";
import { testSharedAios } from "../../support/methods.ts";
import { POINT } from "../../support/flush_failures.ts";
import { contentAt, type Prng, withPrng } from "../../support/prng.ts";
import { errorOf } from "../../support/system_errors.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const SEED = 9;
const BYTES = 1_000_003;
const isDirectHere = await directUnitHere() !== null;

function testFile(name: string, use: (file: AioFile, aio: Aio) => Promise<void>): void {
  for (const direct of ["off", "required"] as const) {
    const how = direct === "off" ? "" : ", past the page cache";
    testSharedAios(`${name}${how}`, async (aio) => {
      await using dir = await tempDir();
      await writeRandomFile(dir.join("file"), BYTES, SEED);
      await using file = await aio.openFile(dir.join("file"), { direct });
      await use(file, aio);
      assertEquals(aio.ios(), []);
    }, { isPossible: direct === "off" || isDirectHere });
  }
}

async function check(
  file: AioFile,
  ranges: readonly FileRange[],
  options: Parameters<AioFile["readRanges"]>[1] = {},
): Promise<void> {
  const views = await file.readRanges(ranges, options);
  assertEquals(views.length, ranges.length);
  for (const [i, { offset, length }] of ranges.entries()) {
    const expected = contentAt(SEED, offset, Math.max(0, Math.min(length, BYTES - offset)));
    assertEquals(views[i], expected, `range ${i}: ${length} bytes at ${offset}`);
  }
}

testFile("readRanges() gives each range, in the order of the list", async (file) => {
  await check(file, []);
  await check(file, [{ offset: 0, length: 0 }, { offset: 5, length: 1 }]);
  await check(file, [{ offset: 900_000, length: 10 }, { offset: 3, length: 8000 }]);
  await check(file, [{ offset: 10, length: 100 }, { offset: 50, length: 100 }]);
  await check(file, [{ offset: BYTES - 3, length: 10 }, { offset: BYTES + 9, length: 10 }]);
  await check(file, [{ offset: 0, length: BYTES }, { offset: 0, length: 1 }]);
  await withPrng(async (prng: Prng) => {
    for (let round = 0; round < 10; round++) {
      const ranges = Array.from({ length: prng.below(100) }, () => ({
        offset: prng.below(BYTES + 1000),
        length: prng.pick([0, 1, 100, 4096, prng.below(50_000)]),
      }));
      await check(
        file,
        ranges,
        prng.pick([{}, { gap: 0 }, { gap: 1 }, { gap: 5000 }, { gap: 1e6 }]),
      );
    }
  });
});

testFile("readRanges() reads into memory of the caller, where it has some", async (file, aio) => {
  const ranges = [
    { offset: 900_000, length: 10 },
    { offset: 5, length: 0 },
    { offset: 10, length: 600_000 },
    { offset: 50, length: 100 },
    { offset: BYTES - 3, length: 10 },
  ];
  const arena = aio.alloc(620_000);
  for (const into of [arena, arena.subarray(4096), new Uint8Array(620_000)]) {
    await check(file, ranges, { into });
    const views = await file.readRanges(ranges, { into });
    for (const [i, { length }] of ranges.entries()) {
      if (length > 0) assertEquals(views[i]!.buffer, into.buffer);
    }
  }
  aio.free(arena);
});

testFile(
  "readRanges() takes no memory for ranges of nothing, and none that is gone",
  async (file) => {
    const into = new Uint8Array(0);
    await check(file, [], { into });
    await check(file, [{ offset: 5, length: 0 }, { offset: 2 * BYTES, length: 0 }], { into });
    const gone = new Uint8Array(8192);
    gone.buffer.transfer();
    const read = () => file.readRanges([{ offset: 0, length: 1 }], { into: gone });
    await assertRejects(read, RangeError, "got 0");
  },
);

testFile(
  "readRanges() reads into memory anywhere, but for a part of the arena",
  async (file, aio) => {
    const ranges = [{ offset: 4096, length: 5000 }, { offset: 50_000, length: 3 }];
    const arena = aio.alloc(40_960);
    await check(file, ranges, { into: new Uint8Array(40_960).subarray(1) });
    const read = check(file, ranges, { into: arena.subarray(1) });
    // That is where the kernel reads to.
    if (file.direct && file.alignment.memory > 1) {
      await assertRejects(
        () => read,
        RangeError,
        "misaligned",
      );
    } else await read;
    aio.free(arena);
  },
);

testFile("readRanges() tells how much memory it takes, before it reads", async (file) => {
  const unit = file.alignment.offset;
  const ranges = [{ offset: 0, length: unit }, { offset: 9 * unit, length: unit }];
  const into = new Uint8Array(2 * unit);
  await check(file, ranges, { into });
  const error = await assertRejects(
    () => file.readRanges(ranges, { into, gap: 8 * unit }),
    RangeError,
    `"into" must have at least ${10 * unit} bytes`,
  );
  assertStringIncludes(error.message, `got ${2 * unit}`);
});

testFile("readRanges() has its own list of ranges", async (file) => {
  const wanted = [{ offset: 3, length: 10 }, { offset: 20_000, length: 7 }];
  const changes: ((list: { offset: number; length: number }[]) => void)[] = [
    (list) => list.splice(0),
    (list) => list.reverse(),
    (list) => list.forEach((one) => Object.assign(one, { offset: 5, length: 2 })),
  ];
  for (const change of changes) {
    const list = wanted.map((one) => ({ ...one }));
    const reading = file.readRanges(list);
    change(list);
    assertEquals(await reading, wanted.map((one) => contentAt(SEED, one.offset, one.length)));
  }
});

testFile("readRanges() errors with what the system says", async (file, aio) => {
  aio.attachInjectionPoint(POINT, ({ operation }) => operation === "readv" ? -5 : undefined);
  const { code, path } = await errorOf(file.readRanges([{ offset: 0, length: 10 }]));
  aio.detachInjectionPoint(POINT);
  assertEquals([code, path], ["EIO", file.path]);
});

Deno.test("held: readRanges() reads neighbours together, each byte once, by one submit", async () => {
  await withHeld(async (fixture) => {
    const ranges = [
      { offset: 8192, length: 100 },
      { offset: 0, length: 100 },
      { offset: 100, length: 50 },
      { offset: 120, length: 200 },
      { offset: 330, length: 10 },
    ];
    const reads = fixture.file.readRanges(ranges, { gap: 10 });
    assertEquals(await heldNow(fixture), ["readv 0 340", "readv 8192 100"]);
    assertEquals(fixture.submissions.at(-1), 2);
    fixture.held.performAll(fixture.aio);
    const views = await reads;
    for (const [i, { offset, length }] of ranges.entries()) {
      assertEquals(views[i], fileContent(offset, length));
    }
    assertEquals(views[1]!.buffer, views[4]!.buffer);
    const all = fixture.file.readRanges([{ offset: 0, length: FILE_BYTES }]);
    assertEquals(await heldNow(fixture), [`readv 0 ${FILE_BYTES}`]);
    fixture.held.performAll(fixture.aio);
    assertEquals((await all)[0]!.length, FILE_BYTES);
  });
});

testSharedAios("readRanges() refuses what cannot be ranges", async (aio) => {
  await using dir = await tempDir();
  await using file = await aio.openFile(dir.join("file"), { write: true, create: true });
  await assertRejects(() => file.readRanges([]), Deno.errors.BadResource, '"read"');
  await using other = await aio.openFile(dir.join("file"));
  const refused = async (ranges: string, options: string, Class: ErrorConstructor) => {
    const call = () => other.readRanges(JSON.parse(ranges), JSON.parse(options));
    await assertRejects(call, Class, "Cannot read ranges of ");
  };
  await refused("5", "{}", TypeError);
  for (const range of ["null", "5", '{ "offset": 1 }', '{ "offset": -1, "length": 1 }']) {
    await refused(`[{ "offset": 0, "length": 1 }, ${range}]`, "{}", RangeError);
  }
  await refused("[]", '{ "gap": -1 }', RangeError);
  await refused("[]", '{ "into": 5 }', TypeError);
  const signal = AbortSignal.abort(new Error("no more"));
  await assertRejects(() => other.readRanges([], { signal }), Error, "no more");
});
