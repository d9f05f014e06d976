/**
 * io_log_hook_test.ts: what the hook that takes the lines of the log may do, and what it may not.
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { LogHook } from "../../../core/base/log_level.ts";
import type { AioOptions } from "../../../core/base/options.ts";
import { AioReturn } from "../../../core/io/result.ts";
import {
  FILE_BYTES,
  type Fixture,
  openHeld,
  openSync,
  startOn,
  startRead,
} from "../../support/core.ts";
import { HeldMethod } from "../../support/held_method.ts";
import { hooks, reset } from "../fixtures/layers.ts";
import { keeping, type Line } from "../../support/log_lines.ts";

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);

/** Runs something, and keeps the errors that nobody catches instead of ending the test. */
async function keepingErrors<T>(errors: unknown[], fn: () => T | Promise<T>): Promise<T> {
  const keep = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error);
  };
  addEventListener("error", keep);
  try {
    return await fn();
  } finally {
    removeEventListener("error", keep);
  }
}

/** Runs one IO with a log hook. @returns its outcome, and what is left in this thread */
async function runWithHook(open: typeof openHeld, hook: (fixture: Fixture) => LogHook) {
  let onLog: LogHook = () => {};
  const held = new HeldMethod();
  const options: AioOptions = { logLevel: "debug4", onLog: (line, level) => onLog(line, level) };
  await using fixture = await open(options, held);
  onLog = hook(fixture);
  const { ref, ret } = startRead(fixture);
  fixture.aio.waitSync(ref);
  onLog = () => {};
  const { aio } = fixture;
  return {
    outcome: [ret.result.status, ret.result.result],
    ios: aio.ios(),
    runningId: backendOf(aio).callbacks.runningId,
    warnings: fixture.messages(),
  };
}

const UNHARMED: Awaited<ReturnType<typeof runWithHook>> = {
  outcome: ["ok", 512],
  ios: [],
  runningId: 0,
  warnings: [],
};
const OPENERS: readonly (readonly [string, typeof openHeld, number])[] = [
  ["sync", (options) => openSync(options), 5],
  ["held", openHeld, 7],
];

for (const [method, open, lineCount] of OPENERS) {
  Deno.test(`${method}: a log hook that throws is reported, and changes nothing`, async () => {
    const errors: unknown[] = [];
    const mine = new Error("mine");
    const ended = await keepingErrors(errors, () =>
      runWithHook(open, () => () => {
        throw mine;
      }));
    assertEquals(ended, UNHARMED);
    assertEquals(errors, new Array(lineCount).fill(mine));
  });

  Deno.test(`${method}: a log hook may look at IOs and backends`, async () => {
    const states: string[] = [];
    const ended = await runWithHook(open, ({ aio }) => () => {
      assertEquals(aio.backends()[0]!.counters.started <= 1, true);
      states.push(...aio.ios().map(({ state }) => state));
    });
    assertEquals(ended, UNHARMED);
    const submitted = method === "sync" ? [] : ["STAGED", "SUBMITTED"];
    const completed = ["COMPLETED_IO", "COMPLETED_SHARED", "COMPLETED_LOCAL", "COMPLETED_LOCAL"];
    assertEquals(states, ["STAGED", ...submitted, ...completed]);
  });

  for (
    const [name, call] of [
      ["acquire", ({ aio }: Fixture) => aio.acquire()],
      ["waitSync", ({ aio }: Fixture) => aio.waitSync({ index: 0, generation: 1 })],
      ["submitStaged", ({ aio }: Fixture) => aio.submitStaged()],
      ["checkDone", ({ aio }: Fixture) => aio.checkDone({ index: 0, generation: 1 })],
      ["enterBatchmode", ({ aio }: Fixture) => aio.enterBatchmode()],
      ["errorCleanup", ({ aio }: Fixture) => aio.errorCleanup()],
      ["closingFd", ({ aio, file }: Fixture) => aio.closingFd(file.fd)],
      ["reapBackend", ({ aio }: Fixture) => aio.reapBackend(1)],
    ] as const
  ) {
    Deno.test(`${method}: a log hook that calls ${name}() is refused, and the IO ends right`, async () => {
      let count = 0;
      const ended = await runWithHook(open, (fixture) => () => {
        const error = assertThrows(() => call(fixture), AioApiError);
        assertEquals(
          error.message,
          `API violation: ${name}() was called from within the log hook; ` +
            "a callback may not wait, start IO or change handles",
        );
        count++;
      });
      assertEquals([ended, count], [UNHARMED, lineCount]);
    });
  }
}

Deno.test("held: a log hook that closes is refused, and close() works afterwards", async () => {
  const refused: Promise<unknown>[] = [];
  const ended = await runWithHook(openHeld, ({ aio }) => () => {
    refused.push(assertRejects(() => aio.close(), AioApiError, "from within the log hook"));
  });
  assertEquals(ended, UNHARMED);
  assertEquals((await Promise.all(refused)).length, 7);
});

Deno.test("sync: a line from within a callback leaves that callback in charge", async () => {
  const lines: Line[] = [];
  await using fixture = await openSync({ ...keeping(lines, "log"), callbackModules: [LAYERS] });
  const { aio } = fixture;
  const { ret } = startRead(fixture, FILE_BYTES - 100);
  const runningIds: number[] = [];
  const id = aio.callbackId("free");
  reset();
  hooks.completeShared = (_handle, prior) => {
    aio.reportResult(ret.result, ret.targetData, "log");
    runningIds.push(backendOf(aio).callbacks.runningId);
    assertThrows(() => aio.acquire(), AioApiError, 'from within the callback "free"');
    return prior;
  };
  const own = new AioReturn();
  const handle = aio.acquire(null, own);
  handle.registerCallbacks(id);
  startOn(fixture, handle);
  reset();
  assertEquals([lines.length, runningIds, own.result.status], [1, [id], "ok"]);
});
