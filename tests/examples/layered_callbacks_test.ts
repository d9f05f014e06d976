/**
 * layered_callbacks_test.ts: examples/layered_callbacks.ts on pages that are in order, missing,
 * empty, damaged.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { type ChildResult, tempDir } from "../support/temp.ts";
import { runOnFile } from "./example_run.ts";

const PAGE_BYTES = 8192;
const PAGES = 4;

/** A page with a header as PostgreSQL writes it. */
function validPage(): Uint8Array<ArrayBuffer> {
  const page = new Uint8Array(PAGE_BYTES).fill(0xa5, 24);
  const view = new DataView(page.buffer);
  const [lower, upper, special, sizeAndVersion] = [28, 8000, PAGE_BYTES, PAGE_BYTES | 4];
  for (const [i, value] of [lower, upper, special, sizeAndVersion].entries()) {
    view.setUint16(12 + 2 * i, value!, true);
  }
  return page;
}

/** Runs the example on four valid pages that were changed. */
async function runOnPages(
  change: (file: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer> | void,
): Promise<ChildResult> {
  await using dir = await tempDir();
  const file = new Uint8Array(PAGES * PAGE_BYTES);
  for (let i = 0; i < PAGES; i++) file.set(validPage(), i * PAGE_BYTES);
  await Deno.writeFile(dir.join("table"), change(file) ?? file);
  return await runOnFile("layered_callbacks.ts", dir.join("table"));
}

Deno.test("layered_callbacks.ts runs the layer nearest to the file first", async () => {
  const { code, stdout, stderr } = await runOnPages(() => {});
  assertEquals(
    stdout,
    "wholePages: ok, 32768 of 32768 bytes\npageHeaders: ok, 4 pages\nAll pages are in order\n",
  );
  assertEquals(stderr, "");
  assertEquals(code, 0);
});

Deno.test("layered_callbacks.ts tells that the file ends within the pages", async () => {
  const { code, stdout, stderr } = await runOnPages((file) => file.slice(0, 2.5 * PAGE_BYTES));
  assertEquals(
    stdout,
    "wholePages: partial, 20480 of 32768 bytes\npageHeaders: partial, 2 pages\n",
  );
  assertEquals(stderr, "aio: read only 2 of 4 pages\n");
  assertEquals(code, 0);
});

Deno.test("layered_callbacks.ts warns of a page that was never written", async () => {
  const { code, stderr } = await runOnPages((file) =>
    void file.fill(0, PAGE_BYTES, 3 * PAGE_BYTES)
  );
  assertEquals(stderr, "aio: page 1 is empty: it was never written\n");
  assertEquals(code, 0);
});

for (const at of [12, 14, 16, 18]) {
  Deno.test(`layered_callbacks.ts fails for a page with a wrong byte ${at} in its header`, async () => {
    const { code, stderr } = await runOnPages((file) => {
      file.fill(0, 0, PAGE_BYTES); // An error outranks this warning.
      file.fill(at === 12 ? 1 : 0xff, 2 * PAGE_BYTES + at, 2 * PAGE_BYTES + at + 2);
      if (at === 12) file[2 * PAGE_BYTES + at + 1] = 0;
    });
    assertStringIncludes(stderr, "AioReportError: page 2 is damaged: its header is not valid\n");
    assertEquals(code, 1);
  });
}
