/**
 * docs_test.ts: what the documentation says of options is true, its programs run, and its links
 * lead somewhere.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { effectiveOptions } from "../core/base/options.ts";
import { readPage, runInClone } from "./support/clone.ts";

/** A program, and the output that the page shows below it, if any. */
const PROGRAM = /```ts\n((?:(?!```)[^])*)```(?:\n\nprints\n\n```text\n([^]*?)```)?/g;
/** The output that a program states in a comment of its own. */
const SAID = /console\.log\(.*; \/\/ (.*)$/gm;

/** The system chooses the numbers of descriptors. */
function anyDescriptor(text: string): string {
  return text.replaceAll(/descriptor \d+/g, "descriptor 0");
}

for (const path of ["docs/tuning.md", "docs/debugging.md"]) {
  Deno.test(`${path}: its programs run, and print what they and the page say`, async () => {
    const programs = Array.from((await readPage(path)).matchAll(PROGRAM))
      .filter(([, program]) => program!.includes("import "));
    assertGreater(programs.length, 0);
    const { code, stderr, outputs } = await runInClone(programs.map(([, program]) => program!));
    assertEquals([code, stderr], [0, ""], outputs.join("\n"));
    for (const [i, [, program, below]] of programs.entries()) {
      const said = Array.from(program!.matchAll(SAID), ([, text]) => text);
      assertEquals(outputs[i]!.split("\n").slice(0, said.length), said, program);
      if (below !== undefined) assertEquals(anyDescriptor(outputs[i]!), anyDescriptor(below));
    }
    if (path === "docs/debugging.md") assert(programs.some(([, , below]) => below !== undefined));
  });
}

const ROOT = new URL("../", import.meta.url);
const PAGES = ["README.md", "CHANGELOG.md"].concat(
  Array.from(Deno.readDirSync(new URL("docs", ROOT)), ({ name }) => `docs/${name}`)
    .filter((path) => path.endsWith(".md")),
);

/** The names of a page's headings, as links have them. */
function anchorsOf(page: string): string[] {
  return Array.from(
    page.matchAll(/^#+ (.*)$/gm),
    ([, heading]) => heading!.toLowerCase().replaceAll(/[^\w\s-]/g, "").replaceAll(" ", "-"),
  );
}

for (const path of PAGES) {
  Deno.test(`${path}: what it links to is there`, async () => {
    const page = await readPage(path);
    for (const [, target, anchor] of page.matchAll(/\]\(([^)#\s]*)#?([^)\s]*)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const url = new URL(target === "" ? path : target!, new URL(target === "" ? "" : path, ROOT));
      assert((await Deno.stat(url)).isFile, target);
      if (anchor === "") continue;
      const anchors = anchorsOf(await Deno.readTextFile(url));
      assert(anchors.includes(anchor!), `${target}#${anchor}`);
    }
  });
}

Deno.test("docs/tuning.md: names every option there is", async () => {
  const page = await readPage("docs/tuning.md");
  const refusal = assertThrows(() => effectiveOptions({ unknown: 1 } as never), TypeError);
  const names = refusal.message.split("known are ")[1]!.split(", ");
  assertGreater(names.length, 10);
  for (const name of names.filter((name) => name !== "workers")) {
    assert(page.includes(`\`${name}\``), name);
  }
  for (const name of Object.keys(effectiveOptions().workers)) {
    assert(page.includes(`\`workers.${name}\``), name);
  }
});

Deno.test("docs/tuning.md: the defaults of numbers are those in force", async () => {
  const page = await readPage("docs/tuning.md");
  const rows = Array.from(page.matchAll(/^\| `([\w.]+)` +\| [^|]+\| ([\d]+)( MiB)? +\|/gm));
  const { workers, ...others } = effectiveOptions();
  const inForce = new Map(Object.entries(others).map(([name, value]) => [name, value as unknown]));
  for (const [name, value] of Object.entries(workers)) inForce.set(`workers.${name}`, value);
  assertGreater(rows.length, 8);
  for (const [, name, number, mib] of rows) {
    assertEquals(inForce.get(name!), Number(number) * (mib === undefined ? 1 : 2 ** 20), name);
  }
});
