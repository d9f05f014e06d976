/**
 * forgotten_test.ts: an Aio that has to close files for its user says which, and where they were
 * opened; users who close them get no warning.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { Aio } from "../../../storage/mod.ts";
import { openAio, testEachMethod } from "../../support/methods.ts";
import { countDescriptorsOf, LIBRARY_URL } from "../../support/program.ts";
import { tempDir } from "../../support/temp.ts";
import { Turns } from "../../support/turns.ts";

const SOURCE = Deno.readTextFileSync(new URL(import.meta.url)).split("\n");
const isLinux = Deno.build.os === "linux";

/** The end of each warning. */
const REMEDY = 'close each with file.close() or "await using"';

/** A place in this file: the line that ends with a mark. */
function placeOf(mark: string): string {
  return `${import.meta.url}:${SOURCE.findIndex((line) => line.endsWith(`// ${mark}`)) + 1}`;
}

/** The warning without the columns, which formatting changes. */
function withoutColumns(warning: string): string {
  return warning.replaceAll(/(:\d+):\d+(?=;|$)/g, "$1");
}

/** Uses an Aio and two files, and returns the warnings; nothing is open afterwards. */
async function warningsOf(
  method: IoMethodName,
  use: (aio: Aio, a: string, b: string) => Promise<void>,
): Promise<string[]> {
  await using dir = await tempDir();
  const [a, b] = [dir.join("a"), dir.join("b")];
  for (const path of [a, b]) await Deno.writeTextFile(path, "hello");
  const warnings: string[] = [];
  const onWarning = (message: string) => void warnings.push(withoutColumns(message));
  await using aio = await openAio(method, { onWarning });
  await use(aio, a, b);
  await aio.close();
  if (isLinux) assertEquals([countDescriptorsOf(a), countDescriptorsOf(b)], [0, 0]);
  return warnings.map((text) => text.replaceAll(dir.path, ""));
}

const turns = new Turns(7);

testEachMethod(
  "close() warns once of the files that it closes, with their lines",
  async (method) => {
    const warnings = await warningsOf(method, async (aio, a, b) => {
      const file = await aio.openFile(a); // the first
      await file.readAt(new Uint8Array(5), 0);
      aio.openFileSync(b); // the second
      aio.attachFile(file.token); // the third
      await using closed = await aio.openFile(b);
      await closed.readAt(new Uint8Array(5), 0);
    });
    const list = [
      `"/a", opened at ${placeOf("the first")}`,
      `"/b", opened at ${placeOf("the second")}`,
      `"/a", attached at ${placeOf("the third")}`,
    ];
    assertEquals(warnings, [`aio.close() closed 3 files left open: ${list.join("; ")}; ${REMEDY}`]);
  },
  true,
  turns,
);

testEachMethod(
  "close() warns of one file that await using does not close",
  async (method) => {
    const warnings = await warningsOf(method, async (aio, a) => {
      const open = async () => {
        await undefined;
        return await aio.openFile(a, { read: true, write: true }); // inside
      };
      const file = await open();
      await file.writeAt(new Uint8Array(5), 0);
    });
    const place = placeOf("inside");
    assertEquals(warnings, [
      `aio.close() closed a file left open: "/a", opened at ${place}; ${REMEDY}`,
    ]);
  },
  true,
  turns,
);

testEachMethod(
  "close() lists ten files, and counts the others",
  async (method) => {
    const warnings = await warningsOf(method, async (aio, a) => {
      for (let i = 0; i < 13; i++) await aio.openFile(a); // many
    });
    const list = new Array(10).fill(`"/a", opened at ${placeOf("many")}`).join("; ");
    assertEquals(warnings, [
      `aio.close() closed 13 files left open: ${list}; and 3 more; ${REMEDY}`,
    ]);
  },
  true,
  turns,
);

testEachMethod(
  "close() warns of no file that its user closes",
  async (method) => {
    const warnings = await warningsOf(method, async (aio, a, b) => {
      await using inScope = await aio.openFile(a, { read: true, write: true });
      const awaited = await aio.openFile(b);
      aio.attachFile(awaited.token).closeSync();
      await awaited.close();
      const underWay = await aio.openFile(b);
      const read = underWay.readAt(new Uint8Array(5), 0);
      void underWay.close();
      const afterwards = aio.openFileSync(b);
      await inScope.sync();
      await inScope.close();
      await Promise.all([aio.close(), afterwards.close(), read]);
    });
    assertEquals(warnings, []);
  },
  true,
  turns,
);

testEachMethod(
  "await using closes a file before its Aio, which does not warn",
  async (method) => {
    await using dir = await tempDir();
    const warnings: string[] = [];
    {
      await using aio = await openAio(method, { onWarning: (text) => void warnings.push(text) });
      await using file = await aio.openFile(dir.join("a"), { write: true, create: true });
      await file.writeAt(new Uint8Array(5), 0);
    }
    assertEquals(warnings, []);
  },
  true,
  turns,
);

testEachMethod(
  "without a stack, close() warns all the same",
  async (method) => {
    const limit = Error.stackTraceLimit;
    const warnings = await warningsOf(method, async (aio, a) => {
      Error.stackTraceLimit = 0;
      const opening = aio.openFile(a);
      Error.stackTraceLimit = limit;
      await opening;
    });
    const said = "aio.close() closed a file left open";
    assertEquals(warnings, [`${said}: "/a", opened at an unknown place; ${REMEDY}`]);
  },
  true,
  turns,
);

const ATTACHED = `import { Aio } from ${JSON.stringify(LIBRARY_URL)};
self.onmessage = async ({ data }) => {
  const warnings = [];
  const aio = await Aio.attach(data.aio, { onWarning: (text) => warnings.push(text) });
  aio.attachFile(data.file);
  await aio.openFile(data.path);
  await (await aio.openFile(data.path)).close();
  await aio.close();
  self.postMessage(warnings);
};`;

testEachMethod(
  "an attached thread warns of its own files, at its own close()",
  async (method) => {
    const warnings = await warningsOf(method, async (aio, a, b) => {
      await using file = await aio.openFile(a);
      const url = new URL(`file://${b.replace(/b$/, "worker.js")}`);
      await Deno.writeTextFile(url, ATTACHED);
      const worker = new Worker(url, { type: "module" });
      const answer = Promise.withResolvers<string[]>();
      worker.onmessage = ({ data }) => answer.resolve(data);
      worker.postMessage({ aio: aio.token, file: file.token, path: b });
      const told = await answer.promise;
      worker.terminate();
      const list = `${JSON.stringify(a)}, attached at ${url}:5; ` +
        `${JSON.stringify(b)}, opened at ${url}:6`;
      assertEquals(told.map(withoutColumns), [
        `aio.close() closed 2 files left open: ${list}; ${REMEDY}`,
      ]);
    });
    assertEquals(warnings, []);
  },
  true,
  turns,
);
