/** handle_test.ts: what a handle takes and tells: flags, target, callbacks, data, identity. */

import { assertEquals, assertNotEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../core/errors.ts";
import { FLAG_BITS, type HandleFlag } from "../../core/handle_flag.ts";
import { HANDLE } from "../../core/shared_memory.ts";
import { openHeld, openSync, startOn, startRead, wrong } from "../support/core.ts";

Deno.test("sync: aio.acquire() hands out a handle that tells who it is", async () => {
  await using fixture = await openSync();
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

Deno.test("sync: a handle acquired anew shows nothing of its last IO", async () => {
  await using fixture = await openSync({ maxConcurrency: 1 });
  startRead(fixture, 4096);
  const handle = fixture.aio.acquire();
  assertEquals(handle.operation, "invalid");
  assertEquals(handle.hasTarget, false);
  assertEquals(handle.handleData(), []);
  assertEquals(handle.length, 0);
  assertEquals(handle.operationData, { fd: 0, offset: 0, length: 0, iovecLength: 0 });
  handle.release();
});

Deno.test("sync: the handle given back last is handed out first", async () => {
  await using fixture = await openSync();
  const first = fixture.aio.acquire();
  first.release();
  assertStrictEquals(fixture.aio.acquire(), first);
  first.release();
});

Deno.test("held: the handle whose IO ended last is used first", async () => {
  await using fixture = await openHeld({ maxConcurrency: 4 });
  const { aio, held } = fixture;
  const refs = Array.from({ length: 4 }, () => startRead(fixture).ref);
  for (const i of [2, 0, 3, 1]) held.perform(aio, refs[i]!);
  const next = Array.from({ length: 4 }, () => startRead(fixture).ref.index);
  assertEquals(next, [1, 3, 0, 2].map((i) => refs[i]!.index));
});

Deno.test("sync: the generation moves with every use, also with one given back unused", async () => {
  await using fixture = await openSync({ maxConcurrency: 1 });
  const generations = Array.from({ length: 3 }, () => {
    const handle = fixture.aio.acquire();
    const { generation } = handle.waitRef();
    handle.release();
    return generation;
  });
  assertEquals(generations, [1, 2, 3]);
  assertEquals(startRead(fixture).ref.generation, 4);
});

Deno.test("sync: handle.waitRef() fills an object that is given", async () => {
  await using fixture = await openSync();
  const handle = fixture.aio.acquire();
  const into = { index: 7, generation: 7 };
  assertStrictEquals(handle.waitRef(into), into);
  assertEquals(into, handle.waitRef());
  assertNotEquals(into.index, 7);
  handle.release();
});

Deno.test("held: the operation and its data can be read while it is under way", async () => {
  await using fixture = await openHeld();
  const handle = fixture.aio.acquire();
  startOn(fixture, handle, 2048);
  assertEquals(handle.operation, "readv");
  assertEquals(handle.operationData, {
    fd: fixture.file.fd,
    offset: 2048,
    length: 512,
    iovecLength: 1,
  });
  assertEquals(handle.targetName, "file");
  assertEquals(
    handle.describeTarget(),
    `bytes 2048..2559 in file ${JSON.stringify(fixture.file.path)}`,
  );
});

Deno.test("held: an offset beyond 2^32 is kept whole", async () => {
  await using fixture = await openHeld();
  const handle = fixture.aio.acquire();
  startOn(fixture, handle, 2 ** 40 + 12_345);
  assertEquals(handle.operationData.offset, 2 ** 40 + 12_345);
});

Deno.test("held: each operation has its name", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
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
});

// --- flags ---

Deno.test("sync: handle.setFlag() adds flags, one bit each", async () => {
  await using fixture = await openSync();
  const { words } = fixture.aio.backend.control;
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
  Deno.test(`sync: handle.setFlag(${Deno.inspect(flag)}) is refused, naming the flags`, async () => {
    await using fixture = await openSync();
    const handle = fixture.aio.acquire();
    const error = assertThrows(() => handle.setFlag(wrong<HandleFlag>(flag)), RangeError);
    const shown = typeof flag === "string" ? JSON.stringify(flag) : String(flag);
    assertEquals(
      error.message,
      `Cannot set the flag ${shown}: known are synchronous, referencesLocal, buffered`,
    );
    handle.release();
  });
}

Deno.test("held: the flag synchronous has the IO executed in its start call, in a batch too", async () => {
  await using fixture = await openHeld();
  const { aio, held } = fixture;
  aio.enterBatchmode();
  const staged = startRead(fixture);
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.setFlag("synchronous");
  startOn(fixture, handle, 512);
  assertEquals(aio.checkDone(ref), true);
  assertEquals(aio.checkDone(staged.ref), false);
  aio.exitBatchmode();
  assertEquals(held.submissions, [1]);
});

// --- target ---

Deno.test("sync: handle.setTarget() keeps six words and clears those not given", async () => {
  await using fixture = await openSync({ maxConcurrency: 1 });
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
});

Deno.test("sync: handle.targetData is a copy", async () => {
  await using fixture = await openSync();
  const handle = fixture.aio.acquire();
  handle.setTarget(fixture.aio.targetId("file"), [1]);
  handle.targetData[0] = 5;
  assertEquals(handle.targetData[0], 1);
  handle.release();
});

Deno.test("sync: handle.setTarget() twice is refused", async () => {
  await using fixture = await openSync();
  const id = fixture.aio.targetId("file");
  const handle = fixture.aio.acquire();
  handle.setTarget(id, [1]);
  const error = assertThrows(() => handle.setTarget(id, [2]), AioApiError);
  assertEquals(error.message, `Cannot set a target of handle ${handle.index} twice: it is file`);
  assertEquals(handle.targetData[0], 1);
  handle.release();
});

for (const id of [0, 2, -1, 1.5, NaN, "file"]) {
  Deno.test(`sync: handle.setTarget(${Deno.inspect(id)}) of no such target is refused`, async () => {
    await using fixture = await openSync();
    const handle = fixture.aio.acquire();
    const error = assertThrows(() => handle.setTarget(wrong<number>(id)), RangeError);
    assertEquals(
      error.message,
      `Cannot set target ${JSON.stringify(id) ?? id}: there is no such target, see aio.targetId()`
        .replace("null", "NaN"),
    );
    assertEquals(handle.hasTarget, false);
    handle.release();
  });
}

Deno.test("sync: handle.setTarget() with seven words is refused", async () => {
  await using fixture = await openSync();
  const handle = fixture.aio.acquire();
  const error = assertThrows(
    () => handle.setTarget(fixture.aio.targetId("file"), [1, 2, 3, 4, 5, 6, 7]),
    RangeError,
  );
  assertEquals(error.message, "Cannot set 7 words of target data: at most 6");
  handle.release();
});

for (const word of [2 ** 40, 1.5, NaN, Infinity]) {
  Deno.test(`sync: handle.setTarget() with the word ${word} is refused, not cut`, async () => {
    await using fixture = await openSync();
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

Deno.test("sync: a handle takes four callbacks and refuses the fifth", async () => {
  await using fixture = await openSync();
  const id = fixture.aio.callbackId("fileReadv");
  const handle = fixture.aio.acquire();
  for (let i = 0; i < 4; i++) handle.registerCallbacks(id, i);
  const error = assertThrows(() => handle.registerCallbacks(id), RangeError);
  assertEquals(error.message, "too many callbacks, the max is 4");
  handle.release();
  fixture.aio.acquire().release();
});

for (const id of [0, 4, 63, 64, -1, 1.5, NaN, "fileReadv"]) {
  Deno.test(`sync: handle.registerCallbacks(${Deno.inspect(id)}) is out of range`, async () => {
    await using fixture = await openSync();
    const handle = fixture.aio.acquire();
    const error = assertThrows(() => handle.registerCallbacks(wrong<number>(id)), RangeError);
    const shown = typeof id === "string" ? JSON.stringify(id) : String(id);
    assertEquals(error.message, `callback ${shown} is out of range`);
    handle.release();
  });
}

for (const data of [-1, 256, 1.5, NaN, "1", null]) {
  Deno.test(`sync: callback data ${Deno.inspect(data)} is refused`, async () => {
    await using fixture = await openSync();
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

Deno.test("sync: callback data may be 0 and 255", async () => {
  await using fixture = await openSync();
  const id = fixture.aio.callbackId("fileReadv");
  const handle = fixture.aio.acquire();
  handle.registerCallbacks(id, 0);
  handle.registerCallbacks(id, 255);
  handle.release();
});
