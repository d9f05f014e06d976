/**
 * readme_test.ts: the README's examples run as they stand, and what the README names is there.
 *
 * @module
 */

import { assertEquals, assertExists } from "@std/assert";
import { blocksOf, readPage, runInClone } from "./support/clone.ts";

const ROOT = new URL("../", import.meta.url);
const README = await readPage("README.md");

const EXAMPLES = blocksOf(README, "ts");

Deno.test("README: the first example runs as it stands, and that of appending loses nothing", async () => {
  const append = EXAMPLES.find((source) => source.includes('openFile("events.log"'));
  assertExists(append);
  const program = [
    `import { Aio } from "./mod.ts";`,
    `await using aio = await Aio.open();`,
    `const lines = Array.from({ length: 10 }, (_, i) => new TextEncoder().encode(\`line \${i}\\n\`));`,
    append,
    `console.log(offsets.join(), await Deno.readTextFile("events.log"));`,
  ];
  const { code, stderr, outputs } = await runInClone([EXAMPLES[0]!, program.join("\n")]);
  assertEquals([code, stderr], [0, ""]);
  const lines = Array.from({ length: 10 }, (_, i) => `line ${i}\n`);
  const offsets = lines.map((line, i) => i * line.length).join();
  assertEquals(outputs, ["page seven\n", `${offsets} ${lines.join("")}line 0\n\n`]);
});

Deno.test("README: every task that it names exists", async () => {
  const config = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  for (const [, task] of README.matchAll(/\btask ([a-z_]+(?::[a-z_]+)?)/g)) {
    assertExists(config.tasks[task!]);
  }
});
