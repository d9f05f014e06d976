/**
 * setup_test.ts: `setup.ts` finds what is missing by the files that the tests use, and says how to
 * get it.
 *
 * @module
 */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { findMissing, installCommands, manualCommand, type Prerequisite } from "./setup.ts";
import { runChild } from "../temp.ts";

const NEEDS: readonly Prerequisite[] = [
  { package: "one", why: "", anyOf: [["/a/lib"], ["/b/lib"]] },
  { package: "two", why: "", anyOf: [["/bin/1/x", "/bin/1/y"], ["/bin/2/x", "/bin/2/y"]] },
];

function missingWith(...files: string[]): string[] {
  return findMissing(NEEDS, (path) => files.includes(path)).map((it) => it.package);
}

Deno.test("findMissing() wants all files of one group", () => {
  assertEquals(missingWith("/b/lib", "/bin/2/x", "/bin/2/y"), []);
  assertEquals(missingWith("/a/lib", "/bin/1/x", "/bin/2/y"), ["two"]);
  assertEquals(missingWith("/bin/1/x", "/bin/1/y"), ["one"]);
  assertEquals(missingWith(), ["one", "two"]);
});

Deno.test("installCommands() updates, then installs without questions or extras", () => {
  const [update, install] = installCommands(["one", "two"]).map((words) => words.join(" "));
  assertMatch(update ?? "", /^apt-get .*update$/);
  assertMatch(install ?? "", /^apt-get .*install -y --no-install-recommends one two$/);
  assertStringIncludes(manualCommand(["one"]), "DEBIAN_FRONTEND=noninteractive apt-get install");
});

Deno.test({
  name: "setup.ts prints the command and exits 0 where it may not install",
  ignore: Deno.build.os !== "linux",
  async fn() {
    // Without permissions setup.ts can see no file, so everything counts as missing.
    const script = join(import.meta.dirname ?? ".", "setup.ts");
    const result = await runChild(["run", "--no-prompt", "--allow-sys=uid", script]);
    assertEquals(result.code, 0, result.stderr);
    assertMatch(
      result.stdout,
      /apt-get install -y --no-install-recommends liburing2 postgresql-15/,
    );
    assertStringIncludes(result.stdout, "are ignored, by name");
  },
});
