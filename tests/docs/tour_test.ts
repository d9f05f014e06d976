/**
 * tour_test.ts: each block of docs/tour.md runs as it stands, in a folder of its own, and prints
 * what the tour says.
 */

import { assertEquals } from "@std/assert";
import { blocksOf, readPage, runInClone } from "../support/clone.ts";

const TOUR = await readPage("docs/tour.md");

/** The blocks by the file that their first line names. */
const FILES = new Map(
  blocksOf(TOUR, "ts").map((source) => [/^\/\/ (\S+)\n/.exec(source)![1]!, source]),
);

/** Runs programs of the tour in one folder that has all of its files. @returns what they printed */
async function runTour(...programs: readonly string[]): Promise<readonly string[]> {
  const { code, stderr, outputs } = await runInClone(programs, Object.fromEntries(FILES));
  assertEquals([code, stderr], [0, ""]);
  return outputs;
}

/** What the tour says that a program prints, in comments. */
function saidOf(command: string): string[] {
  const block = blocksOf(TOUR, "sh").find((source) => source.includes(command))!;
  return block.split("\n").flatMap((line) => /# (.*)/.exec(line)?.[1] ?? []);
}

Deno.test("docs/tour.md: its first program prints what it says", async () => {
  const first = FILES.get("first.ts")!;
  const outputs = await runTour(first, first);
  assertEquals(outputs.map((text) => text.trim()), saidOf("first.ts"));
});

Deno.test("docs/tour.md: its store recovers", async () => {
  const [output] = await runTour(FILES.get("recover.ts")!);
  assertEquals(output!.trim().split("\n"), saidOf("recover.ts"));
});

Deno.test("docs/tour.md: its server stores values and serves parts of them", async () => {
  const client = `
    import { serve } from "./server.ts";
    import { Store } from "./store.ts";
    {
      await using store = await Store.open("served.db");
      const server = serve(store, 0);
      const ask = async (key, options) => {
        const response = await fetch(\`http://localhost:\${server.addr.port}/\${key}\`, options);
        console.log(response.status, (await response.text()).trim());
      };
      await ask("greeting", { method: "PUT", body: "hello, client\\n" });
      await ask("greeting", { headers: { range: "bytes=7-" } });
      await ask("greeting", { headers: { range: "bytes=0-4" } });
      await ask("greeting", { headers: { range: "bytes=14-" } });
      await ask("greeting", {});
      await ask("nothing", {});
      await server.shutdown();
    }`;
  const [output] = await runTour(client);
  const [stored, part] = saidOf("server.ts");
  assertEquals(output!.trim().split("\n"), [
    `201 ${stored}`,
    `206 ${part}`,
    "206 hello",
    "416 ",
    "200 hello, client",
    "404 There is no such value.",
  ]);
});
