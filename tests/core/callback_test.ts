/** callback_test.ts: which callbacks run, when, in which order, and what they make of a result. */

import { assertEquals, assertInstanceOf, assertNotStrictEquals, assertThrows } from "@std/assert";
import { AioApiError, AioReportError } from "../../core/errors.ts";
import type { AioHandle } from "../../core/handle.ts";
import { AioResult, AioReturn, ERROR_DATA_MAX, reportResult } from "../../core/result.ts";
import { HANDLE } from "../../core/shared_memory.ts";
import type { WaitRef } from "../../core/wait_ref.ts";
import { type Fixture, openHeld } from "../support/core.ts";
import { hooks, reset, trace } from "./fixtures/layers.ts";

const LAYERS = new URL("./fixtures/layers.ts", import.meta.url);

interface Started {
  readonly ref: WaitRef;
  readonly ret: AioReturn;
  readonly handle: AioHandle;
}

function openLayers(): Promise<Fixture> {
  reset();
  return openHeld({ callbackModules: [LAYERS] });
}

/** Starts a read of 512 bytes with callbacks of our own only, in this order, and data 10, 11, … */
function start({ aio, file }: Fixture, names: readonly string[]): Started {
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  for (const [i, name] of names.entries()) handle.registerCallbacks(aio.callbackId(name), 10 + i);
  handle.setTarget(aio.targetId("page"), [7, 3]);
  handle.setIovec(aio.alloc(512));
  handle.startReadv(file.fd, 0);
  return { ref, ret, handle };
}

/** What shared memory keeps of a handle's outcome: callback, status, error data, result. */
function sharedResult({ aio }: Fixture, { index }: WaitRef): number[] {
  const { control } = aio.backend;
  const base = control.handleAt(index);
  const fields = ["resultCallback", "resultStatus", "resultErrorData", "result"] as const;
  return fields.map((field) => control.words[base + HANDLE[field]]!);
}

Deno.test("held: callbacks run last registered first, in each phase, with their data", async () => {
  await using fixture = await openLayers();
  const { ref, ret } = start(fixture, ["first", "second", "third"]);
  assertEquals(trace, ["stage third 12", "stage second 11", "stage first 10"]);
  trace.length = 0;
  fixture.held.complete(fixture.aio, ref, 5);
  assertEquals(trace, [
    "shared third 12: ok 5 by 0",
    "shared second 11: ok 53 by 0",
    "shared first 10: ok 532 by 0",
    "local third 12: ok 5321",
    "local second 11: ok 53213",
    "local first 10: ok 532132",
  ]);
  assertEquals(ret.result.result, 5_321_321);
});

Deno.test("held: the local result goes to the return slot only, the handle keeps the shared one", async () => {
  await using fixture = await openLayers();
  const { ref, ret } = start(fixture, ["first"]);
  fixture.held.complete(fixture.aio, ref, 5);
  assertEquals(ret.result.result, 511);
  assertEquals(sharedResult(fixture, ref), [0, 1, 0, 51]);
});

Deno.test("held: an error of a local callback reaches the issuer, not the handle", async () => {
  await using fixture = await openLayers();
  const { ref, ret } = start(fixture, ["free"]);
  const id = fixture.aio.callbackId("free");
  hooks.completeLocal = (_handle, prior) => {
    prior.status = "error";
    prior.callbackId = id;
    prior.errorData = 77;
    return prior;
  };
  fixture.held.complete(fixture.aio, ref, 5);
  assertEquals([ret.result.status, ret.result.errorData], ["error", 77]);
  assertEquals(sharedResult(fixture, ref), [0, 1, 0, 5]);
});

Deno.test("held: the same callback registered twice runs twice, each with its data", async () => {
  await using fixture = await openLayers();
  const { ref } = start(fixture, ["first", "first"]);
  fixture.held.complete(fixture.aio, ref, 0);
  assertEquals(trace.filter((line) => line.startsWith("shared")), [
    "shared first 11: ok 0 by 0",
    "shared first 10: ok 1 by 0",
  ]);
});

Deno.test("held: phases that a callback does not have are passed over", async () => {
  await using fixture = await openLayers();
  const { ref, ret } = start(fixture, ["sharedOnly", "localOnly"]);
  assertEquals(trace, []);
  fixture.held.complete(fixture.aio, ref, 5);
  assertEquals(trace, ["shared sharedOnly", "local localOnly"]);
  assertEquals([ret.result.status, ret.result.result], ["ok", 5]);
});

Deno.test("held: callbacks run without a return slot too", async () => {
  await using fixture = await openLayers();
  const { aio, file, held } = fixture;
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.registerCallbacks(aio.callbackId("first"));
  handle.setTarget(aio.targetId("page"));
  handle.setIovec(aio.alloc(512));
  handle.startReadv(file.fd, 0);
  held.complete(aio, ref, 5);
  assertEquals(trace, ["stage first 0", "shared first 0: ok 5 by 0", "local first 0: ok 51"]);
});

Deno.test("held: without callbacks the raw result is the result, and no error by itself", async () => {
  await using fixture = await openLayers();
  for (const raw of [512, 0, -5, -0x80000000, 0x7fffffff]) {
    const { ref, ret } = start(fixture, []);
    fixture.held.complete(fixture.aio, ref, raw);
    assertEquals([ret.result.status, ret.result.result], ["ok", raw]);
    assertEquals([ret.result.callbackId, ret.result.errorData], [0, 0]);
  }
});

Deno.test("held: a callback sees the handle: identity, operation, target, data", async () => {
  await using fixture = await openLayers();
  const { aio, file, held } = fixture;
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
  handle.startWritev(file.fd, 1024);
  held.complete(aio, ref, 5);
  assertEquals(seen, [
    ref.index,
    0,
    "writev",
    { fd: file.fd, offset: 1024, length: 612, iovecLength: 2 },
    612,
    "page",
    [7, 3, 0, 0, 0, 0],
    "page 7 of table 3",
    [4, 2 ** 40],
    255,
  ]);
});

Deno.test("held: a callback sees its handle in the state of its phase", async () => {
  await using fixture = await openLayers();
  const { aio, held } = fixture;
  const states: string[] = [];
  const see = (handle: { id: number }) => states.push(aio.backend.handleOf(handle.id).state);
  hooks.stage = (handle) => {
    see(handle);
  };
  hooks.completeShared = (handle, prior) => (see(handle), prior);
  hooks.completeLocal = (handle, prior) => (see(handle), prior);
  const { ref, handle } = start(fixture, ["free"]);
  assertEquals(handle.state, "submitted");
  held.complete(aio, ref, 5);
  assertEquals(states, ["defined", "completedIo", "completedShared"]);
  assertEquals(handle.state, "idle");
});

for (const status of ["partial", "warning", "error"] as const) {
  Deno.test(`held: a callback may say ${status}, with its id and its data`, async () => {
    await using fixture = await openLayers();
    const { aio, held } = fixture;
    const { ref, ret } = start(fixture, ["free"]);
    const id = aio.callbackId("free");
    hooks.completeShared = () => {
      const result = new AioResult();
      result.status = status;
      result.callbackId = id;
      result.errorData = ERROR_DATA_MAX;
      result.result = -3;
      return result;
    };
    held.complete(aio, ref, 5);
    assertEquals({ ...ret.result }, {
      callbackId: id,
      status,
      errorData: ERROR_DATA_MAX,
      result: -3,
      targetId: aio.targetId("page"),
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

Deno.test("held: the next callback gets what the one before it returned, a new object or not", async () => {
  await using fixture = await openLayers();
  const { aio, held } = fixture;
  const { ref, ret } = start(fixture, ["first", "free"]);
  let returned = new AioResult();
  hooks.completeShared = (_handle, prior) => {
    returned = new AioResult();
    returned.assign(prior);
    returned.status = "warning";
    returned.callbackId = aio.callbackId("free");
    return returned;
  };
  held.complete(aio, ref, 5);
  assertEquals(
    trace.find((line) => line.startsWith("shared first")),
    "shared first 10: warning 5 by 9",
  );
  assertNotStrictEquals(ret.result, returned);
  assertEquals([ret.result.status, ret.result.result], ["warning", 511]);
});

Deno.test("held: AioReturn is unknown from acquire on and tells the target at the end", async () => {
  await using fixture = await openLayers();
  const { ref, ret } = start(fixture, []);
  assertEquals(ret.result.status, "unknown");
  assertThrows(() => reportResult(ret.result, ret.targetData, "error"), AioApiError, '"unknown"');
  fixture.held.complete(fixture.aio, ref, 5);
  assertEquals([...ret.targetData], [7, 3, 0, 0, 0, 0]);
});

Deno.test("held: a target whose description throws is described all the same", async () => {
  await using fixture = await openLayers();
  const { aio } = fixture;
  const handle = aio.acquire();
  handle.setTarget(aio.targetId("grumpy"));
  assertEquals(handle.describeTarget(), "grumpy (its description failed: Error: not today)");
  handle.release();
});

Deno.test("held: a report that returns an Error has it thrown as it is", async () => {
  await using fixture = await openLayers();
  const { ref, ret } = start(fixture, ["free"]);
  hooks.completeShared = (_handle, prior) => {
    prior.status = "error";
    prior.callbackId = fixture.aio.callbackId("free");
    return prior;
  };
  fixture.held.complete(fixture.aio, ref, 5);
  hooks.report = (_result, targetData) => new Deno.errors.InvalidData(`page ${targetData[0]}`);
  const error = assertThrows(() => reportResult(ret.result, ret.targetData, "error"));
  assertInstanceOf(error, Deno.errors.InvalidData);
  assertEquals(error.message, "page 7");
});
