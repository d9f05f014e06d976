/**
 * operation_test.ts: every operation of the table on every method, by `handle.start()`: what it
 * does, what `ios()` shows of it, and which operands it refuses. A row without a case fails here.
 */

import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { closeSync, constants, openSync as openDescriptor } from "node:fs";
import { backendOf } from "../../../core/inside.ts";
import type { AioHandle } from "../../../core/io/handle.ts";
import { checkOperands, defineOperation, type Operands } from "../../../core/io/operation.ts";
import {
  OPERATION_NAMES,
  OPERATION_ROWS,
  OPERATIONS,
  STARTED_NAMES,
  type StartedName,
} from "../../../core/io/operation_table.ts";
import { AioReturn } from "../../../core/io/result.ts";
import type { IoRow } from "../../../core/views/io_rows.ts";
import { EINVAL, ESPIPE } from "../../../ffi/errno.ts";
import { FADVISE_ADVICE } from "../../../ffi/layout.ts";
import { FILE_BYTES, fileContent, type Fixture, wrong } from "../../support/core.ts";
import { testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";
import { tempDir } from "../../support/temp.ts";

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);
const OPTIONS = { callbackModules: [LAYERS] };
const BYTES = 512;
const OFFSET = 4096;
const WRITTEN = fileContent(9, BYTES);
/** Beyond what one word holds, in both halves. */
const FAR = 2 ** 33 + 4096;
const LONG = 2 ** 40 + 8192;
/** A number that no row has. */
const UNKNOWN_OPERATION = 99;

/** What is tested of one operation. */
interface OperationCase {
  /** What it is started with. */
  readonly operands: Operands;
  /** What the system answers on a file of at least `OFFSET + BYTES` bytes. */
  readonly answer: number;
  /** `off` and `length` of its row in `ios()`. */
  readonly shown: readonly [off: number | null, length: number | null];
  /** The error of a descriptor that is a pipe's, if there is one under every method. */
  readonly errnoOfPipe?: number;
  /** What is then in the file, or in the buffer. */
  verify?(fixture: Fixture, view: Uint8Array): void | Promise<void>;
}

/** The compiler finds a name that is missing here, and so does the first test. */
const CASES: Readonly<Record<StartedName, OperationCase>> = {
  readv: {
    operands: { offset: OFFSET },
    answer: BYTES,
    shown: [OFFSET, BYTES],
    verify: (_, view) => assertEquals(view, fileContent(OFFSET, BYTES)),
  },
  writev: {
    operands: { offset: OFFSET },
    answer: BYTES,
    shown: [OFFSET, BYTES],
    async verify({ file }) {
      const content = await Deno.readFile(file.path);
      assertEquals(content.subarray(OFFSET, OFFSET + BYTES), WRITTEN);
      assertEquals(content.subarray(0, OFFSET), fileContent(0, OFFSET));
    },
  },
  fsync: { operands: {}, answer: 0, shown: [null, null], errnoOfPipe: EINVAL },
  fdatasync: { operands: {}, answer: 0, shown: [null, null], errnoOfPipe: EINVAL },
  flush_range: {
    operands: { offset: FAR, length: LONG },
    answer: 0,
    shown: [FAR, LONG],
    errnoOfPipe: ESPIPE,
  },
  fallocate: {
    operands: { offset: FAR, length: BYTES, flags: 0 },
    answer: 0,
    shown: [FAR, BYTES],
    errnoOfPipe: ESPIPE,
    async verify({ file }) {
      const { blocks, size } = await Deno.stat(file.path);
      assertEquals(size, FAR + BYTES);
      assertGreater(blocks!, FILE_BYTES / BYTES);
    },
  },
  fadvise: {
    operands: { offset: OFFSET, length: LONG, flags: FADVISE_ADVICE.dontNeed },
    answer: 0,
    shown: [OFFSET, LONG],
    errnoOfPipe: ESPIPE,
  },
};

/** The operations that have no case. */
function withoutCase(names: readonly string[]): string[] {
  return names.filter((name) => !Object.hasOwn(CASES, name));
}

Deno.test("each operation of the table has a case here", () => {
  assertEquals(withoutCase(STARTED_NAMES), []);
});

Deno.test("canary: an operation without a case is found", () => {
  assertEquals(withoutCase([...STARTED_NAMES, "teleport"]), ["teleport"]);
});

// --- the table ---

Deno.test("operations have the numbers from 1 on, and their names and rows by number", () => {
  const codes = STARTED_NAMES.map((name) => OPERATIONS[name].code);
  assertEquals<readonly number[]>(codes, STARTED_NAMES.map((_, i) => i + 1));
  assertEquals(OPERATION_NAMES, ["invalid", ...STARTED_NAMES]);
  assertEquals(OPERATION_ROWS, [null, ...STARTED_NAMES.map((name) => OPERATIONS[name])]);
});

Deno.test("operations that always report lost writes are not repeated after a death", () => {
  const always = STARTED_NAMES.filter((name) => OPERATIONS[name].tellsLostWrites === "always");
  assertEquals(always, ["fsync", "fdatasync", "flush_range"]);
  assertEquals(always.filter((name) => OPERATIONS[name].mayRepeat), []);
});

// --- each operation ---

/** A handle with all that an operation needs. */
function prepared({ aio }: Fixture, name: StartedName, ret: AioReturn) {
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  const view = aio.alloc(BYTES);
  handle.setTarget(aio.targetId("page"), [7, 3]);
  if (OPERATIONS[name].moves !== null) handle.setIovec(view);
  return { handle, ref, view };
}

/** Starts an operation and waits for it. @returns what the system said, and its row of `ios()` */
async function run(
  fixture: Fixture,
  name: StartedName,
  fd: number,
  write?: Uint8Array,
): Promise<{ result: number; row: IoRow; view: Uint8Array }> {
  const { aio } = fixture;
  const ret = new AioReturn();
  const { handle, ref, view } = prepared(fixture, name, ret);
  if (write !== undefined) view.set(write);
  const rows: IoRow[] = [];
  aio.attachInjectionPoint("aio-after-staging", () => void rows.push(...aio.ios()));
  handle.start(name, fd, CASES[name].operands);
  aio.detachInjectionPoint("aio-after-staging");
  await aio.wait(ref);
  assertEquals([rows.length, ret.result.status], [1, "ok"]);
  return { result: ret.result.result, row: rows[0]!, view };
}

// A name without a case has failed above.
for (const name of STARTED_NAMES.filter((name) => withoutCase([name]).length === 0)) {
  const { answer, shown, errnoOfPipe, verify } = CASES[name];

  testEachCoreMethod(
    `start("${name}") is executed by the system, and seen in ios()`,
    async (test) => {
      await using fixture = await test.open(OPTIONS);
      const { result, row, view } = await run(fixture, name, fixture.file.fd, WRITTEN);
      assertEquals(result, answer);
      assertEquals([row.operation, row.off, row.length], [name, ...shown]);
      await verify?.(fixture, view);
    },
  );

  if (errnoOfPipe !== undefined) {
    testEachCoreMethod(`start("${name}") has the errors of its own call`, async (test) => {
      await using dir = await tempDir();
      await new Deno.Command("mkfifo", { args: [dir.join("pipe")] }).output();
      const fd = openDescriptor(dir.join("pipe"), constants.O_RDWR);
      try {
        await using fixture = await test.open(OPTIONS);
        assertEquals((await run(fixture, name, fd)).result, -errnoOfPipe);
      } finally {
        closeSync(fd);
      }
    });
  }
}

testSharedCores("operationData has the length of a range beyond 2^32", ({ aio, file }) => {
  const seen: unknown[] = [];
  aio.attachInjectionPoint("aio-after-staging", ({ operation, operationData, length }) => {
    seen.push(operation, operationData, length);
  });
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.setTarget(aio.targetId("page"), [7, 3]);
  handle.startFlushRange(file.fd, FAR, LONG);
  aio.detachInjectionPoint("aio-after-staging");
  aio.waitSync(ref);
  const data = { fd: file.fd, offset: FAR, length: LONG, flags: 0, iovecLength: 0 };
  assertEquals(seen, ["flush_range", data, 0]);
}, { options: OPTIONS });

testSharedCores("an operation shows nothing of the handle's last one", (fixture) => {
  const { aio, file } = fixture;
  const seen: unknown[] = [];
  const start = (name: StartedName, operands: Operands) => {
    const { handle, ref } = prepared(fixture, name, new AioReturn());
    handle.start(name, file.fd, operands);
    aio.waitSync(ref);
  };
  start("flush_range", { offset: FAR, length: LONG });
  aio.attachInjectionPoint("aio-after-staging", ({ operationData: { offset, length, flags } }) => {
    seen.push([offset, length, flags]);
  });
  start("fsync", {});
  start("readv", { offset: OFFSET });
  aio.detachInjectionPoint("aio-after-staging");
  assertEquals(seen, [[0, 0, 0], [OFFSET, BYTES, 0]]);
}, { options: { ...OPTIONS, maxConcurrency: 1 } });

testEachCoreMethod("an operation that no row has is answered with EINVAL", async (test) => {
  await using fixture = await test.open(OPTIONS);
  const { aio, file } = fixture;
  // After these writes each entry of a ring has held a write.
  for (let i = 0; i < aio.options.maxConcurrency * 2; i++) {
    await file.writeAt(WRITTEN, i * BYTES);
  }
  const before = await Deno.readFile(file.path);
  await file.writeAt(new Uint8Array(before.length), 0);
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  const ref = handle.waitRef();
  handle.setTarget(aio.targetId("page"), [7, 3]);
  defineOperation(handle.words, handle.base, UNKNOWN_OPERATION, file.fd, 0);
  backendOf(aio).stage(handle, false);
  await aio.wait(ref);
  assertEquals(ret.result.result, -EINVAL);
  assertEquals(await Deno.readFile(file.path), new Uint8Array(before.length));
});

// --- what is refused ---

/** A start with mistaken operands, the error's type, and a part of its message. */
const REFUSED: readonly (readonly [
  name: string,
  operands: unknown,
  type: typeof TypeError | typeof RangeError,
  message: string,
])[] = [
  ["invalid", {}, TypeError, 'Cannot start "invalid": there is no such operation, known are readv'],
  ["toString", {}, TypeError, 'Cannot start "toString": there is no such operation'],
  ["readv", {}, TypeError, "Cannot start at offset undefined: offsets are integers from 0"],
  ["readv", { offset: -1 }, RangeError, "Cannot start at offset -1"],
  ["readv", { offset: 0, length: 1 }, TypeError, 'Cannot start with "length": this operation'],
  ["flush_range", { offset: 0, length: 1, flags: 0 }, TypeError, 'Cannot start with "flags"'],
  ["writev", { offset: 0, flags: -1 }, RangeError, "flags"],
  ["fsync", { offset: 0 }, TypeError, 'Cannot start with "offset"'],
  ["fdatasync", { length: 0 }, TypeError, 'Cannot start with "length"'],
  ["fallocate", { length: 1, flags: 0 }, TypeError, "Cannot start at offset undefined"],
  ["fallocate", { offset: 0 }, TypeError, "Cannot start over undefined bytes: lengths are"],
  ["fadvise", { offset: 0, length: -1, flags: 3 }, RangeError, "Cannot start over -1 bytes"],
  ["fadvise", { offset: 0, length: 1, flags: 0.5 }, RangeError, "with the flags 0.5"],
  ["flush_range", { length: 1 }, TypeError, "Cannot start at offset undefined"],
  ["flush_range", { offset: 1 }, TypeError, "Cannot start over undefined bytes: lengths are"],
  ["flush_range", { offset: 1, length: -1 }, RangeError, "Cannot start over -1 bytes"],
  ["flush_range", { offset: 1, length: 0.5 }, RangeError, "Cannot start over 0.5 bytes"],
  ["flush_range", { offset: 1, length: NaN }, RangeError, "Cannot start over NaN bytes"],
  ["flush_range", { offset: 1, length: 2 ** 53 - 1 }, RangeError, "the end is beyond"],
];

for (const [name, operands, type, message] of REFUSED) {
  testSharedCores(`start("${name}") with ${JSON.stringify(operands)} is refused`, (fixture) => {
    const { aio, file } = fixture;
    const handle: AioHandle = aio.acquire();
    handle.setTarget(aio.targetId("page"), [7, 3]);
    handle.setIovec(aio.alloc(BYTES));
    const start = () => handle.start(wrong(name), file.fd, wrong(operands));
    assertThrows(start, type, message);
    assertEquals(handle.state, "handedOut");
    handle.release();
  }, { options: OPTIONS });
}

testSharedCores("start() of what has buffers is refused without them", ({ aio, file }) => {
  const moving = STARTED_NAMES.filter((name) => OPERATIONS[name].moves !== null);
  assertEquals(moving, ["readv", "writev"]);
  for (const name of moving) {
    const handle = aio.acquire();
    handle.setTarget(aio.targetId("page"), [7, 3]);
    assertThrows(() => handle.start(name, file.fd, { offset: 0 }), Error, "without buffers");
    handle.release();
  }
}, { options: OPTIONS });

Deno.test("checkOperands() takes flags of 32 bits, where the row has any", () => {
  const row = { ...OPERATIONS.fsync, hasFlags: true };
  for (const flags of [0, 1, 2 ** 31, 2 ** 32 - 1]) checkOperands("start", row, { flags });
  for (const flags of [-1, 0.5, 2 ** 32, NaN]) {
    assertThrows(() => checkOperands("start", row, { flags }), RangeError, "with the flags");
  }
  const text = wrong<number>("1");
  assertThrows(() => checkOperands("start", row, { flags: text }), TypeError, "with the flags");
  assert(!OPERATIONS.fsync.hasFlags);
});
