/**
 * user_test_test.ts: users' own `deno test`, with both sanitizers on, is content with a test that
 * opens and closes; and many such in a row keep nothing.
 *
 * @module
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { testEachMethod } from "../support/methods.ts";
import { LIBRARY_URL, runProgram } from "../support/program.ts";
import { type ChildResult, runChild, tempDir } from "../support/temp.ts";

const isLinux = Deno.build.os === "linux";

/** Runs a test of a user, in a folder of its own, with a configuration that has the sanitizers on. */
async function runUserTest(method: string, body: string): Promise<ChildResult> {
  await using dir = await tempDir();
  await Deno.writeTextFile(
    dir.join("deno.json"),
    JSON.stringify({ test: { sanitizeOps: true, sanitizeResources: true } }),
  );
  await Deno.writeTextFile(
    dir.join("user_test.ts"),
    `import { Aio } from ${JSON.stringify(LIBRARY_URL)};
    const options = { method: ${JSON.stringify(method)} };
    const path = new URL("./data", import.meta.url);
    Deno.test({ name: "user", sanitizeOps: true, sanitizeResources: true, fn: async () => {
      ${body}
    } });`,
  );
  await Deno.writeTextFile(dir.join("data"), "hello");
  const args = ["test", "-A", "--no-check", "--no-lock", "user_test.ts"];
  return await runChild(args, { cwd: dir.path });
}

function assertPassed(result: ChildResult): void {
  assertEquals(result.code, 0, `${result.stdout}\n${result.stderr}`);
  assertStringIncludes(result.stdout, "1 passed | 0 failed");
}

testEachMethod("a user's test that opens and closes passes the sanitizers", async (method) => {
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

testEachMethod(
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

testEachMethod("a user's test that closes with operations pending passes too", async (method) => {
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

testEachMethod("a user's test that forgets close() fails", async (method) => {
  const result = await runUserTest(method, `await Aio.open(options);`);
  assert(result.code !== 0, result.stdout);
  assertStringIncludes(result.stdout, "0 passed | 1 failed");
});

testEachMethod("opening again and again keeps no descriptor and no mapping", async (method) => {
  // Each starts Workers: tests/methods/worker_test.ts counts those of more.
  const times = method === "worker" ? 20 : 100;
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
  // Deno opens a few of its own at some time.
  assert(fds !== undefined && fds < 10, `${fds} descriptors more`);
  // Each Aio has two memories, each with several mappings; the collector may be some behind.
  assert(maps !== undefined && maps < 100, `${maps} mappings more`);
}, isLinux);
