/**
 * handle_iovec_test.ts: which memory an IO may use, and where: buffers, offsets, descriptors, and
 * memory that may go away.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { AioApiError } from "../../../core/base/errors.ts";
import { AioReturn } from "../../../core/io/result.ts";
import { fileContent, type Fixture, startRead, wrong } from "../../support/core.ts";
import { testEachCoreMethod, testSharedCores } from "../../support/core_methods.ts";

const TRANSFER_BYTES_MAX = 0x7ffff000;
const EFAULT = 14;

// --- buffers ---

testSharedCores("a list of buffers is filled one after another", (fixture) => {
  const { aio, file } = fixture;
  const arena = aio.alloc(4096);
  const views = [arena.subarray(10, 13), arena.subarray(100, 101), arena.subarray(50, 60)];
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.setIovec(views);
  assertEquals([handle.length, handle.operationData.iovecLength], [14, 3]);
  file.startReadv(handle, 7);
  aio.waitSync(ref);
  const read = views.flatMap((view) => [...view]);
  assertEquals(read, [...fileContent(7, 14)]);
});

testSharedCores("a second setIovec() replaces the first", (fixture) => {
  const { aio, file } = fixture;
  const [first, second] = [aio.alloc(512).fill(1), aio.alloc(512).fill(2)];
  const handle = aio.acquire();
  const ref = handle.waitRef();
  handle.setIovec([first, first]);
  handle.setIovec(second);
  file.startReadv(handle, 0);
  aio.waitSync(ref);
  assertEquals([...second], [...fileContent(0, 512)]);
  assert(first.every((byte) => byte === 1));
});

for (const ioMaxCombineLimit of [1, 128]) {
  testSharedCores(
    `${ioMaxCombineLimit} buffers fit with ioMaxCombineLimit ${ioMaxCombineLimit}, one more does not`,
    (fixture) => {
      const { aio, file } = fixture;
      const view = aio.alloc(4096);
      const views = Array.from(
        { length: ioMaxCombineLimit + 1 },
        (_, i) => view.subarray(i, i + 1),
      );
      const handle = aio.acquire();
      const error = assertThrows(() => handle.setIovec(views), RangeError);
      assertEquals(
        error.message,
        `Cannot set an iovec of ${views.length} buffers: at most ${ioMaxCombineLimit}, ` +
          'the option "ioMaxCombineLimit"',
      );
      const ref = handle.waitRef();
      handle.setIovec(views.slice(1));
      file.startReadv(handle, 0);
      aio.waitSync(ref);
      assertEquals(
        [...view.subarray(1, views.length)],
        [...fileContent(0, ioMaxCombineLimit)],
      );
    },
    { options: { ioMaxCombineLimit } },
  );
}

const BUFFER_REFUSALS: readonly (readonly [string, unknown, string])[] = [
  ["an empty list", [], "Cannot set an empty iovec: pass at least one buffer"],
  ["an empty view", new Uint8Array(0), "Cannot set buffer 0: it is empty"],
  ["a list with an empty view", [new Uint8Array(1), new Uint8Array(0)], "buffer 1: it is empty"],
  ["null", null, "Cannot set the iovec to null: pass a Uint8Array or a list of them"],
  ["undefined", undefined, "Cannot set the iovec to undefined: pass a Uint8Array"],
  ["a string", "abc", 'Cannot set the iovec to "abc": pass a Uint8Array or a list of them'],
  ["an ArrayBuffer", new ArrayBuffer(8), "Cannot set the iovec to a ArrayBuffer: pass a Uint8"],
  ["an Int32Array", new Int32Array(8), "Cannot set the iovec to a Int32Array: pass a Uint8Array"],
  ["a DataView", new DataView(new ArrayBuffer(8)), "Cannot set the iovec to a DataView: pass a"],
  ["a list with null", [null], "Cannot set buffer 0 to null: pass a Uint8Array"],
  ["a list with a hole", new Array(1), "Cannot set buffer 0 to undefined: pass a Uint8Array"],
  ["a list of lists", [[1]], "Cannot set buffer 0 to a Array: pass a Uint8Array"],
  ["a list with 1", [new Uint8Array(1), 1], "Cannot set buffer 1 to 1: pass a Uint8Array"],
];

for (const [name, buffers, message] of BUFFER_REFUSALS) {
  testSharedCores(`handle.setIovec() of ${name} is refused, and leaves no buffers`, (fixture) => {
    const handle = fixture.aio.acquire();
    handle.setIovec(fixture.aio.alloc(512));
    const error = assertThrows(() => handle.setIovec(wrong<Uint8Array>(buffers)), Error, message);
    const isEmpty = error.message.includes("empty");
    assert(isEmpty ? error instanceof RangeError : error instanceof TypeError, error.name);
    assertThrows(() => fixture.file.startReadv(handle, 0), AioApiError, "without buffers");
    handle.release();
  });
}

testSharedCores("buffers of more than one system call takes are refused", (fixture) => {
  const handle = fixture.aio.acquire();
  const half = new Uint8Array(new ArrayBuffer(2 ** 30));
  const error = assertThrows(() => handle.setIovec([half, half]), RangeError);
  assertEquals(
    error.message,
    `Cannot transfer ${2 ** 31} bytes in one IO: at most ${TRANSFER_BYTES_MAX} bytes, ` +
      "split the transfer",
  );
  assertThrows(() => fixture.file.startReadv(handle, 0), AioApiError, "without buffers");
  handle.release();
});

testSharedCores(
  "starting without buffers or without a target is refused, naming the call",
  (fixture) => {
    const { aio, file } = fixture;
    const handle = aio.acquire();
    const start = { startReadv: handle.startReadv, startWritev: handle.startWritev };
    for (const [name, call] of Object.entries(start)) {
      const error = assertThrows(() => call.call(handle, file.fd, 0), AioApiError);
      assertEquals(
        error.message,
        `Cannot ${name} handle ${handle.index} without a target: call setTarget() first`,
      );
    }
    assertThrows(() => handle.startFsync(file.fd), AioApiError, "without a target");
    handle.setTarget(aio.targetId("file"));
    const error = assertThrows(() => handle.startReadv(file.fd, 0), AioApiError);
    assertEquals(
      error.message,
      `Cannot startReadv handle ${handle.index} without buffers: call setIovec() first`,
    );
    assertEquals(handle.state, "handedOut");
    handle.release();
  },
);

// --- where ---

const OFFSET_REFUSALS: readonly (readonly [unknown, string, string])[] = [
  [-1, "-1", ""],
  [0.5, "0.5", ""],
  [NaN, "NaN", ""],
  [Infinity, "Infinity", ""],
  [2 ** 53, String(2 ** 53), ""],
  [0n, "0n", "; pass a number"],
  ["0", '"0"', ""],
  [undefined, "undefined", ""],
  [null, "null", ""],
];

for (const [offset, shown, remedy] of OFFSET_REFUSALS) {
  testSharedCores(`starting at offset ${shown} is refused`, (fixture) => {
    const { aio, file } = fixture;
    const handle = aio.acquire();
    handle.setTarget(aio.targetId("file"));
    handle.setIovec(aio.alloc(512));
    for (const call of ["startReadv", "startWritev"] as const) {
      const error = assertThrows(() => handle[call](file.fd, wrong<number>(offset)), Error);
      assertEquals(
        error.message,
        `Cannot ${call} at offset ${shown}: offsets are integers from 0 to ` +
          `${Number.MAX_SAFE_INTEGER}${remedy}`,
      );
      assertEquals(error.name, typeof offset === "number" ? "RangeError" : "TypeError");
    }
    assertEquals(handle.state, "handedOut");
    handle.release();
  });
}

testSharedCores("an IO that ends beyond 2^53 - 1 is refused", (fixture) => {
  const { aio, file } = fixture;
  const handle = aio.acquire();
  handle.setTarget(aio.targetId("file"));
  handle.setIovec(aio.alloc(512));
  const offset = Number.MAX_SAFE_INTEGER - 511;
  const error = assertThrows(() => handle.startReadv(file.fd, offset), RangeError);
  assertEquals(
    error.message,
    `Cannot startReadv 512 bytes at offset ${offset}: the end is beyond ${Number.MAX_SAFE_INTEGER}`,
  );
  handle.release();
});

for (const fd of [-1, 1.5, NaN, 2 ** 31, 3n, "3", undefined]) {
  testSharedCores(`starting on the descriptor ${Deno.inspect(fd)} is refused`, (fixture) => {
    const { aio } = fixture;
    const handle = aio.acquire();
    handle.setTarget(aio.targetId("file"));
    handle.setIovec(aio.alloc(512));
    const shown = typeof fd === "string" ? JSON.stringify(fd) : Deno.inspect(fd);
    const starts: readonly (readonly [string, () => void])[] = [
      ["startReadv", () => handle.startReadv(wrong<number>(fd), 0)],
      ["startWritev", () => handle.startWritev(wrong<number>(fd), 0)],
      ["startFsync", () => handle.startFsync(wrong<number>(fd))],
    ];
    for (const [call, start] of starts) {
      const error = assertThrows(start, Error);
      assertEquals(
        error.message,
        `Cannot ${call} as the file descriptor must be an integer from 0: got ${shown}`,
      );
      assertEquals(error.name, typeof fd === "number" ? "RangeError" : "TypeError");
    }
    handle.release();
  });
}

// --- memory that may go away ---

/** Starts a read of the file's first bytes into plain memory that was changed after it was set. */
function readLocal(fixture: Fixture, view: Uint8Array, change: () => void = () => {}): AioReturn {
  const { aio, file } = fixture;
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  handle.setFlag("referencesLocal");
  handle.setIovec(view);
  change();
  file.startReadv(handle, 0);
  return ret;
}

for (const call of ["startReadv", "startWritev"] as const) {
  testSharedCores(`${call}() with plain memory is refused and names both remedies`, (fixture) => {
    const { aio, file } = fixture;
    for (const buffers of [new Uint8Array(512), [aio.alloc(512), new Uint8Array(1)]]) {
      const handle = aio.acquire();
      handle.setTarget(aio.targetId("file"));
      handle.setIovec(buffers);
      const error = assertThrows(() => handle[call](file.fd, 0), TypeError);
      assertEquals(
        error.message,
        `Cannot ${call} with memory that may go away while the kernel uses it: take it from ` +
          "aio.alloc() or pass its SharedArrayBuffer to aio.adoptMemory(), or set the flag " +
          '"referencesLocal" to have the IO executed at once',
      );
      assertEquals(handle.state, "handedOut");
      handle.release();
    }
  });
}

testSharedCores(
  "with the flag referencesLocal plain memory is filled in the start call",
  (fixture) => {
    const view = new Uint8Array(new ArrayBuffer(1000), 100, 300);
    const ret = readLocal(fixture, view);
    assertEquals([ret.result.status, ret.result.result], ["ok", 300]);
    assertEquals([...view], [...fileContent(0, 300)]);
    assertEquals(fixture.submissions, []);
  },
);

testSharedCores("plain and arena memory may be mixed with referencesLocal", (fixture) => {
  const { aio, file } = fixture;
  const views = [new Uint8Array(3), aio.alloc(4), new Uint8Array(5)];
  const handle = aio.acquire();
  handle.setFlag("referencesLocal");
  handle.setIovec(views);
  views.reverse(); // The list stays the caller's: setIovec() has taken a copy.
  file.startReadv(handle, 11);
  views.reverse();
  assertEquals(views.flatMap((view) => [...view]), [...fileContent(11, 12)]);
});

testEachCoreMethod(
  "a SharedArrayBuffer that was not adopted counts as memory that may go away",
  async (test) => {
    await using fixture = await test.open();
    const { aio } = fixture;
    const memory = new SharedArrayBuffer(4096);
    const handle = aio.acquire();
    handle.setIovec(new Uint8Array(memory, 0, 512));
    assertThrows(() => fixture.file.startReadv(handle, 0), TypeError, "aio.adoptMemory()");
    handle.release();
    aio.adoptMemory(memory);
    const view = new Uint8Array(memory, 512, 512);
    const again = aio.acquire();
    const ref = again.waitRef();
    again.setIovec(view);
    fixture.file.startReadv(again, 0);
    aio.waitSync(ref);
    assertEquals([...view], [...fileContent(0, 512)]);
  },
);

/** A read works: nothing was lost. */
function assertReads(fixture: Fixture): void {
  const { ref, ret } = startRead(fixture);
  fixture.aio.waitSync(ref);
  assertEquals(ret.result.status, "ok");
}

const CHANGES: readonly (readonly [string, () => { view: Uint8Array; change: () => void }])[] = [
  ["detached by transfer()", () => {
    const buffer = new ArrayBuffer(512);
    return { view: new Uint8Array(buffer), change: () => buffer.transfer() };
  }],
  ["detached by structuredClone()", () => {
    const buffer = new ArrayBuffer(512);
    return {
      view: new Uint8Array(buffer),
      change: () => structuredClone(buffer, { transfer: [buffer] }),
    };
  }],
  ["made shorter", () => {
    const buffer = new ArrayBuffer(512, { maxByteLength: 1024 });
    return { view: new Uint8Array(buffer), change: () => buffer.resize(100) };
  }],
  ["made longer", () => {
    const buffer = new ArrayBuffer(512, { maxByteLength: 1024 });
    return { view: new Uint8Array(buffer), change: () => buffer.resize(1024) };
  }],
  ["cut off below its view", () => {
    const buffer = new ArrayBuffer(1024, { maxByteLength: 1024 });
    return { view: new Uint8Array(buffer, 512, 512), change: () => buffer.resize(600) };
  }],
];

for (const [name, make] of CHANGES) {
  testSharedCores(
    `memory that was ${name} after setIovec() is a bad address, not a crash`,
    (fixture) => {
      const { view, change } = make();
      const ret = readLocal(fixture, view, change);
      assertEquals([ret.result.status, ret.result.errorData], ["error", EFAULT]);
      assertReads(fixture);
    },
  );
}

for (
  const [name, view] of [
    [
      "a resizable ArrayBuffer",
      () => new Uint8Array(new ArrayBuffer(512, { maxByteLength: 1024 })),
    ],
    [
      "a growable SharedArrayBuffer",
      () => new Uint8Array(new SharedArrayBuffer(512, { maxByteLength: 1024 })),
    ],
  ] as const
) {
  testSharedCores(
    `memory of ${name} is read into, or is a bad address, and the handle comes back`,
    (fixture) => {
      const buffer = view();
      const ret = readLocal(fixture, buffer);
      if (ret.result.status === "ok") assertEquals([...buffer], [...fileContent(0, 512)]);
      else assertEquals([ret.result.status, ret.result.errorData], ["error", EFAULT]);
      assertReads(fixture);
    },
    { options: { maxConcurrency: 1 } },
  );
}

testSharedCores("one changed buffer of a list is enough for a bad address", (fixture) => {
  const { aio, file } = fixture;
  const gone = new ArrayBuffer(8);
  const whole = new Uint8Array(8);
  const ret = new AioReturn();
  const handle = aio.acquire(null, ret);
  handle.setFlag("referencesLocal");
  handle.setIovec([whole, new Uint8Array(gone)]);
  gone.transfer();
  file.startReadv(handle, 0);
  assertEquals([ret.result.status, ret.result.errorData], ["error", EFAULT]);
  assert(whole.every((byte) => byte === 0), "nothing was read");
});
