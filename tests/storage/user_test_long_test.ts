/**
 * user_test_long_test.ts: users' own `deno test`, with its sanitizers on, passes a test that opens
 * and closes, and finds an Aio that is not closed; and many such tests in a row keep nothing.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { IoMethodName } from "../../methods/mod.ts";
import { hasPool } from "../support/workers/worker_pool.ts";
import { testEachMethod } from "../support/methods.ts";
import { LIBRARY_URL, runProgram } from "../support/program.ts";
import { type ChildResult, runChild, tempDir } from "../support/temp.ts";
import { DrawnMethods } from "../support/turns.ts";

const isLinux = Deno.build.os === "linux";

const turns = new DrawnMethods(2);

/** Registers a test for two methods a run. */
function testDrawn(
  name: string,
  fn: (method: IoMethodName) => Promise<void>,
  isPossible = true,
): void {
  testEachMethod(name, fn, isPossible, turns);
}

/** How {@linkcode runUserTest} runs. */
interface UserTest {
  /** The sanitizers that are on; left out: both. */
  readonly sanitizers?: Pick<Deno.TestDefinition, "sanitizeOps" | "sanitizeResources">;
  /** What stands before the test, which may use `options`. */
  readonly outside?: string;
}

const BOTH = { sanitizeOps: true, sanitizeResources: true };

/** Runs a test of a user, in a folder of its own. */
async function runUserTest(
  method: string,
  body: string,
  { sanitizers = BOTH, outside = "" }: UserTest = {},
): Promise<ChildResult> {
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("deno.json"), "{}");
  await Deno.writeTextFile(
    dir.join("user_test.ts"),
    `import { Aio } from ${JSON.stringify(LIBRARY_URL)};
    const options = { method: ${JSON.stringify(method)} };
    const path = new URL("./data", import.meta.url);
    ${outside}
    Deno.test({ name: "user", ...${JSON.stringify(sanitizers)}, fn: async () => {
      ${body}
    } });`,
  );
  await Deno.writeTextFile(dir.join("data"), "hello");
  const args = ["test", "-A", "--no-check", "--no-lock", "--trace-leaks", "user_test.ts"];
  return await runChild(args, { cwd: dir.path });
}

function assertPassed(result: ChildResult): void {
  assertEquals(result.code, 0, `${result.stdout}\n${result.stderr}`);
  assertStringIncludes(result.stdout, "1 passed | 0 failed");
}

testDrawn("a user's test that opens and closes passes the sanitizers", async (method) => {
  assertPassed(
    await runUserTest(
      method,
      `await using aio = await Aio.open(options);
      await using file = await aio.openFile(path, { read: true, write: true });
      const buffers = Array.from({ length: 100 }, () => new Uint8Array(3));
      await Promise.all(buffers.map((buffer) => file.readAt(buffer, 1)));
      await file.writeAt(buffers, 0);
      await file.sync();
      file.readAtSync(buffers, 0);`,
    ),
  );
});

testDrawn(
  "a user's test that leaves the file to close() of the Aio passes too",
  async (method) => {
    assertPassed(
      await runUserTest(
        method,
        `const aio = await Aio.open(options);
      const files = [await aio.openFile(path), await aio.openFile(path), aio.openFileSync(path)];
      await files[0].readAt(new Uint8Array(3), 1);
      await aio.close();
      if (!files.every((file) => file.isClosed)) throw new Error("a file is open");`,
      ),
    );
  },
);

testDrawn("a user's test that closes with operations pending passes too", async (method) => {
  assertPassed(
    await runUserTest(
      method,
      `const aio = await Aio.open(options);
      const file = await aio.openFile(path, { read: true, write: true });
      const pending = [file.readAt(new Uint8Array(3), 1), file.sync(), file.size(), file.truncate(9)];
      const settled = Promise.allSettled(pending);
      await Promise.all([aio.close(), file.close()]);
      await settled;`,
    ),
  );
});

testDrawn("a user's test that does not await a write passes", async (method) => {
  assertPassed(
    await runUserTest(
      method,
      `await using aio = await Aio.open(options);
      await using file = await aio.openFile(path, { write: true });
      void file.writeAt(new Uint8Array(3), 1);`,
    ),
  );
});

testDrawn("a user's test that forgets a file passes, with the warning", async (method) => {
  const result = await runUserTest(
    method,
    `await using aio = await Aio.open(options);
    await (await aio.openFile(path)).readAt(new Uint8Array(3), 1);`,
  );
  assertPassed(result);
  assertMatch(
    `${result.stdout}${result.stderr}`,
    /aio: aio\.close\(\) closed a file left open: ".*data", opened at file:.*user_test\.ts:7:/,
  );
});

for (
  const [where, outside] of [
    ["in the module", "const aio = await Aio.open(options);"],
    [
      "in beforeAll()",
      "let aio; Deno.test.beforeAll(async () => { aio = await Aio.open(options); });",
    ],
  ] as const
) {
  testDrawn(`a user's test may use an Aio that was opened ${where}`, async (method) => {
    assertPassed(
      await runUserTest(
        method,
        `await using file = await aio.openFile(path, { read: true, write: true });
        await file.readAt(new Uint8Array(3), 1);
        await file.sync();`,
        { outside },
      ),
    );
  });
}

/** The lines that the warning at the end names, where Aios were opened. */
function toldAtTheEnd({ stdout, stderr }: ChildResult): string[] {
  const told =
    /aio: an Aio was not closed, opened at file:.*(user_test\.ts:\d+):\d+: call aio\.close\(\)/g;
  return Array.from(`${stdout}${stderr}`.matchAll(told), ([, place]) => place ?? "");
}

/** What the report says for each Aio, with the line that opened it. */
function leaksOf({ stdout }: ChildResult): string[] {
  const lines = stdout.split("\n");
  return lines.flatMap((line, at) => {
    if (!line.includes("at deno-aio: an Aio that was not closed; call aio.close() (")) return [];
    const from = lines.slice(at).find((other) => other.includes("user_test.ts:"));
    return [from?.match(/user_test\.ts:\d+/)?.[0] ?? "not told"];
  });
}

for (
  const [which, sanitizers] of [
    ["both sanitizers", BOTH],
    ["the sanitizer of resources", { sanitizeOps: false, sanitizeResources: true }],
    ["the sanitizer of operations", { sanitizeOps: true, sanitizeResources: false }],
  ] as const
) {
  testDrawn(`each Aio that a test does not close is reported by ${which}`, async (method) => {
    const body = `const aio = await Aio.open(options);
      await using closed = await Aio.open(options);
      await Aio.open(options);
      await (await aio.openFile(path)).readAt(new Uint8Array(3), 1);`;
    const result = await runUserTest(method, body, { sanitizers });
    assert(result.code !== 0, result.stdout);
    assertStringIncludes(result.stdout, "0 passed | 1 failed");
    const lines = ["user_test.ts:6", "user_test.ts:8"];
    assertEquals(leaksOf(result).sort(), lines, result.stdout);
    assertEquals(toldAtTheEnd(result), lines, result.stdout);
  });
}

testDrawn("without sanitizers, an Aio that a test leaves open is reported", async (method) => {
  const outside = "const openDb = async () => await Aio.open(options);";
  const sanitizers = { sanitizeOps: false, sanitizeResources: false };
  const result = await runUserTest(method, "await openDb();", { sanitizers, outside });
  assertPassed(result);
  assertEquals(toldAtTheEnd(result), ["user_test.ts:4"], result.stdout);
});

testDrawn("a program that closes neither Aio nor file ends without a word", async (method) => {
  const program = `const aio = await Aio.open({ method: Deno.args[0] });
    const file = await aio.openFile("/proc/self/exe");
    console.log(await file.readAt(new Uint8Array(4), 0));`;
  const { code, stdout, stderr } = await runProgram(program, { args: [method] });
  assertEquals([code, stdout, stderr], [0, "4\n", ""]);
}, isLinux);

testDrawn("opening again and again keeps no descriptor and no mapping", async (method) => {
  // Each Aio with a pool starts Workers, which takes longer.
  const times = hasPool(method) ? 20 : 100;
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("data"), "hello");
  const program = `
    const count = () => ({
      fds: [...Deno.readDirSync("/proc/self/fd")].length,
      maps: Deno.readTextFileSync("/proc/self/maps").split("\\n").length,
    });
    const [method, path] = Deno.args;
    const use = async (times) => {
      for (let i = 0; i < times; i++) {
        await using aio = await Aio.open({ method });
        await using file = await aio.openFile(path, { read: true, write: true });
        await file.readAt(new Uint8Array(5), 0);
        await file.writeAt(aio.alloc(5), 0);
        if (i % 20 === 0) gc();
      }
      for (let i = 0; i < 5; i++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        gc();
      }
    };
    await use(${times / 10});
    const before = count();
    await use(${times});
    const after = count();
    console.log(after.fds - before.fds, after.maps - before.maps);`;
  const flags = ["-A", "--v8-flags=--expose-gc"];
  const args = [method, dir.join("data")];
  const result = await runProgram(program, { flags, args, timeLimitMs: 60_000 });
  assertEquals([result.code, result.stderr], [0, ""]);
  const [fds, maps] = result.stdout.trim().split(" ").map(Number);
  // Deno itself opens a few at some time.
  assert(fds !== undefined && fds < 10, `${fds} descriptors more`);
  // Each Aio has two memories, each with several mappings, and the collector may be late for some.
  assert(maps !== undefined && maps < 100, `${maps} mappings more`);
}, isLinux);
