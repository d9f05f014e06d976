/** The README's example runs as it stands, and what the README names is there. */

import { assertEquals, assertExists, assertStringIncludes } from "@std/assert";

import { runChild, tempDir } from "./support/temp.ts";

const ROOT = new URL("../", import.meta.url);
const README = await Deno.readTextFile(new URL("README.md", ROOT));

Deno.test("README: the example runs and prints what it says", async () => {
  await using dir = await tempDir();
  const block = /```ts\n([^]*?)```/.exec(README)?.[1];
  assertExists(block);
  const source = block.replace("jsr:@deno-aio/aio", new URL("mod.ts", ROOT).href);
  assertStringIncludes(source, ROOT.href);
  await Deno.writeTextFile(`${dir.path}/example.ts`, source);
  const result = await runChild(["run", "-A", "example.ts"], { cwd: dir.path });
  assertEquals(result.stderr, "");
  assertEquals(result.stdout, "page seven\n");
  assertEquals(result.code, 0);
});

Deno.test("README: every task that it names exists", async () => {
  const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  for (const [, task] of README.matchAll(/\btask ([a-z_]+(?::[a-z_]+)?)/g)) {
    assertExists(config.tasks[task!]);
  }
});

Deno.test("README: every file that it links to exists", async () => {
  for (const [, path] of README.matchAll(/\]\(([^)]+)\)/g)) {
    assertExists(await Deno.stat(new URL(path!, ROOT)));
  }
});
