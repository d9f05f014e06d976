/**
 * handle_misuse_test.ts: each call of a handle in each of the eight states. Which may be made where
 * follows from the table of transitions, and so do the tests.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import {
  DEFINED,
  HANDED_OUT,
  IDLE,
  NEXT_STATES,
  STATE_NAMES,
  SUBMITTED,
} from "../../../core/memory/handle_state.ts";
import { AioReturn } from "../../../core/io/result.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { type Fixture, pokeState, startOn, startRead } from "../../support/core.ts";
import { STAGING, testSharedCores } from "../../support/core_methods.ts";

/** The states that may directly precede another one. */
function statesBefore(next: number): number[] {
  return STATE_NAMES.map((_, state) => state)
    .filter((state) => (NEXT_STATES[state]! & (1 << next)) !== 0);
}

/** The states of one use of a handle from which another one can still be reached. */
function statesLeadingTo(last: number): number[] {
  const found = new Set<number>(statesBefore(last));
  for (const state of found) {
    for (const before of statesBefore(state)) {
      if (state !== IDLE && before !== IDLE) found.add(before);
    }
  }
  return [...found].filter((state) => state !== IDLE);
}

interface Call {
  readonly name: string;
  readonly allowed: readonly number[];
  readonly remedy: string;
  make(fixture: Fixture, handle: AioHandle): unknown;
}

const REMEDY = "acquire a handle for each IO";
/** What prepares or starts an IO may be called while the handle can become defined. */
const PREPARING = statesBefore(DEFINED);
const CALLS: readonly Call[] = [
  ...Object.entries({
    setFlag: (_: Fixture, handle: AioHandle) => handle.setFlag("buffered"),
    setTarget: ({ aio }: Fixture, handle: AioHandle) => handle.setTarget(aio.targetId("file")),
    registerCallbacks: ({ aio }: Fixture, handle: AioHandle) =>
      handle.registerCallbacks(aio.callbackId("fileReadv")),
    setHandleData: (_: Fixture, handle: AioHandle) => handle.setHandleData([1]),
    setIovec: ({ aio }: Fixture, handle: AioHandle) => handle.setIovec(aio.alloc(512)),
    startReadv: ({ file }: Fixture, handle: AioHandle) => handle.startReadv(file.fd, 0),
    startWritev: ({ file }: Fixture, handle: AioHandle) => handle.startWritev(file.fd, 0),
    startFsync: ({ file }: Fixture, handle: AioHandle) => handle.startFsync(file.fd),
    startFlushRange: ({ file }: Fixture, handle: AioHandle) =>
      handle.startFlushRange(file.fd, 0, 0),
    start: ({ file }: Fixture, handle: AioHandle) => handle.start("fdatasync", file.fd),
  }).map(([name, make]) => ({ name, make, allowed: PREPARING, remedy: REMEDY })),
  {
    name: "waitRef",
    allowed: statesLeadingTo(SUBMITTED),
    remedy: "take the wait reference before the start",
    make: (_, handle) => handle.waitRef(),
  },
];

/** A handle that is idle; tests then make it show another state. */
function idleHandle({ aio }: Fixture): AioHandle {
  const handle = aio.acquire();
  handle.release();
  return handle;
}

function record(fixture: Fixture, handle: AioHandle): number[] {
  const { words } = backendOf(fixture.aio).control;
  return [...words.subarray(handle.base, handle.base + HANDLE.size)];
}

for (const call of CALLS) {
  for (const [state, name] of STATE_NAMES.entries()) {
    if (call.allowed.includes(state)) continue;
    testSharedCores(
      `handle.${call.name}() in state ${name} is refused and changes nothing`,
      (fixture) => {
        const handle = idleHandle(fixture);
        pokeState(fixture, handle.index, state);
        const before = record(fixture, handle);
        const error = assertThrows(() => call.make(fixture, handle), AioApiError);
        assertEquals(
          error.message,
          `Cannot call ${call.name}() on handle ${handle.index} in state ${name}: ${call.remedy}`,
        );
        assertEquals(record(fixture, handle), before);
        pokeState(fixture, handle.index, IDLE);
      },
    );
  }
}

for (const [state, name] of STATE_NAMES.entries()) {
  testSharedCores(
    `handle.release() of one in state ${name} that is not handed out is refused`,
    (fixture) => {
      const handle = idleHandle(fixture);
      pokeState(fixture, handle.index, state);
      const before = record(fixture, handle);
      const error = assertThrows(() => handle.release(), AioApiError);
      assertEquals(error.message, "release in unexpected state");
      assertEquals(record(fixture, handle), before);
      pokeState(fixture, handle.index, IDLE);
    },
  );
}

Deno.test("handle calls: the table of transitions gives PostgreSQL's rules", () => {
  assertEquals(PREPARING, [HANDED_OUT]);
  assertEquals(statesLeadingTo(SUBMITTED).sort(), [1, 2, 3]);
});

testSharedCores("each preparing call is allowed while the handle is handed out", (fixture) => {
  for (const call of CALLS.filter(({ name }) => !name.startsWith("start"))) {
    const handle = fixture.aio.acquire();
    call.make(fixture, handle);
    assertEquals(handle.state, "handedOut", call.name);
    handle.release();
  }
});

testSharedCores("handle.waitRef() is the same while handed out and staged", (fixture) => {
  const handle = fixture.aio.acquire();
  const first = handle.waitRef();
  fixture.aio.enterBatchmode();
  startOn(fixture, handle);
  assertEquals(handle.state, "staged");
  assertEquals(handle.waitRef(), first);
  fixture.aio.exitBatchmode();
  assertThrows(() => handle.waitRef(), AioApiError, "take the wait reference before the start");
}, { only: STAGING });

testSharedCores("handle.release() twice is refused", (fixture) => {
  const handle = fixture.aio.acquire();
  handle.release();
  const error = assertThrows(() => handle.release(), AioApiError);
  assertEquals(error.message, "release in unexpected state");
});

testSharedCores("handle.release() after the start is refused, and the IO goes on", (fixture) => {
  const { aio } = fixture;
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  startOn(fixture, handle);
  assertThrows(() => handle.release(), AioApiError, "release in unexpected state");
  aio.waitSync(ref);
  assertEquals(ret.result.result, 512);
});

testSharedCores("starting twice with one handle is refused", (fixture, method) => {
  const handle = fixture.aio.acquire();
  const ref = handle.waitRef();
  startOn(fixture, handle);
  assertThrows(
    () => fixture.file.startReadv(handle, 0),
    AioApiError,
    "acquire a handle for each IO",
  );
  fixture.aio.waitSync(ref);
  assertEquals(fixture.submissions.length, method === "sync" ? 0 : 1);
});

testSharedCores("aio.acquire() twice is refused in PostgreSQL's words", (fixture) => {
  const handle = fixture.aio.acquire();
  for (const acquire of [() => fixture.aio.acquire(), () => fixture.aio.tryAcquire()]) {
    const error = assertThrows(acquire, AioApiError);
    assertEquals(error.message, "API violation: Only one IO can be handed out");
  }
  assertEquals(handle.state, "handedOut");
  handle.release();
  fixture.aio.acquire().release();
});

testSharedCores(
  "a handle that is staged or submitted does not keep others from being acquired",
  (fixture) => {
    fixture.aio.enterBatchmode();
    startRead(fixture);
    startRead(fixture, 512);
    fixture.aio.exitBatchmode();
    const handle = fixture.aio.acquire();
    assert(handle.state === "handedOut");
    handle.release();
  },
);
