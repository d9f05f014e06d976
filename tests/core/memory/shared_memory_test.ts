/** shared_memory_test.ts: the layout that all threads share, pinned, and its division. */

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { AioInvariantError } from "../../../core/base/assert.ts";
import { type AioOptions, effectiveOptions } from "../../../core/base/options.ts";
import {
  BACKEND,
  Control,
  createControl,
  createSharedMemory,
  FILE,
  FILE_PATH_BYTES,
  HANDLE,
  handleBytes,
  HEADER,
  LAYOUT_VERSION,
  REST_TEXT_BYTES,
} from "../../../core/memory/shared_memory.ts";

const CACHE_LINE_WORDS = 16;
const IOVEC_WORDS = 4;

/** Words of the fields that have more than one. */
const WIDTHS: Readonly<Record<string, number>> = {
  callbackIds: 4,
  callbackData: 4,
  targetData: 6,
  restIovec: 4,
  restText: REST_TEXT_BYTES / 4,
  appending: 6,
  appendingLong: 6,
  endEven: 2,
  endOdd: 2,
  longEven: 2,
  longOdd: 2,
  notedEven: 2,
  notedOdd: 2,
  path: FILE_PATH_BYTES / 4,
};

const RECORDS = { HEADER, BACKEND, HANDLE, FILE };

for (const [name, record] of Object.entries(RECORDS)) {
  Deno.test(`layout: the fields of ${name} do not overlap and end within its size`, () => {
    const { size, ...fields } = record;
    const taken = new Map<number, string>();
    for (const [field, at] of Object.entries(fields)) {
      assert(Number.isInteger(at) && at >= 0, field);
      for (let word = at; word < at + (WIDTHS[field] ?? 1); word++) {
        assertEquals(taken.get(word), undefined, `${field} and ${taken.get(word)}`);
        taken.set(word, field);
        assert(word < size, `${field} ends beyond ${size}`);
      }
    }
  });
}

Deno.test("layout: state is a word of its own, the first of a handle", () => {
  assertEquals(HANDLE.state, 0);
});

Deno.test("layout: a handle's offset and argument are 8-byte aligned, so is each handle", () => {
  assertEquals([HANDLE.offsetLow % 2, HANDLE.argumentLow % 2, HANDLE.size % 2], [0, 0, 0]);
  assertEquals(HANDLE.offsetHigh, HANDLE.offsetLow + 1);
  assertEquals(HANDLE.argumentHigh, HANDLE.argumentLow + 1);
  const control = makeControl({ maxBackends: 3, maxConcurrency: 7 });
  for (let index = 0; index < control.handleCount; index++) {
    assertEquals((control.handleAt(index) + HANDLE.offsetLow) % 2, 0);
    assertEquals(control.handleDataAt(index) % 2, 0);
    assertEquals(control.iovecAt(index) % 2, 0, "struct iovec has 8-byte fields");
  }
});

Deno.test("layout: a handle with 16 iovecs takes at most 600 bytes", () => {
  assert(handleBytes(16) <= 600, String(handleBytes(16)));
  assertEquals(handleBytes(128) - handleBytes(0), 128 * 24);
});

Deno.test("layout: words that different threads write are in lines of their own", () => {
  const line = (at: number) => Math.floor(at / CACHE_LINE_WORDS);
  assertNotEquals(line(HEADER.filesLock), line(HEADER.arenaLock));
  assertNotEquals(line(HEADER.filesLock), line(HEADER.phase));
  assertNotEquals(line(BACKEND.completionLock), line(BACKEND.counters));
  for (const record of [BACKEND, FILE]) assertEquals(record.size % CACHE_LINE_WORDS, 0);
});

Deno.test("layout: the path of a file ends with its record", () => {
  assertEquals(FILE_PATH_BYTES, 200);
  assert(FILE.path + FILE_PATH_BYTES / 4 <= FILE.size);
});

/** The layout of this version. Whoever changes a number changes LAYOUT_VERSION with it. */
const PINNED = {
  HEADER: {
    magic: 0,
    version: 1,
    phase: 2,
    maxBackends: 3,
    handlesPerBackend: 4,
    iovecsPerHandle: 5,
    maxFiles: 6,
    arenaPages: 7,
    namesHash: 8,
    openerBackend: 9,
    methodOffset: 10,
    methodSize: 11,
    identityLow: 12,
    identityHigh: 13,
    helpers: 14,
    closings: 15,
    filesLock: 16,
    filesNext: 17,
    hasAppends: 18,
    arenaLock: 32,
    arenaHint: 33,
    bounceWanted: 34,
    size: 48,
  },
  BACKEND: {
    threadId: 0,
    parked: 1,
    doorbell: 2,
    foreignCompletions: 3,
    completionLock: 4,
    waitEvent: 5,
    pollfds: 6,
    bellsOwed: 10,
    closingFd: 11,
    rungAt: 12,
    counters: 16,
    copyingFd: 78,
    restReader: 79,
    restIovec: 80,
    restText: 84,
    appending: 96,
    appendingLong: 102,
    size: 112,
  },
  HANDLE: {
    state: 0,
    generationLow: 1,
    generationHigh: 2,
    waiterMask: 3,
    rawResult: 4,
    resultCallback: 5,
    resultStatus: 6,
    resultErrorData: 7,
    result: 8,
    operation: 9,
    flags: 10,
    target: 11,
    fd: 12,
    iovecLength: 13,
    offsetLow: 14,
    offsetHigh: 15,
    length: 16,
    handleDataLength: 17,
    callbackCount: 18,
    claim: 19,
    targetData: 20,
    callbackIds: 26,
    callbackData: 30,
    method: 34,
    argumentLow: 36,
    argumentHigh: 37,
    argumentFlags: 38,
    size: 48,
  },
  FILE: {
    fd: 0,
    deviceMajor: 1,
    deviceMinor: 2,
    inodeLow: 3,
    inodeHigh: 4,
    flags: 5,
    references: 6,
    closing: 7,
    generation: 8,
    memoryAlignment: 9,
    offsetAlignment: 10,
    pathLength: 11,
    path: 12,
    rings: 62,
    ends: 63,
    flushErrorLow: 64,
    flushErrorHigh: 65,
    endRecord: 66,
    endLock: 67,
    endVersion: 68,
    endEven: 69,
    endOdd: 71,
    isEndKnown: 73,
    flushesBegun: 74,
    flushesEnded: 75,
    flusher: 76,
    flusherChange: 77,
    flusherWaiters: 78,
    endAsked: 79,
    longLock: 80,
    longWriters: 81,
    longVersion: 82,
    longEven: 83,
    longOdd: 85,
    notedVersion: 87,
    notedEven: 88,
    notedOdd: 90,
    endLowered: 92,
    size: 96,
  },
};

Deno.test("layout: every offset and size is the one of layout version 16", () => {
  assertEquals(LAYOUT_VERSION, 16);
  assertEquals<unknown>(RECORDS, PINNED);
});

// --- division ---

function makeControl(given: AioOptions = {}, methodBytes = 0): Control {
  return createControl(effectiveOptions({ arenaBytes: 65_536, ...given }), methodBytes);
}

const DIVISIONS: readonly AioOptions[] = [
  {},
  { maxConcurrency: 1, maxBackends: 1, ioMaxCombineLimit: 1, maxFiles: 1, arenaBytes: 4096 },
  { maxConcurrency: 3, maxBackends: 5, ioMaxCombineLimit: 7, maxFiles: 11 },
  { maxConcurrency: 1024, maxBackends: 32, ioMaxCombineLimit: 16 },
  { maxConcurrency: 2, maxBackends: 2, ioMaxCombineLimit: 128, maxFiles: 65_536 },
];

for (const given of DIVISIONS) {
  const options = effectiveOptions({ arenaBytes: 65_536, ...given });
  Deno.test(`division: regions are aligned, in order and disjoint for ${JSON.stringify(given)}`, () => {
    const methodBytes = 1000;
    const control = createControl(options, methodBytes);
    const { words } = control;
    const handles = options.maxBackends * options.maxConcurrency;
    const regions: readonly (readonly [number, number])[] = [
      [0, HEADER.size],
      [control.backends, options.maxBackends * BACKEND.size],
      [control.handles, handles * HANDLE.size],
      [control.iovecs, handles * options.ioMaxCombineLimit * IOVEC_WORDS],
      [control.handleData, handles * options.ioMaxCombineLimit * 2],
      [control.files, options.maxFiles * FILE.size],
      [control.arenaPages, options.arenaBytes / 4096],
      [words[HEADER.methodOffset]!, words[HEADER.methodSize]!],
    ];
    let end = 0;
    for (const [start, size] of regions) {
      assertEquals(start % CACHE_LINE_WORDS, 0);
      assert(start >= end, `a region begins at ${start}, before ${end}`);
      end = start + size;
    }
    assert(end <= words.length);
    assertEquals(words[HEADER.methodSize], methodBytes / 4);
  });

  Deno.test(`division: handles are the backends' in order for ${JSON.stringify(given)}`, () => {
    const control = createControl(options, 0);
    assertEquals(control.handlesPerBackend, options.maxConcurrency);
    assertEquals(control.handleCount, options.maxBackends * options.maxConcurrency);
    const last = control.handleCount - 1;
    assertEquals(control.handleAt(last) - control.handleAt(0), last * HANDLE.size);
    assertEquals(control.iovecAt(1) - control.iovecAt(0), options.ioMaxCombineLimit * IOVEC_WORDS);
    assertEquals(control.handleDataAt(1) - control.handleDataAt(0), options.ioMaxCombineLimit * 2);
    assertEquals(control.backendAt(1) - control.backendAt(0), BACKEND.size);
  });
}

Deno.test("createControl() makes every handle idle, of generation 1, and all else empty", () => {
  const control = makeControl({ maxBackends: 2, maxConcurrency: 4 });
  for (let index = 0; index < 8; index++) {
    const at = control.handleAt(index);
    const record = [...control.words.subarray(at, at + HANDLE.size)];
    assertEquals(record.indexOf(1), HANDLE.generationLow);
    assertEquals(record.filter((word) => word !== 0), [1]);
  }
  const others = [control.backends, control.files, control.arenaPages];
  assertEquals(others.map((at) => control.words[at]), [0, 0, 0]);
});

Deno.test("createControl() writes a header that another thread can read it by", () => {
  const control = makeControl({ maxBackends: 2, maxConcurrency: 4, maxFiles: 8 });
  const { words } = control;
  assertEquals(
    [HEADER.version, HEADER.maxBackends, HEADER.handlesPerBackend, HEADER.maxFiles]
      .map((field) => words[field]),
    [LAYOUT_VERSION, 2, 4, 8],
  );
  assertEquals(words[HEADER.arenaPages], 16);
  const again = new Control(structuredClone(control.buffer));
  assertEquals({ ...again }, { ...control });
});

Deno.test("createControl() gives each memory an identity of its own", () => {
  const identity = ({ words }: Control) =>
    `${words[HEADER.identityLow]} ${words[HEADER.identityHigh]}`;
  assertNotEquals(identity(makeControl()), identity(makeControl()));
});

Deno.test("Control of memory that is none is refused", () => {
  assertThrows(
    () => new Control(new SharedArrayBuffer(65_536)),
    AioInvariantError,
    "Control memory without its mark",
  );
});

Deno.test("createSharedMemory() is zeroed, shared, of whole 64 KiB pages", () => {
  for (const [bytes, length] of [[1, 65_536], [65_536, 65_536], [65_537, 131_072]] as const) {
    const memory = createSharedMemory(bytes, "a test");
    assert(memory instanceof SharedArrayBuffer);
    assertEquals([memory.byteLength, memory.growable], [length, false]);
    assert(new Uint8Array(memory).every((byte) => byte === 0));
  }
});
