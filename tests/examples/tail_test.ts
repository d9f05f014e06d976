/** tail_test.ts: the example shows the last lines, and what comes after them, wherever it comes. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import { tail } from "../../examples/tail.ts";
import type { Aio } from "../../mod.ts";
import { testSharedAios } from "../support/methods.ts";
import { tempDir } from "../support/temp.ts";
import { runFreely } from "./example_run.ts";

/** More than a block of the search. */
const MANY_LINES = 40_000;

/** Registers a test for each method that gets the path of a file to be. */
function testTail(name: string, use: (aio: Aio, path: string) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    await use(aio, `${dir.path}/log`);
    assertEquals([aio.ios(), backendOf(aio).files.count], [[], 0]);
  });
}

async function lastLines(aio: Aio, path: string, lines?: number): Promise<string> {
  const chunks = await Array.fromAsync(tail(aio, path, lines === undefined ? {} : { lines }));
  return await new Blob(chunks as BlobPart[]).text();
}

testTail("tail: the last lines of a file are those that are asked for", async (aio, path) => {
  const lines = Array.from({ length: MANY_LINES }, (_, i) => `${i}\n`);
  await Deno.writeTextFile(path, lines.join(""));
  assertEquals(await lastLines(aio, path), lines.slice(-10).join(""));
  for (const count of [1, 2, MANY_LINES / 2, MANY_LINES - 1, MANY_LINES, MANY_LINES + 1]) {
    assertEquals(await lastLines(aio, path, count), lines.slice(-count).join(""), `${count}`);
  }
  assertEquals(await lastLines(aio, path, 0), "");
});

testTail("tail: empty lines and a last one without a newline count", async (aio, path) => {
  for (
    const [text, last] of [["", ""], ["a", "a"], ["a\n", "a\n"], ["\n\n", "\n"], ["a\nb", "b"]]
  ) {
    await Deno.writeTextFile(path, text!);
    assertEquals(await lastLines(aio, path, 1), last, JSON.stringify(text));
  }
});

testTail("tail: what is appended, cut and renamed is followed", async (aio, path) => {
  await Deno.writeTextFile(path, "one\ntwo\n");
  const end = new AbortController();
  const pieces = tail(aio, path, { lines: 1, follow: true, signal: end.signal });
  const text = async () => new TextDecoder().decode((await pieces.next()).value ?? undefined);
  assertEquals(await text(), "two\n");
  await Deno.writeTextFile(path, "three\n", { append: true });
  assertEquals(await text(), "three\n");
  await Deno.writeTextFile(path, "cut\n");
  assertEquals(await text(), "cut\n");
  await Deno.rename(path, `${path}.1`);
  await Deno.writeTextFile(`${path}.1`, "last\n", { append: true });
  await Deno.writeTextFile(path, "first\n");
  assertEquals(await text() + await text(), "last\nfirst\n");
  const ended = pieces.next();
  end.abort();
  assertEquals((await ended).done, true);
});

Deno.test("tail: the program shows the last lines, and says how it is used", async () => {
  await using dir = await tempDir();
  await Deno.writeTextFile(`${dir.path}/log`, "one\ntwo\nthree\n");
  const ran = await runFreely("tail.ts", ["-n", "2", `${dir.path}/log`]);
  assertEquals([ran.code, ran.stdout], [0, "two\nthree\n"]);
  const missing = await runFreely("tail.ts", [`${dir.path}/none`]);
  assertEquals(missing.code, 1);
  assertStringIncludes(missing.stderr, "ENOENT");
  assertEquals((await runFreely("tail.ts", [])).code, 2);
});
