/**
 * temp_test.ts: the helpers of `temp.ts` and `prng.ts` do what tests rely on.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { contentAt, describeSeed, parseSeed, Prng, withPrng } from "./prng.ts";
import { mountTmpfs, runChild, tempDir, tmpfsAvailable, writeRandomFile } from "./temp.ts";

Deno.test("tempDir() makes a folder that is gone after its scope", async () => {
  let path: string;
  {
    await using dir = await tempDir();
    path = dir.path;
    await Deno.mkdir(dir.join("a"));
    await Deno.writeTextFile(dir.join("a", "b"), "text");
  }
  await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
});

Deno.test("writeRandomFile() writes what contentAt() tells, at any offset", async () => {
  await using dir = await tempDir();
  const path = dir.join("file");
  const bytes = 2 * 1024 * 1024 + 13;
  await writeRandomFile(path, bytes, 42);
  const written = await Deno.readFile(path);
  assertEquals(written, contentAt(42, 0, bytes));
  for (const [offset, length] of [[0, 1], [1, 7], [3, 2], [4095, 4098], [bytes - 5, 5]] as const) {
    assertEquals(written.subarray(offset, offset + length), contentAt(42, offset, length));
  }
  await writeRandomFile(path, 0, 42);
  assertEquals((await Deno.stat(path)).size, 0);
});

Deno.test("contentAt() differs by seed, offset and beyond 16 GiB, and looks random", () => {
  const bytes = contentAt(1, 0, 65_536);
  assertNotEquals(bytes, contentAt(2, 0, 65_536));
  assertNotEquals(bytes, contentAt(1, 65_536, 65_536));
  assertNotEquals(bytes, contentAt(1, 2 ** 34, 65_536));
  assertEquals(contentAt(1, 2 ** 40 + 3, 5), contentAt(1, 2 ** 40, 8).subarray(3));
  const counts = new Uint32Array(256);
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1;
  assertGreater(Math.min(...counts), 180);
  assertLess(Math.max(...counts), 340);
});

Deno.test("Prng repeats by seed and keeps within its limits", () => {
  const draw = (seed: number) => {
    const prng = new Prng(seed);
    return Array.from({ length: 100 }, () => prng.uint32());
  };
  assertEquals(draw(7), draw(7));
  assertNotEquals(draw(7), draw(8));
  assertGreater(new Set(draw(0)).size, 99);
  const prng = new Prng(7);
  const seen = new Set(Array.from({ length: 200 }, () => prng.between(3, 6)));
  assertEquals([...seen].sort(), [3, 4, 5, 6]);
  for (let i = 0; i < 100; i++) assertLess(prng.below(2 ** 50), 2 ** 50);
  assertEquals(prng.shuffled([1, 2, 3, 4]).sort(), [1, 2, 3, 4]);
  assert(["a", "b"].includes(prng.pick(["a", "b"])));
  assertEquals(prng.bytes(5).length, 5);
  const heads = Array.from({ length: 1000 }, () => prng.chance(1, 4)).filter(Boolean).length;
  assert(heads > 180 && heads < 320, `${heads} of 1000 at 1 in 4`);
  assertThrows(() => prng.below(0), RangeError);
  assertThrows(() => prng.pick([]), RangeError);
});

Deno.test("withPrng() names the seed of what fails", async () => {
  assertEquals(await withPrng((prng) => prng.seed, 9), 9);
  await assertRejects(
    () =>
      withPrng(() => {
        throw new Error("broken");
      }, 9),
    Error,
    `broken (${describeSeed(9)})`,
  );
});

Deno.test("parseSeed() takes 32-bit numbers and refuses the rest", () => {
  assertEquals(parseSeed("4294967295"), 4294967295);
  for (const text of ["", "x", "-1", "4294967296", "1.5"]) {
    assertThrows(() => parseSeed(text), RangeError, "AIO_TEST_SEED");
  }
});

Deno.test({
  name: "mountTmpfs() gives a file system that fills up, and takes it away",
  ignore: !tmpfsAvailable(),
  async fn() {
    let path: string;
    {
      await using disk = await mountTmpfs(65_536);
      path = disk.path;
      const error = await assertRejects(
        () => Deno.writeFile(disk.join("big"), new Uint8Array(200_000)),
        Error,
      );
      assertStringIncludes(error.message, "No space left");
    }
    await assertRejects(() => Deno.stat(path), Deno.errors.NotFound);
  },
});

Deno.test("runChild() captures output, input and exit code", async () => {
  const program = "const text = await new Response(Deno.stdin.readable).text();" +
    "console.log(text.toUpperCase(), Deno.env.get('WORD')); console.error('aside'); Deno.exit(3);";
  const result = await runChild(["eval", program], { stdin: "in", env: { WORD: "w" } });
  assertEquals(result.stdout, "IN w\n");
  assertStringIncludes(result.stderr, "aside");
  assertEquals([result.code, result.signal, result.timedOut], [3, null, false]);
});

Deno.test("runChild() kills a child at its time limit", async () => {
  const result = await runChild(["eval", "setInterval(() => {}, 1000)"], { timeLimitMs: 1 });
  assertEquals([result.timedOut, result.signal], [true, "SIGKILL"]);
});
