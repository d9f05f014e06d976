/**
 * server_closes_test.ts: files on a file system that writes back at close: close() reports its
 * error, which the system reports only once, and closes that hang hold up nothing else.
 *
 * @module
 */

import { assertEquals, assertRejects } from "@std/assert";
import { AioSystemError } from "../../../core/mod.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import type { FuseServer } from "../../support/disks/fuse_server.ts";
import { testsOnFuse } from "../../support/disks/on_fuse.ts";
import { openAio } from "../../support/methods.ts";
import { settles, until } from "../../support/patience.ts";
import { countDescriptorsOf, runProgram } from "../../support/program.ts";
import { tempDir } from "../../support/temp.ts";
import { Turns } from "../../support/turns.ts";

const OPTIONS = { read: true, write: true } as const;
/** Most closes that are executed at a time. */
const CLOSES_MAX = 8;

const testOnFuse = testsOnFuse(new Turns(5));

/** The threads of all Workers. */
function workerThreads(): string[] {
  const names = [...Deno.readDirSync("/proc/self/task")].map(({ name }) => name);
  return names.filter((name) => {
    try {
      return Deno.readTextFileSync(`/proc/self/task/${name}/comm`).startsWith("worker-");
    } catch {
      return false; // It has ended.
    }
  });
}

function openAll(aio: Aio, server: FuseServer, count: number): Promise<AioFile[]> {
  const names = Array.from({ length: count }, (_, i) => server.join(`file ${i}`));
  return Promise.all(names.map((name) => aio.openFile(name, OPTIONS)));
}

testOnFuse(
  "file.close() tells an error that the file system tells once",
  async (server, method) => {
    await using aio = await openAio(method);
    for (const code of ["EDQUOT", "ENOSPC", "EIO"] as const) {
      const file = await aio.openFile(server.join("file"), OPTIONS);
      await file.writeAt(new Uint8Array(10), 0);
      await server.failOnce("FLUSH", errnoOf(code)!);
      const error = await assertRejects(() => file.close(), AioSystemError);
      assertEquals([Reflect.get(error, "code"), Reflect.get(error, "syscall")], [code, "close"]);
      assertEquals(countDescriptorsOf(server.join("file")), 0);
    }
  },
);

testOnFuse("file.close() of files that hang holds up no other file", async (server, method) => {
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("file"), "hello");
  await using aio = await openAio(method);
  const files = await openAll(aio, server, CLOSES_MAX + 1);
  await server.hold("FLUSH");
  const closings = files.map((file) => file.close());
  for (let i = 0; i < CLOSES_MAX; i++) await server.untilHeld("FLUSH");
  assertEquals(await Deno.readTextFile(dir.join("file")), "hello");
  const file = await aio.openFile(dir.join("file"), OPTIONS);
  assertEquals(await file.size(), 5);
  await file.close();
  await server.release("FLUSH");
  await Promise.all(closings);
});

testOnFuse("aio.close() leaves no Worker that has closed files", async (server, method) => {
  const before = workerThreads();
  const aio = await openAio(method);
  const files = await openAll(aio, server, 2);
  await Promise.all(files.map((file) => file.close()));
  await aio.close();
  const left = () => workerThreads().filter((thread) => !before.includes(thread));
  await until(() => left().length === 0, () => `the threads end: ${left()}`);
});

testOnFuse("a Worker that has closed a file lets the program end", async (server, method) => {
  const program = `
    const aio = await Aio.open({ method: ${JSON.stringify(method)}, onWarning: () => {} });
    await (await aio.openFile(Deno.args[0])).close();
    console.log("closed");`;
  const running = runProgram(program, { args: [server.join("file")] });
  assertEquals(await settles(running), true);
  const { code, stdout } = await running;
  assertEquals([code, stdout.trim()], [0, "closed"]);
});

testOnFuse(
  "file.close() without descriptors for a Worker closes all the same, and says EIO",
  async (server, method) => {
    const program = `
      const aio = await Aio.open({ method: ${JSON.stringify(method)}, onWarning: () => {} });
      const file = await aio.openFile(Deno.args[0], { write: true });
      const taken = [];
      try {
        for (;;) taken.push(Deno.openSync("/dev/null"));
      } catch { /* None is left. */ }
      for (const one of taken.splice(0, 3)) one.close();
      const code = await file.close().then(() => "none", ({ code }) => code);
      for (const one of taken) one.close();
      const names = [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
        try { return Deno.readLinkSync("/proc/self/fd/" + name); } catch { return ""; }
      });
      console.log(code, names.includes(Deno.args[0]));
      await aio.close();`;
    await server.fail("FLUSH", errnoOf("EDQUOT")!);
    const options = { args: [server.join("file")], shell: "ulimit -n 200" };
    const { code, stdout, stderr } = await runProgram(program, options);
    assertEquals([code, stdout.trim(), stderr], [0, "EIO false", ""]);
  },
);
