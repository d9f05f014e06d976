/**
 * replace_file_killed_long_test.ts: a process is killed before each call into the system that
 * `replaceFile()` makes, in one run after another, until it makes no more.
 */

import { assert, assertEquals } from "@std/assert";
import type { IoMethodName } from "../../../methods/mod.ts";
import { testEachMethod } from "../../support/methods.ts";
import { runProgram } from "../../support/program.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";

const OLD = "the old file ".repeat(1000);
const NEW = "the new file, which is longer ".repeat(2000);
const MODE = 0o640;
/** What a shell says of SIGKILL. */
const KILLED = 128 + 9;
const TESTING = new URL("../../../testing/", import.meta.url).href;
const REGISTRY_URL = new URL("../../../methods/registry.ts", import.meta.url).href;

/** Replaces a file, and dies before the nth call. Says how many calls there were. */
const REPLACER = `
  import { METHODS } from ${JSON.stringify(REGISTRY_URL)};
  import { failCalls, failingMethod } from ${JSON.stringify(`${TESTING}failing_calls.ts`)};
  import { Interposed } from ${JSON.stringify(`${TESTING}interpose.ts`)};
  import { NthCall } from ${JSON.stringify(`${TESTING}nth_call.ts`)};
  const [path, nth, method] = Deno.args;
  class Death extends NthCall {
    next(name) {
      if (super.next(name)) Deno.kill(Deno.pid, "SIGKILL");
      return false;
    }
  }
  const death = new Death(Number(nth), "EIO", false);
  const aio = await Aio.open({ method }, METHODS.map((one) => failingMethod(one, death)));
  {
    using hooks = new Interposed();
    death.count = 0;
    failCalls(hooks, death);
    await aio.replaceFile(path, ${JSON.stringify(NEW)});
  }
  await aio.close();
  console.log("replaced");`;

/** Kills it before one call. @returns whether it came to an end before that */
async function replaceOnce(method: IoMethodName, path: string, nth: number): Promise<boolean> {
  const args = [path, `${nth}`, method];
  const { code, stdout, stderr } = await runProgram(REPLACER, { args });
  if (code === KILLED) return false;
  assertEquals([code, stdout, stderr], [0, "replaced\n", ""]);
  return true;
}

/** What a death may leave beside the file. @returns what the file holds */
async function checkFolder(dir: TempDir, path: string): Promise<string> {
  const left = [...Deno.readDirSync(dir.path)].map(({ name }) => name);
  const temporary = left.filter((name) => name.startsWith(".file.") && name.endsWith(".tmp"));
  assert(temporary.length <= 1, temporary.join());
  assertEquals(left.length, 1 + temporary.length);
  for (const name of temporary) await Deno.remove(dir.join(name));
  assertEquals((await Deno.stat(path)).mode! & 0o777, MODE);
  return await Deno.readTextFile(path);
}

testEachMethod(
  "replaceFile() that is killed before any of its calls leaves the old file or the new one",
  async (method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    const found: string[] = [];
    for (let nth = 1, isOver = false; !isOver; nth++) {
      await Deno.writeTextFile(path, OLD);
      await Deno.chmod(path, MODE);
      isOver = await replaceOnce(method, path, nth);
      const content = await checkFolder(dir, path);
      assert(content === OLD || content === NEW, `neither, after a death at call ${nth}`);
      found.push(content === OLD ? "old" : "new");
    }
    // It died on both sides of the renaming. Two runs need not make the same calls before that.
    const deaths = found.slice(0, -1);
    assertEquals([deaths[0], deaths.includes("new"), found.at(-1)], ["old", true, "new"]);
  },
);
