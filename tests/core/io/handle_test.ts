/** handle_test.ts: what a handle takes and tells: flags, target, callbacks, data, identity. */

import { assertEquals, assertNotEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { backendOf } from "../../../core/inside.ts";
import { FLAG_BITS, type HandleFlag } from "../../../core/io/handle_flag.ts";
import { HANDLE } from "../../../core/memory/shared_memory.ts";
import { openHeld, startOn, startRead, stateOf, wrong } from "../../support/core.ts";
import { STAGING, testSharedCores } from "../../support/core_methods.ts";

testSharedCores("aio.acquire() hands out a handle that tells who it is", (fixture) => {
  const handle = fixture.aio.acquire();
  assertEquals(handle.state, "handedOut");
  assertEquals(handle.id, handle.index);
  assertEquals(handle.backendId, 0);
  assertEquals(handle.operation, "invalid");
  assertEquals([handle.hasTarget, handle.targetName], [false, "invalid"]);
  assertEquals(handle.describeTarget(), "invalid");
  handle.release();
  assertEquals(handle.state, "idle");
});

testSharedCores("a handle acquired anew shows nothing of its last IO", (fixture) => {
  fixture.aio.waitSync(startRead(fixture, 4096).ref);
  const handle = fixture.aio.acquire();
  assertEquals(handle.operation, "invalid");
  assertEquals(handle.hasTarget, false);
  assertEquals(handle.handleData(), []);
  assertEquals(handle.length, 0);
  assertEquals(handle.operationData, { fd: 0, offset: 0, length: 0, flags: 0, iovecLength: 0 });
  handle.release();
}, { options: { maxConcurrency: 1 } });

testSharedCores("the handle given back last is handed out first", (fixture) => {
  const first = fixture.aio.acquire();
  first.release();
  assertStrictEquals(fixture.aio.acquire(), first);
  first.release();
});

// Only with this method does IO end in an order of the test's choosing.
Deno.test("held: the handle whose IO ended last is used first", async () => {
  await using fixture = await openHeld({ maxConcurrency: 4 });
  const { aio, held } = fixture;
  const refs = Array.from({ length: 4 }, () => startRead(fixture).ref);
  for (const i of [2, 0, 3, 1]) held.perform(aio, refs[i]!);
  const next = Array.from({ length: 4 }, () => startRead(fixture).ref.index);
  assertEquals(next, [1, 3, 0, 2].map((i) => refs[i]!.index));
});

testSharedCores(
  "the generation moves with every use, also with one given back unused",
  (fixture) => {
    const generations = Array.from({ length: 3 }, () => {
      const handle = fixture.aio.acquire();
      const { generation } = handle.waitRef();
      handle.release();
      return generation;
    });
    const first = generations[0]!;
    assertEquals(generations, [first, first + 1, first + 2]);
    assertEquals(startRead(fixture).ref.generation, first + 3);
  },
  { options: { maxConcurrency: 1 } },
);

testSharedCores("handle.waitRef() fills an object that is given", (fixture) => {
  const handle = fixture.aio.acquire();
  const into = { index: 7, generation: 7 };
  assertStrictEquals(handle.waitRef(into), into);
  assertEquals(into, handle.waitRef());
  assertNotEquals(into.index, 7);
  handle.release();
});

testSharedCores("the operation and its data can be read while it is staged", (fixture) => {
  fixture.aio.enterBatchmode();
  const handle = fixture.aio.acquire();
  startOn(fixture, handle, 2048);
  assertEquals(handle.operation, "readv");
  assertEquals(handle.operationData, {
    fd: fixture.file.fd,
    offset: 2048,
    length: 512,
    flags: 0,
    iovecLength: 1,
  });
  assertEquals(handle.targetName, "file");
  assertEquals(
    handle.describeTarget(),
    `bytes 2048..2559 in file ${JSON.stringify(fixture.file.path)}`,
  );
  fixture.aio.exitBatchmode();
}, { only: STAGING });

testSharedCores("an offset beyond 2^32 is kept whole", (fixture) => {
  fixture.aio.enterBatchmode();
  const handle = fixture.aio.acquire();
  startOn(fixture, handle, 2 ** 40 + 12_345);
  assertEquals(handle.operationData.offset, 2 ** 40 + 12_345);
  fixture.aio.exitBatchmode();
}, { only: STAGING });

testSharedCores("each operation has its name", (fixture) => {
  const { aio, file } = fixture;
  aio.enterBatchmode();
  const names = [
    () => {
      const handle = aio.acquire();
      handle.setIovec(aio.alloc(512));
      file.startWritev(handle, 0);
      return handle.operation;
    },
    () => {
      const handle = aio.acquire();
      file.startFsync(handle);
      return handle.operation;
    },
    () => {
      const handle = aio.acquire();
      file.startFsync(handle, { dataOnly: true });
      return handle.operation;
    },
  ].map((start) => start());
  assertEquals(names, ["writev", "fsync", "fdatasync"]);
  aio.exitBatchmode();
}, { only: STAGING });

// --- flags ---

testSharedCores("handle.setFlag() adds flags, one bit each", (fixture) => {
  const { words } = backendOf(fixture.aio).control;
  const handle = fixture.aio.acquire();
  let bits = 0;
  for (const [flag, bit] of Object.entries(FLAG_BITS)) {
    handle.setFlag(flag as HandleFlag);
    bits |= bit;
    assertEquals(words[handle.base + HANDLE.flags], bits);
  }
  assertEquals(bits, 7);
  handle.release();
  assertEquals(words[handle.base + HANDLE.flags], 0);
});

for (const flag of ["nonsense", "", "constructor", "toString", 1, undefined]) {
  testSharedCores(
    `handle.setFlag(${Deno.inspect(flag)}) is refused, naming the flags`,
    (fixture) => {
      const handle = fixture.aio.acquire();
      const error = assertThrows(() => handle.setFlag(wrong<HandleFlag>(flag)), RangeError);
      const shown = typeof flag === "string" ? JSON.stringify(flag) : String(flag);
      assertEquals(
        error.message,
        `Cannot set the flag ${shown}: known are synchronous, referencesLocal, buffered`,
      );
      handle.release();
    },
  );
}

testSharedCores(
  "the flag synchronous has the IO executed in its start call, in a batch too",
  (fixture) => {
    const { aio } = fixture;
    aio.enterBatchmode();
    const staged = startRead(fixture);
    const handle = aio.acquire();
    const ref = handle.waitRef();
    handle.setFlag("synchronous");
    startOn(fixture, handle, 512);
    assertEquals(aio.checkDone(ref), true);
    assertEquals(stateOf(fixture, staged.ref), "staged");
    aio.exitBatchmode();
    assertEquals(fixture.submissions, [1]);
  },
  { only: STAGING },
);

// --- target ---

testSharedCores("handle.setTarget() keeps six words and clears those not given", (fixture) => {
  const id = fixture.aio.targetId("file");
  const first = fixture.aio.acquire();
  first.setTarget(id, [1, -2, 3, 0x7fffffff, -0x80000000, 6]);
  assertEquals([...first.targetData], [1, -2, 3, 0x7fffffff, -0x80000000, 6]);
  assertEquals([first.hasTarget, first.targetName], [true, "file"]);
  first.release();
  const second = fixture.aio.acquire();
  second.setTarget(id, [9]);
  assertEquals([...second.targetData], [9, 0, 0, 0, 0, 0]);
  second.release();
}, { options: { maxConcurrency: 1 } });

testSharedCores("handle.targetData is a copy", (fixture) => {
  const handle = fixture.aio.acquire();
  handle.setTarget(fixture.aio.targetId("file"), [1]);
  handle.targetData[0] = 5;
  assertEquals(handle.targetData[0], 1);
  handle.release();
});

testSharedCores("handle.setTarget() twice is refused", (fixture) => {
  const id = fixture.aio.targetId("file");
  const handle = fixture.aio.acquire();
  handle.setTarget(id, [1]);
  const error = assertThrows(() => handle.setTarget(id, [2]), AioApiError);
  assertEquals(error.message, `Cannot set a target of handle ${handle.index} twice: it is file`);
  assertEquals(handle.targetData[0], 1);
  handle.release();
});

for (const id of [0, 99, -1, 1.5, NaN, "file"]) {
  testSharedCores(
    `handle.setTarget(${Deno.inspect(id)}) of no such target is refused`,
    (fixture) => {
      const handle = fixture.aio.acquire();
      const error = assertThrows(() => handle.setTarget(wrong<number>(id)), RangeError);
      assertEquals(
        error.message,
        `Cannot set target ${JSON.stringify(id) ?? id}: there is no such target, see aio.targetId()`
          .replace("null", "NaN"),
      );
      assertEquals(handle.hasTarget, false);
      handle.release();
    },
  );
}

testSharedCores("handle.setTarget() with seven words is refused", (fixture) => {
  const handle = fixture.aio.acquire();
  const error = assertThrows(
    () => handle.setTarget(fixture.aio.targetId("file"), [1, 2, 3, 4, 5, 6, 7]),
    RangeError,
  );
  assertEquals(error.message, "Cannot set 7 words of target data: at most 6");
  handle.release();
});

for (const word of [2 ** 40, 1.5, NaN, Infinity]) {
  testSharedCores(`handle.setTarget() with the word ${word} is refused, not cut`, (fixture) => {
    const handle = fixture.aio.acquire();
    assertThrows(
      () => handle.setTarget(fixture.aio.targetId("file"), [word]),
      RangeError,
      String(word),
    );
    assertEquals(handle.hasTarget, false);
    handle.release();
  });
}

// --- callbacks ---

testSharedCores("a handle takes four callbacks and refuses the fifth", (fixture) => {
  const id = fixture.aio.callbackId("fileReadv");
  const handle = fixture.aio.acquire();
  for (let i = 0; i < 4; i++) handle.registerCallbacks(id, i);
  const error = assertThrows(() => handle.registerCallbacks(id), RangeError);
  assertEquals(error.message, "too many callbacks, the max is 4");
  handle.release();
  fixture.aio.acquire().release();
});

testSharedCores(
  "handle.registerCallbacks() of the first id that is none is out of range",
  ({ aio }) => {
    const id = backendOf(aio).callbacks.names.length;
    const handle = aio.acquire();
    const error = assertThrows(() => handle.registerCallbacks(id), RangeError);
    assertEquals(error.message, `callback ${id} is out of range`);
    handle.registerCallbacks(id - 1);
    handle.release();
  },
);

for (const id of [0, 63, 64, -1, 1.5, NaN, "fileReadv"]) {
  testSharedCores(`handle.registerCallbacks(${Deno.inspect(id)}) is out of range`, (fixture) => {
    const handle = fixture.aio.acquire();
    const error = assertThrows(() => handle.registerCallbacks(wrong<number>(id)), RangeError);
    const shown = typeof id === "string" ? JSON.stringify(id) : String(id);
    assertEquals(error.message, `callback ${shown} is out of range`);
    handle.release();
  });
}

for (const data of [-1, 256, 1.5, NaN, "1", null]) {
  testSharedCores(`callback data ${Deno.inspect(data)} is refused`, (fixture) => {
    const id = fixture.aio.callbackId("fileReadv");
    const handle = fixture.aio.acquire();
    const error = assertThrows(() => handle.registerCallbacks(id, wrong<number>(data)), RangeError);
    const shown = typeof data === "string" ? JSON.stringify(data) : String(data);
    assertEquals(
      error.message,
      `Cannot register callback data ${shown}: an integer from 0 to 255`,
    );
    handle.release();
  });
}

testSharedCores("callback data may be 0 and 255", (fixture) => {
  const id = fixture.aio.callbackId("fileReadv");
  const handle = fixture.aio.acquire();
  handle.registerCallbacks(id, 0);
  handle.registerCallbacks(id, 255);
  handle.release();
});
