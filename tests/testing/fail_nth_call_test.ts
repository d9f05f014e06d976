/**
 * fail_nth_call_test.ts: calls fail one after the other, on every method, and a program that bears
 * that badly is found.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { Aio } from "../../mod.ts";
import type { IoMethod } from "../../methods/mod.ts";
import { type FailingCall, failNthCall, type FailNthCallOptions } from "../../testing/mod.ts";
import { testEachMethod } from "../support/methods.ts";
import { tempDir } from "../support/temp.ts";
import { METHODS_FOR_TESTS, ONE_WORKER } from "../support/workers/worker_pool.ts";

const SMALL = { arenaBytes: 1024 * 1024, workers: ONE_WORKER, onWarning: () => {} } as const;
/** For what never ends: a thousand times what the rest takes. */
const SHORT_MS = 1000;
/** Of a scenario whose calls come in another order now and then. */
const TRIES = 3;

/** Appends, cuts and replaces, in a directory. */
async function writeAll(aio: Aio, directory: string, acknowledged: string[]): Promise<void> {
  await using file = await aio.openFile(`${directory}/a`, { write: true, create: true });
  await aio.syncDirectory(directory);
  for (const text of ["one", "two"]) {
    await file.append(new TextEncoder().encode(text), { durable: true });
    acknowledged.push(text);
  }
  await file.allocate(0, 6);
  await file.truncate(6);
  await aio.replaceFile(`${directory}/b`, "whole");
  acknowledged.push("replaced");
}

async function read(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** What was acknowledged is there, and nothing is half there. */
async function checkAll(directory: string, acknowledged: readonly string[]): Promise<void> {
  const appended = acknowledged.filter((text) => text !== "replaced").join("");
  assert((await read(`${directory}/a`) ?? "").startsWith(appended));
  const replaced = await read(`${directory}/b`);
  assert(replaced === null || replaced === "whole");
  if (acknowledged.includes("replaced")) assertEquals(replaced, "whole");
}

function bears(method: string): (call: FailingCall) => Promise<void> {
  return async (call) => {
    await using directory = await tempDir();
    const acknowledged: string[] = [];
    const error = await call.during(async (methods: readonly IoMethod[]) => {
      await using aio = await Aio.open({ ...SMALL, method }, methods);
      await writeAll(aio, directory.path, acknowledged);
    });
    await checkAll(directory.path, acknowledged);
    if (error === null && call.nth === 0) assertEquals(acknowledged.at(-1), "replaced");
  };
}

/** A program on files of Deno's alone. */
function plain(
  part: (path: string) => unknown,
  check: (path: string, error: unknown) => unknown = () => {},
): (call: FailingCall) => Promise<void> {
  return async (call) => {
    await using directory = await tempDir();
    const path = directory.join("a");
    await Deno.writeTextFile(path, "old");
    await check(path, await call.during(() => part(path)));
  };
}

const LEFT_OPEN: Deno.FsFile[] = [];

/** What is wrong, how it is found, and with which options. */
const WRONG: readonly [
  string,
  (call: FailingCall) => Promise<void>,
  RegExp,
  FailNthCallOptions?,
][] = [
  [
    "an error that it swallows",
    plain(
      (path) => Deno.rename(path, `${path}.new`).catch(() => {}),
      async (path, error) => assert(error !== null || await read(`${path}.new`) === "old", "lost"),
    ),
    /^Where call 1, rename, fails with EIO: lost$/,
  ],
  [
    "a descriptor that it leaves open",
    plain((path) => {
      const file = Deno.openSync(path);
      LEFT_OPEN.push(file);
      Deno.renameSync(path, `${path}.new`);
      LEFT_OPEN.pop()!.close();
    }),
    /^Where call 2, rename, fails with EIO: descriptors are left open: .*\/a \(deleted\)$/,
  ],
  [
    "a descriptor that it leaves open whatever fails",
    plain((path) => LEFT_OPEN.push(Deno.openSync(path))),
    /^Where no call fails: descriptors are left open: .*\/a \(deleted\)$/,
  ],
  [
    "no part in which calls fail",
    async () => {},
    /^Where no call fails: the scenario never called during/,
  ],
  [
    "a fault of its own",
    plain((path) => Deno.rename(path, `${path}.new`).catch((error) => error.no.such)),
    /^Where call 1, rename, fails with EIO: Cannot read/,
  ],
  [
    "a failure without any reason",
    plain(() => Promise.reject(new Error("always"))),
    /^Where no call fails: always$/,
  ],
  [
    "waiting for ever",
    plain((path) => Deno.rename(path, `${path}.new`).catch(() => new Promise(() => {}))),
    /^Where call 1, rename, fails with EIO: it hangs/,
    { timeLimitMs: SHORT_MS },
  ],
  [
    "more calls than are wanted",
    plain((path) => Deno.remove(path).catch(() => {})),
    /more than 0 calls/,
    { callsMax: 0 },
  ],
];

for (const [what, scenario, message, options] of WRONG) {
  Deno.test(`failNthCall() canary: a program with ${what} is found`, async () => {
    const error = await assertRejects(() => failNthCall(scenario, options), Error);
    for (const file of LEFT_OPEN.splice(0)) file.close();
    assert(message.test(error.message), error.message);
  });
}

Deno.test("failNthCall() refuses an unknown error, and to run twice at a time", async () => {
  const nothing = (call: FailingCall) => call.during(() => {});
  await assertRejects(() => failNthCall(nothing, { errno: "EGAL" }), TypeError, "EGAL");
  const running = failNthCall(nothing);
  await assertRejects(() => failNthCall(nothing), Deno.errors.Busy, "under way");
  assertEquals(await running, { calls: [] });
});

Deno.test("failNthCall() goes on from a call, and names each", async () => {
  const scenario = plain(async (path) => {
    await Deno.rename(path, `${path}.new`);
    await Deno.remove(`${path}.new`);
  });
  assertEquals(await failNthCall(scenario), { calls: ["rename", "remove"] });
  assertEquals(await failNthCall(scenario, { from: 2 }), { calls: ["remove"] });
});

Deno.test("failNthCall() has Deno's calls fail with the class that their error has", async () => {
  const CLASSES = {
    ENOENT: Deno.errors.NotFound,
    EACCES: Deno.errors.PermissionDenied,
    EIO: Error,
  };
  for (const [errno, Class] of Object.entries(CLASSES)) {
    const classes = new Set<unknown>();
    const note = (error: Error) => void classes.add(error.constructor);
    const scenario = plain(async (path) => {
      await Deno.lstat(path).catch(note);
      try {
        Deno.removeSync(path);
      } catch (error) {
        note(error as Error);
      }
    });
    assertEquals(await failNthCall(scenario, { errno }), { calls: ["lstat", "remove"] });
    assertEquals([...classes], [Class]);
  }
});

testEachMethod("failNthCall(): a cached read into plain memory fails, too", async (method) => {
  const { calls } = await failNthCall(async (call) => {
    await using directory = await tempDir();
    await Deno.writeFile(directory.join("a"), new Uint8Array(4096));
    await call.during(async (methods) => {
      await using aio = await Aio.open({ ...SMALL, method }, methods);
      await using file = await aio.openFile(directory.join("a"));
      await file.readAt(new Uint8Array(4096), 0);
    });
  });
  assert(calls.includes(method === "sync" ? "preadv" : "readv by the method"), calls.join());
});

for (const options of [{ errno: "EIO" }, { errno: "ENOSPC", lasting: true }]) {
  const { errno, lasting } = options;
  const name = `failNthCall(): what was acknowledged is there after ${
    lasting ? "lasting " : ""
  }${errno}`;
  testEachMethod(name, async (method) => {
    const kinds = ["ftruncate", "rename", "eventfd", "open", "statx", "sync", "lstat"];
    kinds.push(...method === "sync" ? ["pwritev", "allocate"] : ["writev by the method"]);
    const calls: string[] = [];
    const missing = () => kinds.filter((kind) => !calls.includes(kind));
    // A thread makes its doorbell when it first sleeps: the Nth call of a run may be the one behind
    // it in another, which is left out then.
    for (let tries = 0; tries < TRIES && (tries === 0 || missing().length > 0); tries++) {
      const report = await failNthCall(bears(method), { ...options, methods: METHODS_FOR_TESTS });
      assertGreater(report.calls.length, 15);
      calls.push(...report.calls);
    }
    assertEquals(missing(), [], calls.join());
  });
}
