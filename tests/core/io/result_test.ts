/**
 * result_test.ts: outcomes as values, and how they are raised: reportResult and the file callbacks.
 */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertObjectMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { AioApiError, AioReportError, AioSystemError } from "../../../core/base/errors.ts";
import {
  AioResult,
  AioReturn,
  type ReportLevel,
  reportResult,
  type ResultStatus,
} from "../../../core/io/result.ts";
import { type Fixture, startRead, wrong } from "../../support/core.ts";
import { STAGING, testSharedCores } from "../../support/core_methods.ts";
import { hooks, reset } from "../fixtures/layers.ts";

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);
const STATUSES = ["partial", "warning", "error"] as const;

/** The outcome of an IO whose callback gave it a status. */
function outcome(fixture: Fixture, status: ResultStatus, raw = 5): AioReturn {
  const { aio, file } = fixture;
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.registerCallbacks(aio.callbackId("free"));
  handle.setTarget(aio.targetId("page"), [7, 3]);
  handle.setIovec(aio.alloc(512));
  hooks.completeShared = (_handle, prior) => {
    prior.status = status;
    prior.errorData = status === "ok" ? 0 : 11;
    prior.callbackId = aio.callbackId("free");
    return prior;
  };
  endingWith(fixture, raw, () => {
    handle.startReadv(file.fd, 0);
    aio.waitSync(ref);
  });
  return ret;
}

/**
 * Runs something whose IO ends with the raw result `raw`. The hook that injects it also keeps the
 * IO in this thread, where its callbacks find `hooks`.
 */
function endingWith<T>({ aio }: Fixture, raw: number, fn: () => T): T {
  aio.attachInjectionPoint("aio-process-completion-before-shared", () => raw);
  try {
    return fn();
  } finally {
    aio.detachInjectionPoint("aio-process-completion-before-shared");
  }
}

/** Registers a test for each method, with the layers loaded. */
function testLayers(name: string, fn: (fixture: Fixture) => void): void {
  testSharedCores(name, (fixture) => {
    reset();
    hooks.report = (result, data) => `page ${data[0]}: ${result.status} ${result.errorData}`;
    fn(fixture);
  }, { options: { callbackModules: [LAYERS] } });
}

for (const status of STATUSES) {
  testLayers(`reportResult() of ${status} throws at level error, says it below`, (fixture) => {
    const { result, targetData } = outcome(fixture, status);
    const message = `page 7: ${status} 11`;
    const error = assertThrows(() => reportResult(result, targetData, "error"), AioReportError);
    assertEquals(error.message, message);
    assertEquals([fixture.messages(), fixture.logs], [[], []]);
    reportResult(result, targetData, "warning");
    assertEquals([fixture.messages(), fixture.logs], [[message], []]);
    reportResult(result, targetData, "log");
    assertEquals([fixture.messages(), fixture.logs], [[message], [message]]);
  });
}

for (const level of ["error", "warning", "log"] as const) {
  testLayers(
    `reportResult() at level ${level} of a result that went well is refused`,
    (fixture) => {
      const { result, targetData } = outcome(fixture, "ok");
      const error = assertThrows(() => reportResult(result, targetData, level), AioApiError);
      assertEquals(
        error.message,
        'Cannot report a result of status "ok": there is nothing to say',
      );
    },
  );

  testSharedCores(`reportResult() at level ${level} of an IO under way is refused`, (fixture) => {
    fixture.aio.enterBatchmode();
    const { ret } = startRead(fixture);
    const error = assertThrows(() => reportResult(ret.result, ret.targetData, level), AioApiError);
    assertEquals(
      error.message,
      'Cannot report a result of status "unknown": there is nothing to say',
    );
    fixture.aio.exitBatchmode();
  }, { only: STAGING });
}

for (const level of ["fatal", "", undefined, 1]) {
  testLayers(`reportResult() at the level ${Deno.inspect(level)} is refused`, (fixture) => {
    const { result, targetData } = outcome(fixture, "error");
    const error = assertThrows(
      () => reportResult(result, targetData, wrong<ReportLevel>(level)),
      Error,
    );
    assert(error instanceof TypeError || error instanceof RangeError, error.name);
    assertEquals(fixture.logs, []);
  });
}

for (const [name, value] of [["null", null], ["a plain object", { status: "error" }]] as const) {
  Deno.test(`reportResult() of ${name} is refused`, () => {
    assertThrows(
      () => reportResult(wrong<AioResult>(value), new Int32Array(6), "error"),
      TypeError,
      "pass the result of an AioReturn",
    );
  });
}

Deno.test("reportResult() of a result that came from no IO is refused", () => {
  const { result, targetData } = new AioReturn();
  result.status = "error";
  assertThrows(
    () => reportResult(result, targetData, "error"),
    AioApiError,
    "Cannot report a result that did not come from an IO: pass the result of the AioReturn",
  );
});

testLayers("aio.reportResult() reports a copy too, which the function refuses", (fixture) => {
  const { result, targetData } = outcome(fixture, "error");
  const copy = new AioResult();
  copy.assign(result);
  assertThrows(() => reportResult(copy, targetData, "error"), AioApiError, "did not come from");
  assertThrows(
    () => fixture.aio.reportResult(copy, targetData, "error"),
    AioReportError,
    "page 7: error 11",
  );
});

testLayers("a result without a report function is reported in numbers", (fixture) => {
  const { ret, ref } = startRead(fixture);
  const id = fixture.aio.callbackId("sharedOnly");
  fixture.aio.waitSync(ref);
  Object.assign(ret.result, { status: "warning", callbackId: id, errorData: 3 });
  const error = assertThrows(
    () => reportResult(ret.result, ret.targetData, "error"),
    AioReportError,
  );
  assertEquals(
    error.message,
    "IO ended with status warning, result 512 and error data 3 set by callback " +
      '"sharedOnly", which has no report()',
  );
});

Deno.test("AioReturn begins unknown and empty", () => {
  const { result, targetData } = new AioReturn();
  const { status, ...numbers } = result;
  assertEquals([status, numbers], [
    "unknown",
    { callbackId: 0, errorData: 0, result: 0, targetId: 0, operationId: 0 },
  ]);
  assertEquals([...targetData], [0, 0, 0, 0, 0, 0]);
});

testSharedCores("one AioReturn serves IO after IO", (fixture) => {
  const { aio, file } = fixture;
  const ret = new AioReturn();
  const outcomes = [0, 65_536 - 100, 65_536].map((offset) => {
    const handle = aio.acquire(null, ret);
    assertEquals(ret.result.status, "unknown");
    const ref = handle.waitRef();
    handle.setIovec(aio.alloc(512));
    file.startReadv(handle, offset);
    aio.waitSync(ref);
    return [ret.result.status, ret.result.result];
  });
  assertEquals(outcomes, [["ok", 512], ["partial", 100], ["partial", 0]]);
});

// --- what the file callbacks say ---

/** The error of a read of the file's bytes 1024 to 1535 that ended so. */
function readError(fixture: Fixture, raw: number): Error {
  const ret = endingWith(fixture, raw, () => {
    const { ref, ret } = startRead(fixture, 1024);
    fixture.aio.waitSync(ref);
    return ret;
  });
  return assertThrows(() => reportResult(ret.result, ret.targetData, "error"), Error);
}

type ErrorClass = new (message: string) => Error;

const ERRORS: readonly (readonly [number, string, string, ErrorClass])[] = [
  [5, "EIO", "Input/output error", AioSystemError],
  [30, "EROFS", "Read-only file system", AioSystemError],
  [28, "ENOSPC", "No space left on device", AioSystemError],
  [9, "EBADF", "Bad file descriptor", Deno.errors.BadResource],
  [4, "EINTR", "Interrupted system call", Deno.errors.Interrupted],
  [11, "EAGAIN", "Resource temporarily unavailable", Deno.errors.WouldBlock],
  [4000, "E4000", "Unknown error 4000", AioSystemError],
];

for (const [errno, code, text, Class] of ERRORS) {
  testSharedCores(`fileReadv tells ${code} in PostgreSQL's words, with the system's`, (fixture) => {
    const error = readError(fixture, -errno);
    assertInstanceOf(error, Class);
    const path = JSON.stringify(fixture.file.path);
    assertEquals(
      error.message,
      `could not read bytes 1024..1535 in file ${path}: ${text} (${code})`,
    );
    assertObjectMatch(error, { code, errno, syscall: "preadv", offset: 1024, length: 512 });
  });
}

for (const raw of [0, 17, 511]) {
  testSharedCores(`fileReadv tells a read of only ${raw} of 512 bytes`, (fixture) => {
    const error = readError(fixture, raw);
    assertInstanceOf(error, AioReportError);
    const path = JSON.stringify(fixture.file.path);
    assertEquals(
      error.message,
      `could not read bytes 1024..1535 in file ${path}: read only ${raw} of 512 bytes`,
    );
  });
}

testSharedCores("fileWritev tells what was written, and errors of pwritev", (fixture) => {
  const { aio, file } = fixture;
  const texts = [-28, 17].map((raw) => {
    const ret = new AioReturn();
    const handle = aio.acquire(null, ret);
    const ref = handle.waitRef();
    handle.setIovec(aio.alloc(512));
    endingWith(fixture, raw, () => {
      file.startWritev(handle, 0);
      aio.waitSync(ref);
    });
    return assertThrows(() => reportResult(ret.result, ret.targetData, "error"), Error).message;
  });
  const what = `could not write bytes 0..511 in file ${JSON.stringify(file.path)}`;
  assertEquals(texts, [
    `${what}: No space left on device (ENOSPC)`,
    `${what}: wrote only 17 of 512 bytes`,
  ]);
});

/** Starts one flush with the callback `fileSync`, and completes it with a raw result. */
function flushWith(fixture: Fixture, operation: FlushName, raw: number): AioReturn {
  const { aio, file } = fixture;
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  endingWith(fixture, raw, () => {
    if (operation === "flush_range") file.startFlushRange(handle, 0, 4096);
    else file.startFsync(handle, { dataOnly: operation === "fdatasync" });
    aio.waitSync(ref);
  });
  return ret;
}

type FlushName = "fsync" | "fdatasync" | "flush_range";

const FLUSH_WORDS = [
  ["fsync", "fsync", "fsync"],
  ["fdatasync", "fdatasync", "fdatasync"],
  ["flush_range", "sync_file_range", "flush dirty data of"],
] as const;

for (const [operation, call, words] of FLUSH_WORDS) {
  testSharedCores(`fileSync tells errors of ${call} by that name, and 0 is ok`, async (fixture) => {
    assertEquals(flushWith(fixture, operation, 0).result.status, "ok");
    const { result, targetData } = flushWith(fixture, operation, -5);
    const error = assertThrows(() => reportResult(result, targetData, "error"), AioSystemError);
    const path = JSON.stringify(fixture.file.path);
    assertEquals(error.message, `could not ${words} file ${path}: Input/output error (EIO)`);
    assertEquals("syscall" in error && error.syscall, call);
    await assertRejects(() => fixture.file.close(), AioSystemError, "EIO");
  });
}

testLayers("fileSync of an operation that reports no lost writes fails no flush", (fixture) => {
  const { aio, file } = fixture;
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.setTarget(aio.targetId("page"), [1, 2]);
  handle.setIovec(aio.alloc(512));
  handle.registerCallbacks(aio.callbackId("fileSync"));
  endingWith(fixture, -5, () => {
    handle.startReadv(file.fd, 0);
    aio.waitSync(ref);
  });
  assertEquals([ret.result.status, ret.result.errorData], ["error", 5]);
  assertEquals(flushWith(fixture, "fsync", 0).result.status, "ok");
});

testSharedCores("fileSync names the call under a target of the user's, too", async (fixture) => {
  const { aio, file } = fixture;
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.setTarget(aio.targetId("page"), [1, 2]);
  handle.registerCallbacks(aio.callbackId("fileSync"));
  endingWith(fixture, -5, () => {
    handle.startFsync(file.fd, { dataOnly: true });
    aio.waitSync(ref);
  });
  const { result, targetData } = ret;
  const error = assertThrows(() => reportResult(result, targetData, "error"), AioSystemError);
  assertEquals(error.message.startsWith("could not fdatasync page"), true, error.message);
  await assertRejects(() => file.close(), AioSystemError, "EIO");
}, { options: { callbackModules: [LAYERS] } });
