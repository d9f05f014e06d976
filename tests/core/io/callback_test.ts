/** callback_test.ts: which callbacks run, when, in which order, and what they make of a result. */

import { assertEquals, assertInstanceOf, assertNotStrictEquals, assertThrows } from "@std/assert";
import { AioApiError, AioReportError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import { OP_READV } from "../../../core/io/operation_table.ts";
import { AioResult, AioReturn, ERROR_DATA_MAX, reportResult } from "../../../core/io/result.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import type { WaitRef } from "../../../core/io/wait_ref.ts";
import type { Aio } from "../../../storage/aio.ts";
import type { Fixture } from "../../support/core.ts";
import { testSharedCores } from "../../support/core_methods.ts";
import { hooks, reset, trace } from "../fixtures/layers.ts";

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);

interface Started {
  readonly ref: WaitRef;
  readonly ret: AioReturn;
  readonly handle: AioHandle;
}

/**
 * Starts a read of 512 bytes with callbacks of our own only, in this order, and data 10, 11, …, and
 * waits for it. A hook replaces the system's result by `raw`. The hook also keeps the IO in this
 * thread, where its callbacks find `trace` and `hooks`.
 */
function run(fixture: Fixture, names: readonly string[], raw = 5): Started {
  const { aio, file } = fixture;
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  for (const [i, name] of names.entries()) handle.registerCallbacks(aio.callbackId(name), 10 + i);
  handle.setTarget(aio.targetId("page"), [7, 3]);
  handle.setIovec(aio.alloc(512));
  withResult(aio, raw, () => {
    handle.startReadv(file.fd, 0);
    aio.waitSync(ref);
  });
  return { ref, ret, handle };
}

function withResult(aio: Aio, raw: number, fn: () => void): void {
  aio.attachInjectionPoint("aio-process-completion-before-shared", () => raw);
  fn();
  aio.detachInjectionPoint("aio-process-completion-before-shared");
}

/** Registers a test for each method, with the layers loaded and nothing traced. */
function testLayers(name: string, fn: (fixture: Fixture) => void): void {
  testSharedCores(name, (fixture) => {
    reset();
    fn(fixture);
  }, { options: { callbackModules: [LAYERS] } });
}

/** What shared memory keeps of a handle's outcome: callback, status, error data, result. */
function sharedResult({ aio }: Fixture, { index }: WaitRef): number[] {
  const { control } = backendOf(aio);
  const base = control.handleAt(index);
  const fields = ["resultCallback", "resultStatus", "resultErrorData", "result"] as const;
  return fields.map((field) => control.words[base + HANDLE[field]]!);
}

testLayers("callbacks run last registered first, in each phase, with their data", (fixture) => {
  const { ret } = run(fixture, ["first", "second", "third"]);
  assertEquals(trace, [
    "stage third 12",
    "stage second 11",
    "stage first 10",
    "shared third 12: ok 5 by 0",
    "shared second 11: ok 53 by 0",
    "shared first 10: ok 532 by 0",
    "local third 12: ok 5321",
    "local second 11: ok 53213",
    "local first 10: ok 532132",
  ]);
  assertEquals(ret.result.result, 5_321_321);
});

testLayers(
  "the local result goes to the return slot only, the handle keeps the shared one",
  (fixture) => {
    const { ref, ret } = run(fixture, ["first"]);
    assertEquals(ret.result.result, 511);
    assertEquals(sharedResult(fixture, ref), [0, 1, 0, 51]);
  },
);

testLayers("an error of a local callback reaches the issuer, not the handle", (fixture) => {
  const id = fixture.aio.callbackId("free");
  hooks.completeLocal = (_handle, prior) => {
    prior.status = "error";
    prior.callbackId = id;
    prior.errorData = 77;
    return prior;
  };
  const { ref, ret } = run(fixture, ["free"]);
  assertEquals([ret.result.status, ret.result.errorData], ["error", 77]);
  assertEquals(sharedResult(fixture, ref), [0, 1, 0, 5]);
});

testLayers("the same callback registered twice runs twice, each with its data", (fixture) => {
  run(fixture, ["first", "first"], 0);
  assertEquals(trace.filter((line) => line.startsWith("shared")), [
    "shared first 11: ok 0 by 0",
    "shared first 10: ok 1 by 0",
  ]);
});

testLayers("phases that a callback does not have are passed over", (fixture) => {
  const { ret } = run(fixture, ["sharedOnly", "localOnly"]);
  assertEquals(trace, ["shared sharedOnly", "local localOnly"]);
  assertEquals([ret.result.status, ret.result.result], ["ok", 5]);
});

testLayers("callbacks run without a return slot too", (fixture) => {
  const { aio, file } = fixture;
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.registerCallbacks(aio.callbackId("first"));
  handle.setTarget(aio.targetId("page"));
  handle.setIovec(aio.alloc(512));
  withResult(aio, 5, () => {
    handle.startReadv(file.fd, 0);
    aio.waitSync(ref);
  });
  assertEquals(trace, ["stage first 0", "shared first 0: ok 5 by 0", "local first 0: ok 51"]);
});

testLayers("without callbacks the raw result is the result, and no error by itself", (fixture) => {
  for (const raw of [512, 0, -5, -0x80000000, 0x7fffffff]) {
    const { ret } = run(fixture, [], raw);
    assertEquals([ret.result.status, ret.result.result], ["ok", raw]);
    assertEquals([ret.result.callbackId, ret.result.errorData], [0, 0]);
  }
});

testLayers("a callback sees the handle: identity, operation, target, data", (fixture) => {
  const { aio, file } = fixture;
  const seen: unknown[] = [];
  hooks.completeShared = (handle, prior, data) => {
    seen.push(handle.id, handle.backendId, handle.operation, handle.operationData, handle.length);
    seen.push(handle.targetName, [...handle.targetData], handle.describeTarget());
    seen.push(handle.handleData(), data);
    return prior;
  };
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.setHandleData([4, 2 ** 40]);
  handle.registerCallbacks(aio.callbackId("free"), 255);
  handle.setTarget(aio.targetId("page"), [7, 3]);
  handle.setIovec([aio.alloc(512), aio.alloc(100)]);
  withResult(aio, 5, () => {
    handle.startWritev(file.fd, 1024);
    aio.waitSync(ref);
  });
  assertEquals(seen, [
    ref.index,
    0,
    "writev",
    { fd: file.fd, offset: 1024, length: 612, flags: 0, iovecLength: 2 },
    612,
    "page",
    [7, 3, 0, 0, 0, 0],
    "page 7 of table 3",
    [4, 2 ** 40],
    255,
  ]);
});

testLayers("a callback sees its handle in the state of its phase", (fixture) => {
  const { aio } = fixture;
  const states: string[] = [];
  const see = (handle: { id: number }) => states.push(backendOf(aio).handleOf(handle.id).state);
  hooks.stage = (handle) => {
    see(handle);
  };
  hooks.completeShared = (handle, prior) => (see(handle), prior);
  hooks.completeLocal = (handle, prior) => (see(handle), prior);
  const { handle } = run(fixture, ["free"]);
  assertEquals(states, ["defined", "completedIo", "completedShared"]);
  assertEquals(handle.state, "idle");
});

for (const status of ["partial", "warning", "error"] as const) {
  testLayers(`a callback may say ${status}, with its id and its data`, (fixture) => {
    const { aio } = fixture;
    const id = aio.callbackId("free");
    hooks.completeShared = () => {
      const result = new AioResult();
      result.status = status;
      result.callbackId = id;
      result.errorData = ERROR_DATA_MAX;
      result.result = -3;
      return result;
    };
    const { ret } = run(fixture, ["free"]);
    assertEquals({ ...ret.result }, {
      callbackId: id,
      status,
      errorData: ERROR_DATA_MAX,
      result: -3,
      targetId: aio.targetId("page"),
      operationId: OP_READV,
    });
    hooks.report = (result) => `${result.status} ${result.errorData}`;
    assertThrows(
      () => reportResult(ret.result, ret.targetData, "error"),
      AioReportError,
      `${status} ${ERROR_DATA_MAX}`,
    );
    assertEquals(fixture.warnings, []);
  });
}

testLayers(
  "the next callback gets what the one before it returned, a new object or not",
  (fixture) => {
    const { aio } = fixture;
    let returned = new AioResult();
    hooks.completeShared = (_handle, prior) => {
      returned = new AioResult();
      returned.assign(prior);
      returned.status = "warning";
      returned.callbackId = aio.callbackId("free");
      return returned;
    };
    const { ret } = run(fixture, ["first", "free"]);
    assertEquals(
      trace.find((line) => line.startsWith("shared first")),
      `shared first 10: warning 5 by ${aio.callbackId("free")}`,
    );
    assertNotStrictEquals(ret.result, returned);
    assertEquals([ret.result.status, ret.result.result], ["warning", 511]);
  },
);

testLayers("AioReturn is unknown from acquire on and tells the target at the end", (fixture) => {
  const { ret } = run(fixture, []);
  assertEquals([...ret.targetData], [7, 3, 0, 0, 0, 0]);
  const handle = fixture.aio.acquire(null, ret);
  assertEquals(ret.result.status, "unknown");
  assertThrows(() => reportResult(ret.result, ret.targetData, "error"), AioApiError, '"unknown"');
  handle.release();
});

testLayers("a target whose description throws is described all the same", (fixture) => {
  const { aio } = fixture;
  const handle = aio.acquire();
  handle.setTarget(aio.targetId("grumpy"));
  assertEquals(handle.describeTarget(), "grumpy (its description failed: Error: not today)");
  handle.release();
});

testLayers("a report that returns an Error has it thrown as it is", (fixture) => {
  hooks.completeShared = (_handle, prior) => {
    prior.status = "error";
    prior.callbackId = fixture.aio.callbackId("free");
    return prior;
  };
  const { ret } = run(fixture, ["free"]);
  hooks.report = (_result, targetData) => new Deno.errors.InvalidData(`page ${targetData[0]}`);
  const error = assertThrows(() => reportResult(ret.result, ret.targetData, "error"));
  assertInstanceOf(error, Deno.errors.InvalidData);
  assertEquals(error.message, "page 7");
});
