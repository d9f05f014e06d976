/**
 * ios_race_test.ts: no row of the view of all IOs shows what never was, whatever other threads
 * write while it is read. Each check has canaries: the view without a part of its protocol must
 * fail it.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertNotEquals } from "@std/assert";
import { FLAG_BITS } from "../../../core/io/handle_flag.ts";
import { COMPLETED_IO, COMPLETED_SHARED } from "../../../core/memory/handle_state.ts";
import { type IoRow, type IoRowState, listIos } from "../../../core/views/io_rows.ts";
import { OPERATION_NAMES } from "../../../core/io/operation_table.ts";
import { effectiveOptions } from "../../../core/base/options.ts";
import { type Control, createControl, HANDLE } from "../../../core/memory/shared_memory.ts";
import { TargetTable } from "../../../core/io/target.ts";
import { type Prng, withPrng } from "../../support/prng.ts";
import { useHandle, valuesOf } from "../fixtures/handle_uses.ts";

const STATES: readonly IoRowState[] = [
  "HANDED_OUT",
  "DEFINED",
  "STAGED",
  "SUBMITTED",
  "COMPLETED_IO",
  "COMPLETED_SHARED",
  "COMPLETED_LOCAL",
];
const RESULTS = ["UNKNOWN", "OK", "PARTIAL", "WARNING", "ERROR"] as const;

const USE_TARGETS = new TargetTable();
USE_TARGETS.add("use", { describeIdentity: (data) => data.join() });

function makeControl(maxBackends = 1, maxConcurrency = 1): Control {
  return createControl(
    effectiveOptions({ arenaBytes: 4096, maxBackends, maxConcurrency, maxFiles: 1 }),
    0,
  );
}

// --- writes before any one of the reads ---

type ListIos = typeof listIos;
type Write = readonly [at: number, value: number];

/** Where the recorded uses begin: the generation's high word moves among them. */
const FIRST_GENERATION = 2 ** 32 - 4;
const USES = 8;

/** What {@linkcode useHandle} writes to a handle, word by word. */
function recordUses(uses: number): Write[] {
  const writes: Write[] = [];
  const words = new Proxy(new Int32Array(HANDLE.size), {
    set(target, key, value) {
      writes.push([Number(key), value]);
      return Reflect.set(target, key, value);
    },
  });
  words[HANDLE.generationLow] = FIRST_GENERATION | 0;
  const { load, store } = Atomics;
  const plainLoad = (from: Int32Array, at: number) => from[at]!;
  const plainStore = (to: Int32Array, at: number, value: number) => to[at] = value;
  // The real ones refuse a Proxy.
  Atomics.load = plainLoad as typeof load;
  Atomics.store = plainStore as typeof store;
  try {
    for (let i = 0; i < uses; i++) useHandle(words, 0);
  } finally {
    Atomics.load = load;
    Atomics.store = store;
  }
  return writes;
}

/** The handle of a control, with other threads' writes to it at hand. */
class Replay {
  readonly control = makeControl();
  readonly writes = recordUses(USES);
  /** Writes of a whole use. */
  readonly useLength = recordUses(1).length;
  /** What a listing shows when nobody writes, after so many writes. */
  readonly still: string[] = [];
  readonly #base = this.control.handleAt(0);
  #done = 0;

  constructor() {
    this.restart(0);
    for (let done = 0; done <= this.writes.length; done++) {
      this.still.push(JSON.stringify(listIos(this.control, USE_TARGETS)));
      this.advance(1);
    }
  }

  restart(done: number): void {
    this.control.words.fill(0, this.#base, this.#base + HANDLE.size);
    this.#done = 0;
    this.advance(done);
  }

  advance(count: number): void {
    const end = Math.min(this.writes.length, this.#done + count);
    for (; this.#done < end; this.#done++) {
      const [at, value] = this.writes[this.#done]!;
      this.control.words[this.#base + at] = value;
    }
  }

  /**
   * Lists from a moment on, with so many writes before the loads of those numbers.
   *
   * @returns a fault
   */
  list(list: ListIos, start: number, pauses: ReadonlyMap<number, number>): string | null {
    this.restart(start);
    const { load } = Atomics;
    let loads = 0;
    Atomics.load = ((words: Int32Array, at: number) => {
      this.advance(pauses.get(loads++) ?? 0);
      return words[at];
    }) as typeof Atomics.load;
    try {
      return this.#judge(JSON.stringify(list(this.control, USE_TARGETS)), start);
    } finally {
      Atomics.load = load;
    }
  }

  /**
   * Right is what could be seen at one moment of the listing; nothing, if the handle was recycled.
   */
  #judge(shown: string, start: number): string | null {
    const moments = this.still.slice(start, this.#done + 1);
    if (moments.includes(shown)) return null;
    const isRecycled = this.writes.slice(start, this.#done)
      .some(([at]) => at === HANDLE.generationLow || at === HANDLE.generationHigh);
    if (shown === "[]" && isRecycled) return null;
    return `from write ${start} to ${this.#done}: ${shown}`;
  }
}

/** Loads of one attempt: the first three and the last four are where the protocol is. */
const LOADS = 3 + HANDLE.size + 4;

function pickLoad(prng: Prng): number {
  if (prng.chance(1, 2)) return prng.below(2 * LOADS);
  return prng.chance(1, 2) ? prng.below(4) : 3 + HANDLE.size + prng.below(5);
}

/** A few writes, or any number, or about as many as lead to the same state of the next use. */
function pickCount(prng: Prng, useLength: number): number {
  if (prng.chance(1, 3)) return prng.below(6);
  return prng.chance(1, 2) ? prng.below(2 * useLength) : useLength - 3 + prng.below(7);
}

/** Lists with random writes at up to three moments, until there is a fault. */
function findFault(list: ListIos, prng: Prng, rounds: number): string | null {
  const replay = new Replay();
  for (let round = 0; round < rounds; round++) {
    const pauses = new Map<number, number>();
    for (let i = prng.between(1, 3); i > 0; i--) {
      pauses.set(pickLoad(prng), pickCount(prng, replay.useLength));
    }
    const fault = replay.list(list, prng.below(replay.writes.length), pauses);
    if (fault !== null) return fault;
  }
  return null;
}

Deno.test("ios() shows each moment of a handle's use when nobody writes", () => {
  const replay = new Replay();
  const shown = replay.still.flatMap((text) => JSON.parse(text) as IoRow[]);
  assertEquals(new Set(shown.map(({ state }) => state)), new Set(STATES));
  for (const row of shown) assertEquals(differences(row), []);
  assertEquals(replay.still.at(-1), "[]");
});

Deno.test("ios() shows a moment that was, with writes before any one of its reads", () => {
  const replay = new Replay();
  for (let start = 0; start < replay.writes.length; start += 3) {
    for (let load = 0; load <= LOADS; load++) {
      for (const count of [1, 2, 5, 20, 30, 40]) {
        assertEquals(replay.list(listIos, start, new Map([[load, count]])), null);
      }
    }
  }
});

Deno.test("ios() shows a moment that was, with random writes between its reads", async () => {
  await withPrng((prng) => assertEquals(findFault(listIos, prng, 100_000), null));
});

/** The module with some of its text replaced. */
async function importChanged(changes: readonly (readonly [string, string])[]): Promise<ListIos> {
  const url = new URL("../../../core/views/io_rows.ts", import.meta.url);
  let text = await (await fetch(url)).text();
  for (const [old, by] of changes) {
    assert(text.includes(old), `core/views/io_rows.ts no longer has: ${old}`);
    text = text.replace(old, by);
  }
  text = text.replaceAll(/from "(\.[^"]+)"/g, (_, path) => `from "${new URL(path, url)}"`);
  const module = await import(`data:application/typescript,${encodeURIComponent(text)}`);
  return module.listIos;
}

const NO_GENERATION_CHECK = ["!== low) return null", "!== low) void 0"] as const;
const NO_STATE_CHECK = [
  "HANDLE.state) !== state) continue",
  "HANDLE.state) < 0) continue",
] as const;
const NO_SECOND_COPY = ["(isSeenAtEnd && isSame)", "true"] as const;
const STATE_FIRST = [
  ["const low = ", "const first = Atomics.load(words, base + HANDLE.state);\n  const low = "],
  ["const state = ", "const state = attempt === 0 ? first : "],
] as const;
const CANARIES = [
  ["the generation's check", [NO_GENERATION_CHECK]],
  ["a second copy of COMPLETED_LOCAL", [NO_SECOND_COPY]],
  ["the state's check and that copy", [NO_STATE_CHECK, NO_SECOND_COPY]],
  ["the generation read before the state", STATE_FIRST],
] as const;

for (const [what, changes] of CANARIES) {
  Deno.test(`ios() canary: without ${what} it shows a moment that never was`, async () => {
    const list = await importChanged(changes);
    // The rarest takes 15 000 rounds on average.
    await withPrng((prng) => assertNotEquals(findFault(list, prng, 1_000_000), null));
  });
}

// --- beside a thread that works ---

/** What a row must show, if its fields are those of a use. */
function expectedOf(row: IoRow, generation: number): Partial<IoRow> {
  if (row.state === "HANDED_OUT") return { operation: null, off: null, target: null, fSync: null };
  const values = valuesOf(generation);
  const state = STATES.indexOf(row.state) + 1;
  const isTransfer = values.operation <= 2;
  return {
    operation: OPERATION_NAMES[values.operation]!,
    off: isTransfer ? values.offset : null,
    length: isTransfer ? values.length : null,
    target: "use",
    handleDataLen: values.handleDataLength,
    rawResult: state >= COMPLETED_IO ? values.rawResult : null,
    result: RESULTS[state >= COMPLETED_SHARED ? values.status : 0]!,
    targetDesc: Array(6).fill(values.use).join(),
    fSync: (values.flags & FLAG_BITS.synchronous) !== 0,
    fLocalmem: (values.flags & FLAG_BITS.referencesLocal) !== 0,
    fBuffered: (values.flags & FLAG_BITS.buffered) !== 0,
  };
}

/** The fields of a row that are not of the use it names. */
function differences(row: IoRow): string[] {
  // The generation moves right before the last state ends, its high word before its low one.
  const early = row.state === "COMPLETED_LOCAL" ? [1, 2 ** 32] : [];
  const faults = [0, ...early].map((ahead) => {
    const expected = expectedOf(row, row.ioGeneration - ahead);
    const names = Object.keys(expected) as (keyof IoRow)[];
    return names.filter((name) => row[name] !== expected[name]);
  });
  return faults.some((fault) => fault.length === 0) ? [] : faults[0]!;
}

/** A thread that uses the handles of a control, one after the other, until it is told to stop. */
async function startUser(control: Control, stop: Int32Array<SharedArrayBuffer>) {
  const bases = Array.from({ length: control.handleCount }, (_, index) => control.handleAt(index));
  const fixture = new URL("../fixtures/handle_uses.ts", import.meta.url);
  const text = `
    import { useHandle } from ${JSON.stringify(fixture)};
    self.onmessage = ({ data: { words, bases, stop } }) => {
      self.postMessage("started");
      let random = 1;
      const pause = () => {
        random = (Math.imul(random, 1664525) + 1013904223) | 0;
        for (let spins = random >>> 26; spins > 0; spins--) Atomics.load(stop, 0);
      };
      while (Atomics.load(stop, 0) === 0) for (const base of bases) useHandle(words, base, pause);
      self.postMessage("stopped");
    };
    self.postMessage("ready");
  `;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(text)}`, { type: "module" });
  const message = () =>
    new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (event) => {
        event.preventDefault();
        reject(new Error(event.message));
      };
    });
  await message();
  worker.postMessage({ words: control.words, bases, stop });
  await message();
  return {
    async stop() {
      Atomics.store(stop, 0, 1);
      await message();
    },
    [Symbol.dispose]: () => worker.terminate(),
  };
}

/** Lists beside a working thread. @returns how many rows there were, and those that are wrong */
async function listBeside(
  list: ListIos,
  times: number,
): Promise<{ rows: number; faults: IoRow[] }> {
  const control = makeControl(2, 2);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  using user = await startUser(control, stop);
  const faults: IoRow[] = [];
  let count = 0;
  for (let i = 0; i < times; i++) {
    const rows = list(control, USE_TARGETS, () => true);
    count += rows.length;
    for (const row of rows) if (differences(row).length > 0) faults.push(row);
  }
  await user.stop();
  assertNotEquals(control.words[control.handleAt(3) + HANDLE.generationLow], 1);
  assertEquals(list(control, USE_TARGETS), []);
  return { rows: count, faults };
}

Deno.test("ios() never mixes two uses of a handle, in 200 000 listings beside a thread", async () => {
  const { rows, faults } = await listBeside(listIos, 200_000);
  assertGreater(rows, 0);
  assertEquals(faults, []);
});

Deno.test("ios() canary: without its checks it mixes uses beside a thread", async () => {
  const list = await importChanged([NO_GENERATION_CHECK, NO_STATE_CHECK, NO_SECOND_COPY]);
  const { faults } = await listBeside(list, 200_000);
  assertGreater(faults.length, 0);
});
