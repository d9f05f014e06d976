/** The README's example runs as it stands, and what the README names is there. */

import { assertEquals, assertExists } from "@std/assert";

import { blocksOf, readPage, runInClone } from "./support/clone.ts";

const ROOT = new URL("../", import.meta.url);
const README = await readPage("README.md");

const EXAMPLES = blocksOf(README, "ts");

async function outputOf(source: string): Promise<string> {
  const { code, stdout, stderr } = await runInClone(source);
  assertEquals([code, stderr], [0, ""]);
  return stdout;
}

Deno.test("README: the first example runs in a clone as it stands, and prints what it says", async () => {
  assertEquals(await outputOf(EXAMPLES[0]!), "page seven\n");
});

Deno.test("README: the example of appending loses nothing", async () => {
  const append = EXAMPLES.find((source) => source.includes("function append"));
  assertExists(append);
  const program = [
    `import { Aio } from "./mod.ts";`,
    `await using aio = await Aio.open();`,
    `await using file = await aio.openFile("log", { read: true, write: true, create: true });`,
    `const lines = Array.from({ length: 10 }, (_, i) => new TextEncoder().encode(\`line \${i}\\n\`));`,
    append,
    `console.log(await Deno.readTextFile("log"));`,
  ];
  const lines = Array.from({ length: 10 }, (_, i) => `line ${i}\n`);
  assertEquals(await outputOf(program.join("\n")), `${lines.join("")}\n`);
});

Deno.test("README: every task that it names exists", async () => {
  const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  for (const [, task] of README.matchAll(/\btask ([a-z_]+(?::[a-z_]+)?)/g)) {
    assertExists(config.tasks[task!]);
  }
});
