/**
 * crashes_test.ts: what this module says of power cuts, in every state that one leaves; beside each
 * promise a canary that breaks it, which is found.
 *
 * @module
 */

import { assertEquals, assertGreater } from "@std/assert";
import type { Aio } from "../../mod.ts";
import { type CrashState, crashStates, type IoRecorder, recordIo } from "../../testing/mod.ts";
import { testEachMethod } from "../support/methods.ts";
import { ONE_WORKER } from "../support/workers/worker_pool.ts";

const OPTIONS = { arenaBytes: 1024 * 1024, method: "sync" } as const;

function textOf(state: CrashState, path: string): string | null {
  const bytes = state.files.get(path);
  return bytes === undefined ? null : new TextDecoder().decode(bytes);
}

/** The states that a check refuses, by their seeds. */
async function findLosses(
  program: (aio: Aio, path: string, recorder: IoRecorder<string>) => Promise<void>,
  check: (state: CrashState<string>) => boolean,
): Promise<string[]> {
  const recording = await recordIo<string>(
    (aio, directory, recorder) => program(aio, `${directory}/a`, recorder),
    { aio: OPTIONS },
  );
  const states = [...crashStates(recording, { exhaustive: true, sectorBytes: 8 })];
  assertGreater(states.length, 4);
  return states.flatMap((state) => check(state) ? [] : [state.seed]);
}

/** The file is the last acknowledged one, or the next. */
function isWhole(state: CrashState<string>): boolean {
  const versions = [null, "the first", "the second"];
  const text = textOf(state, "a");
  const at = state.acknowledged.length;
  return text === versions[at] || at < 2 && text === versions[at + 1];
}

Deno.test("aio.replaceFile() leaves the old file or the new one, whole, after a power cut", async () => {
  const losses = await findLosses(async (aio, path, recorder) => {
    for (const text of ["the first", "the second"]) {
      await aio.replaceFile(path, text);
      recorder.mark(text);
    }
  }, isWhole);
  assertEquals(losses, []);
});

Deno.test("crashStates() canary: a file that is replaced in its place is found", async () => {
  const losses = await findLosses(async (aio, path, recorder) => {
    for (const text of ["the first", "the second"]) {
      await using file = await aio.openFile(path, { write: true, create: true, truncate: true });
      await file.writeAt(new TextEncoder().encode(text), 0);
      await file.sync();
      await aio.syncDirectory(path.slice(0, -2));
      recorder.mark(text);
    }
  }, isWhole);
  assertGreater(losses.length, 0);
});

Deno.test("crashStates() canary: a rename without a flush of the file is found", async () => {
  const losses = await findLosses(async (aio, path, recorder) => {
    for (const text of ["the first", "the second"]) {
      await using file = await aio.openFile(`${path}.new`, { write: true, createNew: true });
      await file.writeAt(new TextEncoder().encode(text), 0);
      await Deno.rename(`${path}.new`, path);
      await aio.syncDirectory(path.slice(0, -2));
      recorder.mark(text);
    }
  }, isWhole);
  assertGreater(losses.length, 0);
});

Deno.test("file.publish() gives a name to a whole file alone, whenever the power is cut", async () => {
  const losses = await findLosses(async (aio, path, recorder) => {
    await using file = await aio.openTemporary(path.slice(0, -2));
    await file.writeAt(new TextEncoder().encode("the first"), 0);
    await file.publish(path);
    recorder.mark("the first");
  }, isWhole);
  assertEquals(losses, []);
});

Deno.test("crashStates() canary: file.publish() without durability is found", async () => {
  const losses = await findLosses(async (aio, path, recorder) => {
    await using file = await aio.openTemporary(path.slice(0, -2));
    await file.writeAt(new TextEncoder().encode("the first"), 0);
    await file.publish(path, { durable: false });
    recorder.mark("the first");
  }, isWhole);
  assertGreater(losses.length, 0);
});

/** What was appended and acknowledged is a beginning of the file. */
function hasAppends(state: CrashState<string>): boolean {
  return (textOf(state, "a") ?? "").startsWith(state.acknowledged.join(""));
}

for (const durable of [true, false]) {
  const name = durable
    ? "file.append() keeps what it acknowledged as durable, whenever the power is cut"
    : "crashStates() canary: appends that are not durable are found";
  Deno.test(name, async () => {
    const losses = await findLosses(async (aio, path, recorder) => {
      await using file = await aio.openFile(path, { write: true, create: true });
      await aio.syncDirectory(path.slice(0, -2));
      for (const text of ["one, ", "two, ", "and three"]) {
        await file.append(new TextEncoder().encode(text), { durable });
        recorder.mark(text);
      }
    }, hasAppends);
    assertEquals(losses.length > 0, !durable);
  });
}

/** A durable append is there, with all before it. */
function hasAllBefore(state: CrashState<string>): boolean {
  const text = textOf(state, "a") ?? "";
  return state.acknowledged.every((whole) => text.startsWith(whole));
}

Deno.test("file.append() with `durable` makes durable what was appended before, whenever the power is cut", async () => {
  const losses = await findLosses(async (aio, path, recorder) => {
    await using file = await aio.openFile(path, { write: true, create: true });
    await aio.syncDirectory(path.slice(0, -2));
    const texts = ["one, ", "two and three, ", "and four"];
    for (const [i, text] of texts.entries()) {
      const durable = i !== 1;
      await file.append(new TextEncoder().encode(text), { durable });
      if (durable) recorder.mark(texts.slice(0, i + 1).join(""));
    }
  }, hasAllBefore);
  assertEquals(losses, []);
});

/** A record of an append, and where it is. */
interface Appended {
  readonly offset: number;
  readonly byte: number;
  readonly length: number;
}

testEachMethod(
  "file.append(): tasks that append at once lose nothing, whenever the power is cut",
  async (method) => {
    const recording = await recordIo<Appended>(async (aio, directory, recorder) => {
      await using file = await aio.openFile(`${directory}/a`, { write: true, create: true });
      await aio.syncDirectory(directory);
      await Promise.all(Array.from({ length: 8 }, async (_, task) => {
        for (let round = 0; round < 8; round++) {
          const [byte, length] = [8 * task + round + 1, 40 * task + 90 * round + 1];
          const offset = await file.append(new Uint8Array(length).fill(byte), { durable: true });
          recorder.mark({ offset, byte, length });
        }
      }));
    }, { aio: { ...OPTIONS, method, workers: ONE_WORKER } });
    assertEquals(recording.marks.length, 64);
    let pending = 0;
    for (const state of crashStates(recording, { count: 20_000 })) {
      const bytes = state.files.get("a") ?? new Uint8Array();
      const { acknowledged } = state;
      const isThere = ({ offset, byte, length }: Appended) =>
        bytes.length >= offset + length &&
        bytes.subarray(offset, offset + length).every((one) => one === byte);
      const lost = acknowledged.find((record) => !isThere(record));
      assertEquals(lost, undefined, state.seed);
      if (recording.marks.slice(acknowledged.length).some(isThere)) pending++;
    }
    // Some are there before anybody hears of it.
    assertGreater(pending, 0);
  },
);
