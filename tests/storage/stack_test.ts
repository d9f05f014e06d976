/**
 * stack_test.ts: the stack of a failed call begins with the line that called it or awaits it, and
 * has no frame of this module, whichever part of it noticed the failure.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { AioReturn, reportResult } from "../../core/mod.ts";
import { type Aio, Aio as AioClass, type AioFile } from "../../storage/mod.ts";
import { openHeld } from "../support/core.ts";
import { openAio, testEachMethod, testSharedAios } from "../support/methods.ts";
import { runProgram } from "../support/program.ts";
import { tempDir, writeRandomFile } from "../support/temp.ts";
import { Turns } from "../support/turns.ts";

const EIO = 5;
const FAILING = "aio-process-completion-before-shared";
const MODULE_URL = import.meta.resolve("../../");
const SOURCE = Deno.readTextFileSync(new URL(import.meta.url)).split("\n");

/** What a failing call has at hand. */
interface Given {
  readonly aio: Aio;
  readonly file: AioFile;
  /** A file that was closed. */
  readonly closed: AioFile;
  /** Ten bytes of plain memory, which are bounced. */
  readonly buffer: Uint8Array;
}

type Call = (given: Given) => unknown;

/** Calls that fail, by the text that the first line of the stack must have. */
const AWAITED: Readonly<Record<string, Call>> = {
  "aio.openFile(": async ({ aio }) => await aio.openFile("/absent"),
  "file.readAt(buffer": async ({ file, buffer }) => await file.readAt(buffer, 0),
  "file.readAt(aio.alloc": async ({ file, aio }) => await file.readAt(aio.alloc(10), 0),
  "file.readAt([": async ({ file, buffer }) => await file.readAt([buffer, buffer], 0),
  "file.writeAt(buffer": async ({ file, buffer }) => await file.writeAt(buffer, 0),
  "file.writeAt([": async ({ file, buffer }) => await file.writeAt([buffer, buffer], 0),
  "file.sync(": async ({ file }) => await file.sync(),
  "file.syncData(": async ({ file }) => await file.syncData(),
  "file.flushRange(": async ({ file }) => await file.flushRange(0, 10),
  "file.truncate(": async ({ file }) => await file.truncate(-1),
  "file.allocate(": async ({ file }) => await file.allocate(0, 10),
  "file.punchHole(": async ({ file }) => await file.punchHole(0, 10),
  "file.zeroRange(": async ({ file }) => await file.zeroRange(0, 10),
  "file.advise(": async ({ file }) => await file.advise("random"),
  "file.copyRangeTo(": async ({ file }) => await file.copyRangeTo(file, 0, 1, 2),
  "closed.size(": async ({ closed }) => await closed.size(),
  "closed.truncate(": async ({ closed }) => await closed.truncate(0),
  "closed.sync(": async ({ closed }) => await closed.sync(),
};

const REFUSED: Readonly<Record<string, Call>> = {
  "AioClass.open(": async () => await AioClass.open({ maxFiles: -1 }),
  "aio.openFile(": async ({ aio }) => await aio.openFile(""),
  "file.readAt(buffer": async ({ file, buffer }) => await file.readAt(buffer, -1),
  "file.writeAt(buffer": async ({ file, buffer }) => await file.writeAt(buffer, NaN),
  "closed.readAt(buffer": async ({ closed, buffer }) => await closed.readAt(buffer, 0),
  "file.flushRange(": async ({ file }) => await file.flushRange(-1, 0),
};

const BLOCKING: Readonly<Record<string, Call>> = {
  "aio.openFileSync(": ({ aio }) => aio.openFileSync("/absent"),
  "file.readAtSync(buffer": ({ file, buffer }) => file.readAtSync(buffer, 0),
  "file.readAtSync([": ({ file, buffer }) => file.readAtSync([buffer, buffer], 0),
  "file.writeAtSync(buffer": ({ file, buffer }) => file.writeAtSync(buffer, 0),
  "file.syncSync(": ({ file }) => file.syncSync(),
  "file.syncDataSync(": ({ file }) => file.syncDataSync(),
  "file.flushRangeSync(": ({ file }) => file.flushRangeSync(0, 10),
  "file.truncateSync(": ({ file }) => file.truncateSync(-1),
  "file.allocateSync(": ({ file }) => file.allocateSync(0, 10),
  "file.punchHoleSync(": ({ file }) => file.punchHoleSync(0, 10),
  "file.zeroRangeSync(": ({ file }) => file.zeroRangeSync(0, 10),
  "file.adviseSync(": ({ file }) => file.adviseSync("random"),
  "file.copyRangeToSync(": ({ file }) => file.copyRangeToSync(file, 0, 1, 2),
  "closed.sizeSync(": ({ closed }) => closed.sizeSync(),
  "aio.alloc(": ({ aio }) => aio.alloc(-1),
  "aio.free(": ({ aio, buffer }) => aio.free(buffer),
  "aio.attachFile(": ({ aio, file }) => aio.attachFile({ ...file.token, generation: 99 }),
};

/** The frames of a stack, the innermost first. */
function framesOf(error: unknown): string[] {
  assert(error instanceof Error);
  return (error.stack ?? "").split("\n").filter((line) => /^ +at /.test(line));
}

/** Checks that the first frame is in this file, in a line with a text, and none in the module. */
function assertBeginsWith(error: unknown, text: string): void {
  const frames = framesOf(error);
  const line = /stack_test\.ts:(\d+):\d+\)?$/.exec(frames[0] ?? "")?.[1];
  assert(line !== undefined, `${text}: ${String(error)}\n${frames.join("\n")}`);
  assert(SOURCE[Number(line) - 1]!.includes(text), `${text}: ${frames[0]}`);
  const inside = frames.filter((frame) =>
    frame.includes(MODULE_URL) && !frame.includes(`${MODULE_URL}tests/`)
  );
  assertEquals(inside, [], text);
}

async function withGiven(aio: Aio, use: (given: Given) => Promise<void>): Promise<void> {
  await using dir = await tempDir();
  const path = dir.join("data");
  await writeRandomFile(path, 8192, 1);
  const options = { read: true, write: true };
  await using file = await aio.openFile(path, options);
  const closed = await aio.openFile(path, options);
  await closed.close();
  await use({ aio, file, closed, buffer: new Uint8Array(10) });
}

testSharedAios("a failed awaited call tells the line that awaits it", async (aio) => {
  await withGiven(aio, async (given) => {
    aio.attachInjectionPoint(FAILING, () => -EIO);
    for (const [text, call] of Object.entries(AWAITED)) {
      assertBeginsWith(await assertRejects(async () => await call(given), text), text);
    }
    aio.detachInjectionPoint(FAILING);
  });
});

testSharedAios("a refused awaited call tells the line that called it", async (aio) => {
  await withGiven(aio, async (given) => {
    for (const [text, call] of Object.entries(REFUSED)) {
      assertBeginsWith(await assertRejects(async () => await call(given), text), text);
    }
  });
});

testSharedAios("a failed blocking call tells the line that called it", async (aio) => {
  await withGiven(aio, (given) => {
    aio.attachInjectionPoint(FAILING, () => -EIO);
    for (const [text, call] of Object.entries(BLOCKING)) {
      assertBeginsWith(assertThrows(() => call(given), text), text);
    }
    aio.detachInjectionPoint(FAILING);
    return Promise.resolve();
  });
});

testSharedAios("reads that fail under Promise.all() tell who awaits it", async (aio) => {
  await withGiven(aio, async ({ file }) => {
    aio.attachInjectionPoint(FAILING, () => -EIO);
    const read = (i: number) => file.readAt(new Uint8Array(10), i);
    const error = await assertRejects(async () => await Promise.all([0, 1, 2].map(read)));
    aio.detachInjectionPoint(FAILING);
    const own = framesOf(error).filter((frame) => !frame.includes("at async Promise.all"));
    assert(own[0]!.includes(import.meta.url), framesOf(error).join("\n"));
  });
});

testSharedAios("the end of an await using block that fails tells whose it is", async (aio) => {
  await withGiven(aio, async ({ file }) => {
    aio.attachInjectionPoint(FAILING, () => -EIO);
    await assertRejects(() => file.sync());
    aio.detachInjectionPoint(FAILING);
    const error = await assertRejects(async () => {
      await using _same = aio.attachFile(file.token);
    });
    assertBeginsWith(error, "");
  });
});

const turns = new Turns(3);

testEachMethod(
  "aio.close() that is refused tells the line that called it",
  async (method) => {
    await using aio = await openAio(method);
    const handle = aio.acquire();
    assertBeginsWith(await assertRejects(async () => await aio.close()), "aio.close(");
    handle.release();
  },
  true,
  turns,
);

testSharedAios("reportResult() throws the error of the line that called it", async (aio) => {
  await withGiven(aio, async ({ file }) => {
    const ret = new AioReturn();
    const handle = aio.acquire(null, ret);
    handle.setIovec(aio.alloc(10));
    const ref = handle.waitRef();
    aio.attachInjectionPoint(FAILING, () => -EIO);
    file.startReadv(handle, 0);
    await aio.wait(ref);
    aio.detachInjectionPoint(FAILING);
    const error = assertThrows(() => reportResult(ret.result, ret.targetData, "error"));
    assertBeginsWith(error, "reportResult(ret");
  });
});

testSharedAios("the reason of a signal is rejected with as it is", async (aio) => {
  await withGiven(aio, async ({ file, buffer }) => {
    const reason = new Error("enough");
    const { stack } = reason;
    const options = { signal: AbortSignal.abort(reason) };
    for (const call of [() => file.readAt(buffer, 0, options), () => file.sync(options)]) {
      assertStrictEquals(await assertRejects(call), reason);
      assertEquals(reason.stack, stack);
    }
  });
});

testEachMethod(
  "calls that succeed capture no stack",
  async (method) => {
    await using aio = await openAio(method);
    await withGiven(aio, async ({ file, buffer }) => {
      const { captureStackTrace } = Error;
      let captured = 0;
      Error.captureStackTrace = (...args) => {
        captured++;
        captureStackTrace(...args);
      };
      try {
        await Promise.all([0, 1, 2].map((i) => file.readAt(new Uint8Array(10), i)));
        await file.writeAt(buffer, 0);
        await file.syncData();
        file.readAtSync(buffer, 0);
        assertEquals(captured, 0);
        await assertRejects(() => file.readAt(buffer, -1), RangeError);
        assert(captured > 0);
      } finally {
        Error.captureStackTrace = captureStackTrace;
      }
    });
  },
  true,
  turns,
);

Deno.test("held: an IO that fails long after its call tells the line that awaits it", async () => {
  await using fixture = await openHeld();
  const { aio, file, held } = fixture;
  const reads: Readonly<Record<string, () => Promise<number>>> = {
    "file.readAt(new": async () => await file.readAt(new Uint8Array(10), 0),
    "file.writeAt(new": async () => await file.writeAt(new Uint8Array(10), 0),
  };
  for (const [text, call] of Object.entries(reads)) {
    const failed = assertRejects(call);
    await new Promise((resolve) => setTimeout(resolve));
    held.complete(aio, held.held(aio)[0]!, -EIO);
    assertBeginsWith(await failed, text);
  }
});

Deno.test("sync: an error keeps the stack it was made with under a symbol", async () => {
  await using aio = await openAio("sync");
  const error = await assertRejects(() => aio.openFile("/absent"));
  const inner: unknown = Reflect.get(error as object, Symbol.for("deno-aio.innerStack"));
  assert(typeof inner === "string" && inner.includes("core/base/errors.ts"), String(inner));
});

testEachMethod(
  "a program that a failed call ends shows its own line",
  async (method) => {
    const program = [
      `const aio = await Aio.open({ method: "${method}" });`,
      `async function loadConfig() {`,
      `  return await aio.openFile("/absent/config.json");`,
      `}`,
      `await loadConfig();`,
    ];
    const { code, stderr } = await runProgram(program.join("\n"), { env: { NO_COLOR: "1" } });
    assertEquals(code, 1);
    const [first, shown, , frame] = stderr.split("\n");
    const message = 'Cannot open "/absent/config.json": No such file or directory (ENOENT)';
    assertEquals(first, `error: Uncaught (in promise) NotFound: ${message}`);
    assertEquals(shown, program[2]);
    assert(frame!.startsWith("    at async loadConfig (data:"), frame);
  },
  true,
  turns,
);
