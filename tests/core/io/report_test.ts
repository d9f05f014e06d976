/**
 * report_test.ts: what a report says an IO was about: by the target that the IO had, at any time,
 * also after its file was closed.
 */

import { assertEquals, assertThrows } from "@std/assert";
import { AioReportError } from "../../../core/base/errors.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import { AioResult, AioReturn, reportResult } from "../../../core/io/result.ts";
import type { TargetIdentity } from "../../../core/io/target.ts";
import { FILE_BYTES, type Fixture, startRead, wrong } from "../../support/core.ts";
import { testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";
import { hooks, reset } from "../fixtures/layers.ts";

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);
/** A read here finds less than it asks for. */
const NEAR_END = FILE_BYTES - 100;

/** The message of the error that an outcome is reported as. */
function wordsOf({ result, targetData }: AioReturn): string {
  return assertThrows(() => reportResult(result, targetData, "error"), Error).message;
}

/** Reads over the end of the file on a handle that `prepare` gives a target and callbacks. */
function readShort({ aio, file }: Fixture, prepare: (handle: AioHandle) => void): AioReturn {
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.setIovec(aio.alloc(512));
  prepare(handle);
  handle.startReadv(file.fd, NEAR_END);
  aio.waitSync(ref);
  return ret;
}

testEachCoreMethod("reportResult() names a file that was closed since", async ({ open }) => {
  await using fixture = await open();
  const { aio, file } = fixture;
  const { ref, ret } = startRead(fixture, NEAR_END);
  aio.waitSync(ref);
  const words = `could not read bytes ${NEAR_END}..${NEAR_END + 511} in file ` +
    `${JSON.stringify(file.path)}: read only 100 of 512 bytes`;
  assertEquals(wordsOf(ret), words);
  await file.close();
  assertEquals(wordsOf(ret), words);
  await using other = await aio.openFile(import.meta.filename!);
  assertEquals([wordsOf(ret), other.isClosed], [words, false]);
  await aio.close();
  assertEquals(wordsOf(ret), words);
});

testSharedCores(
  "reportResult() does not name the file that took a closed one's slot",
  async (fixture) => {
    const { aio, file } = fixture;
    const { ref, ret } = startRead(fixture, NEAR_END);
    aio.waitSync(ref);
    await file.close();
    await using _other = await aio.openFile(import.meta.filename!);
    assertEquals(
      wordsOf(ret),
      `could not read bytes ${NEAR_END}..${NEAR_END + 511} in a file that was closed: ` +
        "read only 100 of 512 bytes",
    );
  },
  { options: { maxFiles: 1 } },
);

testSharedCores(
  "reportResult() of fileReadv under another target describes that target",
  (fixture) => {
    const { aio } = fixture;
    // Words that would name the open file if they were those of the target "file".
    const ret = readShort(fixture, (handle) => {
      handle.setTarget(aio.targetId("page"), [0, 1, 0, 0, 512]);
      handle.registerCallbacks(aio.callbackId("fileReadv"));
    });
    assertEquals(wordsOf(ret), "could not read page 0 of table 1: read only 100 bytes");
    assertEquals([ret.targetId, ret.result.targetId], [aio.targetId("page"), aio.targetId("page")]);
  },
  { options: { callbackModules: [LAYERS] } },
);

testSharedCores(
  "an error of fileReadv under another target has no offset and no length",
  (fixture) => {
    const { aio } = fixture;
    aio.attachInjectionPoint("aio-process-completion-before-shared", () => -5);
    const ret = readShort(fixture, (handle) => {
      handle.setTarget(aio.targetId("page"), [0, 1, 0, 0, 512]);
      handle.registerCallbacks(aio.callbackId("fileReadv"));
    });
    aio.detachInjectionPoint("aio-process-completion-before-shared");
    const error = assertThrows(() => reportResult(ret.result, ret.targetData, "error"), Error);
    assertEquals({ ...error, message: error.message }, {
      name: "AioSystemError",
      message: "could not read page 0 of table 1: Input/output error (EIO)",
      code: "EIO",
      errno: 5,
      syscall: "preadv",
    });
  },
  { options: { callbackModules: [LAYERS] } },
);

testSharedCores("report() gets the target of its IO, and its description", (fixture) => {
  const { aio } = fixture;
  const seen: TargetIdentity[] = [];
  reset();
  hooks.report = (_result, _targetData, target) => {
    seen.push(target);
    return `could not check ${target.describe()}`;
  };
  const ret = readShort(fixture, (handle) => {
    handle.setTarget(aio.targetId("page"), [4, 2]);
    handle.registerCallbacks(aio.callbackId("sharedOnly"));
  });
  // Like a copy that was posted: plain values, from which a new result is made.
  const copy = new AioResult();
  copy.assign(wrong<AioResult>(structuredClone({ ...ret.result })));
  copy.status = "warning";
  copy.callbackId = aio.callbackId("free");
  assertThrows(
    () => aio.reportResult(copy, ret.targetData, "error"),
    AioReportError,
    "could not check page 4 of table 2",
  );
  assertEquals(seen.map(({ id, name }) => [id, name]), [[aio.targetId("page"), "page"]]);
  reset();
}, { options: { callbackModules: [LAYERS] } });

testSharedCores("a report() that returns a promise is refused", (fixture) => {
  const { aio } = fixture;
  reset();
  // Local callbacks run in this thread under every method.
  hooks.completeLocal = (_handle, prior) => {
    prior.status = "warning";
    return prior;
  };
  const ret = readShort(fixture, (handle) => {
    handle.setTarget(aio.targetId("page"), [4, 2]);
    handle.registerCallbacks(aio.callbackId("free"));
  });
  reset();

  hooks.report = () => wrong<string>(Promise.reject(new Error("swallowed")));
  const error = assertThrows(
    () => reportResult(ret.result, ret.targetData, "error"),
    TypeError,
  );
  assertEquals(error.message, 'Callback "free" returned a promise from its report()');
  reset();
}, { options: { callbackModules: [LAYERS] } });
