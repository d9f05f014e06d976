/**
 * group.ts: the test files of one group as one module, for `deno test`: so they share an isolate,
 * the library in it, and the Aios that tests leave as they found them, which take most of the time
 * of a file. A test without content stands before those of each file, and says which comes. Tests
 * that are for the other part of the suite (`thinning.ts`) are not registered.
 *
 * @module
 */

import { pathToFileURL } from "node:url";
import { FILE_MARK, GROUP_VARIABLE, PART_VARIABLE, setFileUnderTest } from "./part.ts";
import { PartOfTests } from "./thinning.ts";

const register = Deno.test;

/** The tests of a file from here on. */
function begin(file: string): PartOfTests {
  setFileUnderTest(file);
  Reflect.set(Deno, "test", register);
  register(`${FILE_MARK}${file}`, () => {});
  const part = new PartOfTests(file, Deno.readTextFileSync(file));
  if (part.hasAll) return part;
  const registerOfPart = (...args: [string | Deno.TestDefinition, ...never[]]) => {
    const [first] = args;
    if (part.has(typeof first === "string" ? first : first.name)) {
      Reflect.apply(register, Deno, args);
    }
  };
  Reflect.set(Deno, "test", Object.assign(registerOfPart, register));
  return part;
}

for (const file of (Deno.env.get(GROUP_VARIABLE) ?? "").split("\n")) {
  const part = begin(file);
  try {
    await import(pathToFileURL(file).href);
  } catch (error) {
    register(`${file} can be loaded`, () => {
      throw error;
    });
    continue;
  }
  if (part.hasAll || part.count > 0 || Deno.env.get(PART_VARIABLE) === "long") continue;
  register(`${file} has a test for this part`, () => {
    throw new Error("thinning.ts leaves them all to the other one");
  });
}
