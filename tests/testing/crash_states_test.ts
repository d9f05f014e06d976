/**
 * crash_states_test.ts: the states that a power cut leaves are those of a model that was written
 * apart, and each of them comes back by its seed.
 *
 * @module
 */

import type { AioFile } from "../../mod.ts";
import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import {
  type CrashState,
  crashState,
  type CrashStateOptions,
  crashStates,
  type Recording,
  recordIo,
} from "../../testing/mod.ts";
import { type Doing, modelStates, nameState } from "../support/crash_model.ts";
import { HeldMethod } from "../support/held_method.ts";
import { Prng } from "../support/prng.ts";

const SECTOR = 4;
/** What file systems zero as a whole. */
const BLOCK = 4096;
const SMALL = { sectorBytes: SECTOR, exhaustive: true } as const;
const NONE = new Uint8Array();
const OPTIONS = { arenaBytes: 1024 * 1024, method: "sync" } as const;

/** Has a program do to one file what is in a list. */
function recordDoings(program: readonly Doing[]): Promise<Recording<number>> {
  return recordIo<number>(async (aio, directory, recorder) => {
    await using file = await aio.openFile(`${directory}/a`, { write: true, create: true });
    await aio.syncDirectory(directory);
    for (const [i, doing] of program.entries()) {
      if (doing.do === "write") await file.writeAt(doing.bytes, doing.offset);
      else if (doing.do === "truncate") await file.truncate(doing.size);
      else if (doing.do === "flush") await file.syncData();
      else recorder.mark(i);
    }
  }, { aio: OPTIONS });
}

function name(state: CrashState): string {
  return nameState(state.acknowledged.length, state.files.get("a") ?? NONE);
}

function namesOf(recording: Recording, options: CrashStateOptions): Set<string> {
  return new Set(Array.from(crashStates(recording, options), name));
}

/** Some writes, flushes, truncations and marks, and no more states than can be counted. */
function drawProgram(prng: Prng): Doing[] {
  return Array.from({ length: 8 }, (_, i): Doing => {
    const what = prng.below(10);
    if (what < 5) {
      const bytes = new Uint8Array(prng.between(1, 6)).fill(i + 1);
      return { do: "write", offset: prng.below(10), bytes };
    }
    if (what < 6) return { do: "truncate", size: prng.below(12) };
    return { do: what < 9 ? "flush" : "mark" };
  });
}

Deno.test("crashStates() yields what a model by brute force says, and nothing else", async () => {
  const prng = new Prng();
  let states = 0;
  for (let round = 0; round < 25; round++) {
    const program = drawProgram(prng);
    const recording = await recordDoings(program);
    const said = modelStates(program, SECTOR);
    const made = namesOf(recording, SMALL);
    const hint = `seed ${prng.seed}, round ${round}: ${JSON.stringify(program)}`;
    assertEquals([...made].sort(), [...said].sort(), hint);
    states += made.size;
  }
  assertGreater(states, 300);
});

Deno.test("crashStates() draws states that are possible, and in the end each of them", async () => {
  const bytes = (length: number, byte: number) => new Uint8Array(length).fill(byte);
  const recording = await recordDoings([
    { do: "write", offset: 0, bytes: bytes(6, 1) },
    { do: "flush" },
    { do: "write", offset: 2, bytes: bytes(9, 2) },
    { do: "mark" },
    { do: "truncate", size: 5 },
    { do: "write", offset: 5, bytes: bytes(3, 3) },
  ]);
  const all = namesOf(recording, SMALL);
  const drawn = namesOf(recording, { sectorBytes: SECTOR, count: 20_000, seed: 7 });
  // Those from before a flush are also drawn only where nothing has all of them.
  assertEquals([...drawn].filter((state) => !all.has(state)), []);
  assertEquals([...all].filter((state) => !drawn.has(state)), []);
});

Deno.test("crashState() makes a state again by its seed, in any order", async () => {
  const recording = await recordDoings(drawProgram(new Prng(5)));
  for (const options of [{ seed: 3, count: 200 }, { exhaustive: true }]) {
    const states = [...crashStates(recording, { ...options, sectorBytes: SECTOR })];
    for (const state of states.reverse()) {
      const again = crashState(recording, state.seed, { sectorBytes: SECTOR });
      assertEquals([name(again), again.moment], [name(state), state.moment]);
    }
  }
  const one = Array.from(crashStates(recording, { seed: 9, count: 50 }), ({ seed }) => seed);
  assertEquals(Array.from(crashStates(recording, { seed: 9, count: 50 }), ({ seed }) => seed), one);
});

Deno.test("crashStates() refuses impossible numbers, and crashState() what is no seed", async () => {
  const recording = await recordDoings([]);
  const options = [{ count: -1 }, { seed: 0.5 }, { sectorBytes: 0 }];
  for (const wrong of options) {
    assertThrows(() => [...crashStates(recording, wrong)], RangeError, Object.keys(wrong)[0]!);
  }
  for (const seed of ["", "999:1", "x"]) {
    assertThrows(() => crashState(recording, seed), TypeError, "no seed");
  }
});

Deno.test("crashStates(): of writes in flight at once any are there, in the same sector too", async () => {
  const held = new HeldMethod();
  const recording = await recordIo(async (aio, directory) => {
    const opening = aio.openFile(`${directory}/a`, { write: true, create: true });
    await using file = await opening;
    await aio.syncDirectory(directory);
    const writes = [0, 2].map((offset) => file.writeAt(Uint8Array.of(offset + 1), offset));
    await Promise.resolve();
    held.letGo(aio);
    await Promise.all(writes);
  }, { aio: { ...OPTIONS, method: "held" as never }, methods: [held] });
  const states = namesOf(recording, SMALL);
  const expected = [[], [0], [1], [0, 0, 0], [1, 0, 0], [0, 0, 3], [1, 0, 3]];
  assertEquals(
    [...states].sort(),
    expected.map((bytes) => nameState(0, Uint8Array.from(bytes))).sort(),
  );
});

Deno.test("crashStates(): a flush covers no write that was in flight when it began", async () => {
  const held = new HeldMethod();
  const recording = await recordIo(async (aio, directory) => {
    await using file = await aio.openFile(`${directory}/a`, { write: true, create: true });
    await aio.syncDirectory(directory);
    const write = file.writeAt(Uint8Array.of(1), 0);
    await Promise.resolve();
    const flush = file.syncData();
    await Promise.resolve();
    held.letGo(aio);
    await Promise.all([write, flush]);
  }, { aio: { ...OPTIONS, method: "held" as never }, methods: [held] });
  const last = recording.steps.length;
  const atEnd = Array.from(crashStates(recording, SMALL))
    .filter(({ seed }) => seed.startsWith(`${last}=`)).map(name);
  assertEquals(new Set(atEnd), new Set(["0: ", "0: 0", "0: 1"]));
});

Deno.test("crashStates(): what a failed flush has lost no later one brings back", async () => {
  const held = new HeldMethod();
  const recording = await recordIo(async (aio, directory) => {
    await using file = await aio.openFile(`${directory}/a`, { write: true, create: true });
    await aio.syncDirectory(directory);
    const complete = async (work: Promise<unknown>, result: number | null) => {
      await Promise.resolve();
      const [io] = held.held(aio);
      if (result === null) held.perform(aio, io!);
      else held.complete(aio, io!, result);
      await work.catch(() => {});
    };
    await complete(file.writeAt(Uint8Array.of(1), 0), null);
    await complete(file.sync(), -5);
    await complete(file.writeAt(Uint8Array.of(2), SECTOR), null);
    await complete(file.sync(), null);
    held.letGo(aio);
    await file[Symbol.asyncDispose]();
  }, { aio: { ...OPTIONS, method: "held" as never }, methods: [held] });
  const last = `${recording.steps.length}=`;
  const atEnd = Array.from(crashStates(recording, SMALL)).filter(({ seed }) =>
    seed.startsWith(last)
  );
  assertEquals(new Set(atEnd.map(name)), new Set(["0: 0,0,0,0,2", "0: 1,0,0,0,2"]));
});

Deno.test("crashStates(): names come with the flush of their directory, and move as one", async () => {
  const recording = await recordIo(async (aio, directory) => {
    for (const name of ["a", "b"]) {
      await using file = await aio.openFile(`${directory}/${name}`, { write: true, create: true });
      await file.writeAt(new TextEncoder().encode(name), 0);
      await file.sync();
    }
    await aio.syncDirectory(directory);
    await Deno.rename(`${directory}/b`, `${directory}/c`);
    await Deno.remove(`${directory}/a`);
    await Deno.mkdir(`${directory}/d`);
    await using _file = await aio.openFile(`${directory}/d/e`, { write: true, create: true });
  }, { aio: OPTIONS });
  const list = ({ files, directories }: CrashState) =>
    [...files.keys(), ...directories].sort().join();
  const states = new Set(Array.from(crashStates(recording, SMALL), list));
  const before = ["", "a", "b", "a,b"];
  const after = ["a,b", "a,c", "b", "c"].flatMap((
    names,
  ) => [names, `${names},d`, `${names},d,d/e`]);
  assertEquals([...states].sort(), [...new Set([...before, ...after])].sort());
});

Deno.test("recordIo() goes on from a state, and the power is cut twice in a row", async () => {
  const first = await recordDoings([
    { do: "write", offset: 0, bytes: Uint8Array.of(1) },
    { do: "flush" },
    { do: "mark" },
    { do: "write", offset: 1, bytes: Uint8Array.of(2, 2, 2, 2, 2) },
  ]);
  const states = [...crashStates(first, SMALL)].filter(({ acknowledged }) =>
    acknowledged.length > 0
  );
  const seen = new Set<string>();
  for (const state of states) {
    const second = await recordIo<number>(async (aio, directory, recorder) => {
      await using file = await aio.openFile(`${directory}/a`, { read: true, write: true });
      assertEquals(await file.readAll(), state.files.get("a"));
      await file.truncate(1);
      await file.sync();
      recorder.mark(-1);
    }, { aio: OPTIONS, from: state });
    assertEquals(second.marks, [2, -1]);
    for (const again of crashStates(second, SMALL)) {
      const { length } = again.acknowledged;
      assert(length === 1 || length === 2);
      if (length === 2) assertEquals(name(again), "2: 1");
      seen.add(name(again));
    }
  }
  assertEquals(seen, new Set([...states.map(name), "1: 1", "2: 1"]));
});

/** What a file may hold at the end of a program: each byte, or one of each large sector. */
async function endsOf(
  program: (file: AioFile) => Promise<unknown>,
  sectorBytes = SECTOR,
): Promise<Set<string>> {
  const recording = await recordIo(async (aio, directory) => {
    await using file = await aio.openFile(`${directory}/a`, { write: true, create: true });
    await aio.syncDirectory(directory);
    await program(file);
  }, { aio: OPTIONS });
  const end = `${recording.steps.length}=`;
  const all = [...crashStates(recording, { ...SMALL, sectorBytes })];
  const states = all.filter(({ seed }) => seed.startsWith(end));
  const unit = sectorBytes === SECTOR ? 1 : sectorBytes;
  return new Set(
    states.map(({ files }) => files.get("a")!.filter((_, i) => i % unit === 0).join()),
  );
}

Deno.test("crashStates(): a durable write keeps its sector and its size, and no other sector", async () => {
  const states = await endsOf(async (file) => {
    await file.writeAt(Uint8Array.of(1, 1), 0);
    await file.writeAt(Uint8Array.of(2), 4);
    await file.writeAt(Uint8Array.of(3), 6, { durable: true });
  });
  assertEquals(states, new Set(["0,0,0,0,2,0,3", "1,1,0,0,2,0,3"]));
});

Deno.test("crashStates(): a durable write makes no size durable that it does not need", async () => {
  const states = (change: (file: AioFile) => Promise<unknown>) =>
    endsOf(async (file) => {
      await file.writeAt(new Uint8Array(8).fill(1), 0);
      await file.sync();
      await change(file);
      await file.writeAt(Uint8Array.of(3), 0, { durable: true });
    });
  const full = "3,1,1,1,1,1,1,1";
  assertEquals(
    await states((file) => file.writeAt(Uint8Array.of(2), 8)),
    new Set([full, `${full},0`, `${full},2`]),
  );
  assertEquals(
    await states((file) => file.truncate(4)),
    new Set([full, "3,1,1,1", "3,1,1,1,0,0,0,0"]),
  );
  assertEquals(await states((file) => file.allocate(8, 1)), new Set([full, `${full},0`]));
  const holed = (offset: number) =>
    endsOf(async (file) => {
      await file.writeAt(new Uint8Array(4 * BLOCK).fill(1), 0);
      await file.sync();
      await file.punchHole(BLOCK, 2 * BLOCK);
      await file.writeAt(Uint8Array.of(1), offset, { durable: true });
    }, BLOCK);
  assertEquals(await holed(0), new Set(["1,1,1,1", "1,0,0,1"]));
  assertEquals(await holed(2 * BLOCK), new Set(["1,0,1,1"]));
});

Deno.test("crashStates(): zeros and an allocation are there as a whole, or not at all", async () => {
  const states = await endsOf(async (file) => {
    await file.writeAt(new Uint8Array(4 * BLOCK).fill(1), 0);
    await file.sync();
    await file.punchHole(BLOCK, 2 * BLOCK);
    await file.allocate(4 * BLOCK, BLOCK);
  }, BLOCK);
  assertEquals(states, new Set(["1,1,1,1", "1,0,0,1", "1,0,0,1,0"]));
});

Deno.test("crashStates(): zeros in a part of a block are there by sectors, as of a write", async () => {
  const states = await endsOf(async (file) => {
    await file.writeAt(new Uint8Array(8).fill(1), 0);
    await file.sync();
    await file.punchHole(2, 4);
  });
  const [full, holed] = ["1,1,1,1,1,1,1,1", "1,1,0,0,0,0,1,1"];
  assertEquals(states, new Set([full, holed, "1,1,0,0,1,1,1,1", "1,1,1,1,0,0,1,1"]));
});

Deno.test("crashStates(): a file that is cut has its length, and zeros to the block's end before", async () => {
  const states = await endsOf(async (file) => {
    await file.writeAt(new Uint8Array(8).fill(1), 0);
    await file.sync();
    await file.truncate(3);
  });
  const [full, zeroed] = ["1,1,1,1,1,1,1,1", "1,1,1,0,0,0,0,0"];
  assertEquals(states, new Set([full, "1,1,1", zeroed, "1,1,1,0,1,1,1,1", "1,1,1,1,0,0,0,0"]));
  const whole = await endsOf(async (file) => {
    await file.writeAt(new Uint8Array(4 * BLOCK).fill(1), 0);
    await file.sync();
    await file.truncate(2 * BLOCK);
  }, BLOCK);
  assertEquals(whole, new Set(["1,1,1,1", "1,1"]));
});

Deno.test("crashStates(): a flush makes zeros durable in all sectors, and a truncation", async () => {
  const states = await endsOf(async (file) => {
    await file.writeAt(new Uint8Array(8).fill(1), 0);
    await file.punchHole(2, 4);
    await file.truncate(7);
    await file.syncData();
  });
  assertEquals(states, new Set(["1,1,0,0,0,0,1"]));
});
