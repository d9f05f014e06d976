/**
 * group.ts: the test files of one group as one module, for `deno test`: so they share an isolate,
 * the library in it, and the Aios that tests leave as they found them, which take most of the time
 * of a file. A test without content stands before those of each file, and says which comes.
 *
 * @module
 */

import { pathToFileURL } from "node:url";
import { FILE_MARK, GROUP_VARIABLE, setFileUnderTest } from "./part.ts";

for (const file of (Deno.env.get(GROUP_VARIABLE) ?? "").split("\n")) {
  setFileUnderTest(file);
  Deno.test(`${FILE_MARK}${file}`, () => {});
  try {
    await import(pathToFileURL(file).href);
  } catch (error) {
    Deno.test(`${file} can be loaded`, () => {
      throw error;
    });
  }
}
