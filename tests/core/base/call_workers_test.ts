/**
 * call_workers_test.ts: Workers that execute calls of the C library: what a call returns, how many
 * there are, and when they end.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { closeSync, openSync } from "node:fs";
import {
  CALL_WORKERS_MAX,
  callInWorker,
  joinCallWorkers,
  leaveCallWorkers,
  type LibraryCall,
} from "../../../core/base/call_workers.ts";
import { EBADF } from "../../../ffi/errno.ts";
import { closeLibc, type Libc, openLibc, SEEK_END } from "../../../ffi/libc.ts";
import { becomes, untilDead } from "../../support/patience.ts";
import { runProgram } from "../../support/program.ts";
import { tempDir } from "../../support/temp.ts";

const IS_LINUX = Deno.build.os === "linux";
const GIB = 2 ** 30;
const MODULE_URL = import.meta.resolve("../../../core/base/call_workers.ts");
const LIBC_URL = import.meta.resolve("../../../ffi/libc.ts");

const THREAD_ID: LibraryCall = { name: "gettid", parameters: [], result: "i32", args: [] };

/** A call that returns once the counter of this eventfd is no longer 0. */
function waiting(fd: number): LibraryCall {
  const pollfd = new Uint8Array(8);
  const view = new DataView(pollfd.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, 1, /* POLLIN */ true);
  const parameters = ["buffer", "u64", "i32"] as const;
  return { name: "poll", parameters, result: "i32", args: [pollfd, 1n, -1] };
}

/** How many Workers are in the system call that {@linkcode waiting} makes. */
function countPolling(): number {
  const syscalls = { x86_64: "7", aarch64: "73" }[Deno.build.arch];
  const threads = [...Deno.readDirSync("/proc/self/task")].map(({ name }) => name);
  return threads.filter((name) => {
    try {
      const path = `/proc/self/task/${name}`;
      return Deno.readTextFileSync(`${path}/comm`).startsWith("worker-") &&
        Deno.readTextFileSync(`${path}/syscall`).startsWith(`${syscalls} `);
    } catch {
      return false; // It has ended.
    }
  }).length;
}

function testCalls(name: string, fn: (libc: Libc) => Promise<void>): void {
  Deno.test({
    name,
    ignore: !IS_LINUX,
    fn: async () => {
      const libc = openLibc();
      joinCallWorkers();
      try {
        await fn(libc);
      } finally {
        await leaveCallWorkers(libc);
        closeLibc(libc);
      }
    },
  });
}

testCalls("callInWorker() returns -errno of a call that failed", async (libc) => {
  const parameters = ["i32"] as const;
  const call: LibraryCall = { name: "close", parameters, result: "i32", args: [0x7fff_fff0] };
  assertEquals(await callInWorker(libc, call), -EBADF);
});

testCalls("callInWorker() returns results of 64 bits", async (libc) => {
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("file"), "");
  await Deno.truncate(dir.join("file"), 5 * GIB);
  const fd = openSync(dir.join("file"), "r");
  try {
    const parameters = ["i32", "i64", "i32"] as const;
    const args = [fd, 0n, SEEK_END];
    const call: LibraryCall = { name: "lseek", parameters, result: "i64", args };
    assertEquals(await callInWorker(libc, call), 5 * GIB);
  } finally {
    closeSync(fd);
  }
});

testCalls("callInWorker() keeps a Worker for the next call", async (libc) => {
  const ids = new Set<number | null>();
  for (let i = 0; i < 10; i++) ids.add(await callInWorker(libc, THREAD_ID));
  assertEquals([ids.has(libc.threadId()), ids.size < 10], [false, true]);
});

testCalls("callInWorker() has as many Workers as calls that wait, up to 8", async (libc) => {
  const counter = libc.eventfd();
  const call = waiting(counter);
  const calls = Array.from({ length: CALL_WORKERS_MAX }, () => callInWorker(libc, call));
  let isOver = false;
  const last = callInWorker(libc, THREAD_ID).finally(() => isOver = true);
  assertEquals(await becomes(() => countPolling() === CALL_WORKERS_MAX), true);
  assertEquals(isOver, false);
  libc.write(counter, new Uint8Array(new BigUint64Array([1n]).buffer));
  assertEquals(await Promise.all(calls), new Array(CALL_WORKERS_MAX).fill(1));
  await last;
  libc.close(counter);
});

testCalls("a Worker that had no call for a while ends", async (libc) => {
  const threadId = await callInWorker(libc, THREAD_ID);
  await untilDead(libc, threadId!);
  assertEquals(await callInWorker(libc, THREAD_ID) === threadId, false);
});

testCalls("leaveCallWorkers() of one user of two leaves the Workers", async (libc) => {
  const threadId = await callInWorker(libc, THREAD_ID);
  joinCallWorkers();
  await leaveCallWorkers(libc);
  assertEquals(libc.isThreadAlive(threadId!), true);
});

testCalls(
  "leaveCallWorkers() of the last user resolves when the threads are gone",
  async (libc) => {
    const calls = Array.from({ length: CALL_WORKERS_MAX }, () => callInWorker(libc, THREAD_ID));
    const ids = await Promise.all(calls);
    await leaveCallWorkers(libc);
    assertEquals(ids.filter((id) => libc.isThreadAlive(id!)), []);
    joinCallWorkers();
  },
);

testCalls("callInWorker() without a user ends its Worker with the call", async (libc) => {
  await leaveCallWorkers(libc);
  const threadId = await callInWorker(libc, THREAD_ID);
  await untilDead(libc, threadId!);
  joinCallWorkers();
});

for (const isGivenUp of [true, false]) {
  const what = isGivenUp ? "given up lets" : "awaited does not let";
  Deno.test({
    name: `callInWorker() that is ${what} the program end`,
    ignore: !IS_LINUX,
    fn: async () => {
      const source = `
        import { callInWorker, joinCallWorkers } from ${JSON.stringify(MODULE_URL)};
        import { openLibc } from ${JSON.stringify(LIBC_URL)};
        import { Patience } from ${
        JSON.stringify(import.meta.resolve("../../../core/base/patience.ts"))
      };
        const libc = openLibc();
        joinCallWorkers();
        const parameters = ["buffer", "u64", "i32"];
        const args = [new Uint8Array(8), 0n, ${isGivenUp ? -1 : 100}];
        const patience = new Patience();
        const call = { name: "poll", parameters, result: "i32", args };
        const end = callInWorker(libc, call, patience).then(() => console.log("over"));
        patience.change(${isGivenUp});`;
      const { code, stdout } = await runProgram(source);
      assertEquals([code, stdout.trim()], [0, isGivenUp ? "" : "over"]);
    },
  });
}
