/**
 * stopped_test.ts: a process that is stopped and continued while it waits for IO (`SIGSTOP`,
 * `SIGCONT`) loses none of it: the system calls that it waits in end early.
 */

import { assertEquals } from "@std/assert";
import { METHODS_UNDER_TEST, methodsOfPart } from "../../support/methods.ts";
import { LineProcess } from "../../support/line_process.ts";
import { until } from "../../support/patience.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const STOPS = 10;
const TASKS = 8;
const READS = 100;
const FILE_BYTES = 1_048_576;
const SEED = 11;
const MOD_URL = import.meta.resolve("../../../mod.ts");

/** Reads and compares, with each task's IO alone in flight now and then, until it may end. */
const SOURCE = `
  import { Buffer } from "node:buffer";
  import { Aio } from ${JSON.stringify(MOD_URL)};
  const [method, path] = Deno.args;
  await using aio = await Aio.open({ method, workers: { min: 2, max: 2 } });
  await using file = await aio.openFile(path, { direct: "optional" });
  const content = await Deno.readFile(path);
  async function read(task) {
    using view = aio.alloc(4096);
    for (let i = 0; i < ${READS}; i++) {
      const offset = 4096 * ((task * 7919 + i * 104729) % ${FILE_BYTES / 4096});
      await file.readAt(view, offset);
      if (Buffer.compare(view, content.subarray(offset, offset + 4096)) !== 0) return false;
    }
    return true;
  }
  const lines = Deno.stdin.readable.pipeThrough(new TextDecoderStream());
  for await (const _line of lines) {
    const results = await Promise.all(Array.from({ length: ${TASKS} }, (_, task) => read(task)));
    const { dozes, sleeps } = aio.backends()[0].counters;
    console.log(JSON.stringify([results.every(Boolean), dozes + sleeps > 0 || method === "sync"]));
  }
`;

/** The letter of a process's state: T, it is stopped. */
function stateOf(pid: number): string {
  return / ([A-Z]) /.exec(Deno.readTextFileSync(`/proc/${pid}/stat`))![1]!;
}

const TITLE = "IO goes on after the process was stopped and continued";
for (const { name, ignore } of methodsOfPart(TITLE, METHODS_UNDER_TEST)) {
  Deno.test({
    name: `${name}: ${TITLE}`,
    ignore: ignore || Deno.build.os !== "linux",
    async fn() {
      await using dir = await tempDir();
      await writeRandomFile(dir.join("data"), FILE_BYTES, SEED);
      await using child = new LineProcess(SOURCE, [name, dir.join("data")]);
      await child.say("go");
      let isOver = false;
      const answer = child.nextLine().finally(() => isOver = true);
      for (let i = 0; i < STOPS && !isOver; i++) {
        Deno.kill(child.pid, "SIGSTOP");
        await until(() => stateOf(child.pid) === "T", "the process is stopped");
        Deno.kill(child.pid, "SIGCONT");
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      assertEquals(JSON.parse(await answer), [true, true]);
    },
  });
}
