/**
 * io_rows_test.ts: the view of all IOs: what a row shows in each state. A handle that moves on
 * after it was copied: io_rows_changing_test.ts; at all other moments: ios_race_test.ts.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertObjectMatch } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { FLAG_BITS } from "../../../core/io/handle_flag.ts";
import {
  COMPLETED_IO,
  COMPLETED_SHARED,
  HANDED_OUT,
  IDLE,
  SUBMITTED,
} from "../../../core/memory/handle_state.ts";
import { type IoRow, listIos } from "../../../core/views/io_rows.ts";
import { BACKEND, HANDLE } from "../../../core/memory/shared_memory.ts";
import { type Fixture, openHeld, pokeState, startRead } from "../../support/core.ts";
import { hooks, reset } from "../fixtures/layers.ts";
import { ios, onlyIo, STATES } from "../../support/listed_ios.ts";

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);

const RESULTS = ["UNKNOWN", "OK", "PARTIAL", "WARNING", "ERROR"] as const;
/** All fields but the first four, of a handle that is still being prepared. */
const NOTHING_YET = {
  operation: null,
  off: null,
  length: null,
  target: null,
  handleDataLen: null,
  rawResult: null,
  result: null,
  targetDesc: null,
  fSync: null,
  fLocalmem: null,
  fBuffered: null,
};

/** Sets words of a handle, without regard to the table of transitions. */
function poke(
  fixture: Fixture,
  index: number,
  words: Partial<Record<keyof typeof HANDLE, number>>,
): void {
  const { control } = backendOf(fixture.aio);
  for (const [name, value] of Object.entries(words)) {
    control.words[control.handleAt(index) + HANDLE[name as keyof typeof HANDLE]] = value;
  }
}

/** Takes back what {@linkcode pokeState} did. */
function unpoke(fixture: Fixture, index: number): void {
  pokeState(fixture, index, SUBMITTED);
}

// --- rows ---

Deno.test("ios() is empty while no handle is in use", async () => {
  await using fixture = await openHeld();
  assertEquals(ios(fixture), []);
  const { ref } = startRead(fixture);
  assertEquals(ios(fixture).length, 1);
  fixture.held.perform(fixture.aio, ref);
  assertEquals(ios(fixture), []);
});

Deno.test("ios() shows a submitted read in full", async () => {
  await using fixture = await openHeld();
  const { ref } = startRead(fixture, 4096);
  const row = onlyIo(fixture);
  assert(row.targetDesc !== null);
  assertEquals(row, {
    backendId: 0,
    ioId: ref.index,
    ioGeneration: ref.generation,
    state: "SUBMITTED",
    operation: "readv",
    off: 4096,
    length: 512,
    target: "file",
    handleDataLen: 0,
    rawResult: null,
    result: "UNKNOWN",
    targetDesc: row.targetDesc,
    fSync: false,
    fLocalmem: false,
    fBuffered: true, // The file was not opened with O_DIRECT.
  });
  assertMatch(row.targetDesc, /^bytes 4096\.\.4607 in file ".*data"$/);
});

Deno.test("ios() shows only identity and state of a handle that is handed out", async () => {
  await using fixture = await openHeld({ callbackModules: [LAYERS] });
  const { aio } = fixture;
  const handle = aio.acquire();
  const { index, generation } = handle.waitRef();
  const expected = {
    backendId: 0,
    ioId: index,
    ioGeneration: generation,
    state: "HANDED_OUT",
    ...NOTHING_YET,
  };
  assertEquals<unknown>(onlyIo(fixture), expected);
  handle.setFlag("buffered");
  handle.setTarget(aio.targetId("page"), [3, 7]);
  handle.setHandleData([1, 2]);
  handle.setIovec(aio.alloc(512));
  assertEquals<unknown>(onlyIo(fixture), expected);
  handle.release();
  assertEquals(ios(fixture), []);
});

for (const [i, state] of STATES.entries()) {
  Deno.test(`ios() shows state ${state}`, async () => {
    await using fixture = await openHeld();
    const { ref } = startRead(fixture);
    pokeState(fixture, ref.index, i + 1);
    const row = onlyIo(fixture);
    unpoke(fixture, ref.index);
    assertEquals([row.state, row.ioGeneration], [state, ref.generation]);
    assertEquals(row.operation, state === "HANDED_OUT" ? null : "readv");
  });
}

Deno.test("ios() shows staged IOs of a batch", async () => {
  await using fixture = await openHeld();
  fixture.aio.enterBatchmode();
  startRead(fixture, 0);
  startRead(fixture, 512);
  assertEquals(
    ios(fixture).map(({ state, off }) => [state, off]),
    [["STAGED", 0], ["STAGED", 512]],
  );
  fixture.aio.exitBatchmode();
  assertEquals(ios(fixture).map(({ state }) => state), ["SUBMITTED", "SUBMITTED"]);
});

Deno.test("ios() shows the bytes of all buffers together, and a write", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  const handle = aio.acquire();
  handle.setIovec([aio.alloc(512), aio.alloc(4096), aio.alloc(100)]);
  file.startWritev(handle, 1024);
  const { operation, off, length } = onlyIo(fixture);
  assertEquals([operation, off, length], ["writev", 1024, 4708]);
});

for (const dataOnly of [false, true]) {
  Deno.test(`ios() shows neither offset nor length of a flush, dataOnly ${dataOnly}`, async () => {
    await using fixture = await openHeld({ maxConcurrency: 1 });
    const read = startRead(fixture, 4096);
    fixture.held.perform(fixture.aio, read.ref);
    fixture.file.startFsync(fixture.aio.acquire(), { dataOnly });
    const { operation, off, length } = onlyIo(fixture);
    assertEquals([operation, off, length], [dataOnly ? "fdatasync" : "fsync", null, null]);
  });
}

Deno.test("ios() shows an operation and a target that were never set as invalid", async () => {
  await using fixture = await openHeld();
  const { ref } = startRead(fixture, 4096);
  const { control } = backendOf(fixture.aio);
  const target = control.words[control.handleAt(ref.index) + HANDLE.target]!;
  poke(fixture, ref.index, { operation: 0, target: 0 });
  const row = onlyIo(fixture);
  poke(fixture, ref.index, { operation: 1, target });
  assertEquals([row.operation, row.off, row.length], ["invalid", null, null]);
  assertEquals([row.target, row.targetDesc], ["invalid", "invalid"]);
});

Deno.test("ios() shows offsets and generations beyond 32 bits", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  poke(fixture, 0, { generationLow: -1, generationHigh: 6 });
  const { ref } = startRead(fixture, 2 ** 40 + 512);
  const row = onlyIo(fixture);
  assertEquals([row.ioGeneration, row.off], [7 * 2 ** 32 - 1, 2 ** 40 + 512]);
  assertEquals(row.ioGeneration, ref.generation);
  fixture.held.complete(fixture.aio, ref, 0);
  startRead(fixture);
  assertEquals(onlyIo(fixture).ioGeneration, 7 * 2 ** 32);
});

for (let flags = 0; flags < 8; flags++) {
  Deno.test(`ios() shows flags ${flags}`, async () => {
    await using fixture = await openHeld();
    const { ref } = startRead(fixture);
    poke(fixture, ref.index, { flags });
    const { fSync, fLocalmem, fBuffered } = onlyIo(fixture);
    poke(fixture, ref.index, { flags: 0 });
    assertEquals(
      [fSync, fLocalmem, fBuffered],
      [FLAG_BITS.synchronous, FLAG_BITS.referencesLocal, FLAG_BITS.buffered]
        .map((bit) => (flags & bit) !== 0),
    );
  });
}

for (const [i, flag] of (["synchronous", "referencesLocal", "buffered"] as const).entries()) {
  Deno.test(`ios() shows the flag "${flag}" that was set`, async () => {
    reset();
    await using fixture = await openHeld({ callbackModules: [LAYERS] });
    const { aio, file } = fixture;
    const handle = aio.acquire();
    handle.registerCallbacks(aio.callbackId("free"));
    handle.setTarget(aio.targetId("page"));
    handle.setFlag(flag);
    handle.setIovec(aio.alloc(512));
    let row: IoRow | null = null;
    hooks.stage = () => row = onlyIo(fixture);
    handle.startReadv(file.fd, 0);
    reset();
    assertObjectMatch(row ?? {}, { fSync: i === 0, fLocalmem: i === 1, fBuffered: i === 2 });
  });
}

Deno.test("ios() shows how many numbers were left for the callbacks", async () => {
  await using fixture = await openHeld();
  const { aio, file } = fixture;
  const handle = aio.acquire();
  handle.setHandleData([5, 6, 7]);
  handle.setIovec(aio.alloc(512));
  file.startReadv(handle, 0);
  assertEquals(onlyIo(fixture).handleDataLen, 3);
});

for (const rawResult of [512, 0, -5]) {
  Deno.test(`ios() shows raw result ${rawResult} from COMPLETED_IO on`, async () => {
    await using fixture = await openHeld();
    const { ref } = startRead(fixture);
    poke(fixture, ref.index, { rawResult });
    for (const [i, state] of STATES.entries()) {
      pokeState(fixture, ref.index, i + 1);
      const expected = i + 1 >= COMPLETED_IO ? rawResult : null;
      assertEquals(onlyIo(fixture).rawResult, expected, state);
    }
    unpoke(fixture, ref.index);
  });
}

for (const [status, result] of RESULTS.entries()) {
  Deno.test(`ios() shows result ${result} from COMPLETED_SHARED on`, async () => {
    await using fixture = await openHeld();
    const { ref } = startRead(fixture);
    poke(fixture, ref.index, { resultStatus: status });
    for (const [i, state] of STATES.entries()) {
      pokeState(fixture, ref.index, i + 1);
      const known = i + 1 >= COMPLETED_SHARED ? result : "UNKNOWN";
      assertEquals(onlyIo(fixture).result, i + 1 === HANDED_OUT ? null : known, state);
    }
    unpoke(fixture, ref.index);
  });
}

Deno.test("ios() shows nothing of the handle's last use", async () => {
  await using fixture = await openHeld({ maxConcurrency: 1 });
  const { ref } = startRead(fixture, 4096);
  fixture.held.complete(fixture.aio, ref, -5);
  startRead(fixture, 512);
  const { rawResult, result, off, ioGeneration } = onlyIo(fixture);
  assertEquals([rawResult, result, off, ioGeneration], [null, "UNKNOWN", 512, ref.generation + 1]);
});

// --- backends ---

Deno.test("ios() lists all backends' handles in order, null for one without a thread", async () => {
  await using fixture = await openHeld({ maxBackends: 3, maxConcurrency: 4 });
  const { control, targets } = backendOf(fixture.aio);
  const { ref } = startRead(fixture);
  const others = [5, 7, 8, 11];
  for (const index of others) poke(fixture, index, { state: SUBMITTED, operation: 1 });
  control.words[control.backendAt(2) + BACKEND.threadId] = 4711;
  const identify = (rows: IoRow[]) => rows.map(({ ioId, backendId }) => [ioId, backendId]);
  assertEquals(identify(ios(fixture)), [[ref.index, 0], [5, null], [7, null], [8, 2], [11, 2]]);
  assertEquals(
    identify(listIos(control, targets, (id) => id === 1)),
    [[ref.index, null], [5, 1], [7, 1], [8, null], [11, null]],
  );
  control.words[control.backendAt(2) + BACKEND.threadId] = 0;
  for (const index of others) poke(fixture, index, { state: IDLE, operation: 0 });
});

Deno.test("ios() writes nothing", async () => {
  await using fixture = await openHeld();
  for (let i = 0; i < 3; i++) startRead(fixture, i * 512);
  const { words } = backendOf(fixture.aio).control;
  const before = Int32Array.from(words);
  assertEquals(ios(fixture).length, 3);
  assertEquals(Int32Array.from(words), before);
});
