/**
 * layout_test.ts: what docs/architecture.md draws of shared memory, and what docs/postgresql.md
 * lists of its fields, numbers and members, is what the code has. Canaries show that a wrong
 * drawing is found.
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { effectiveOptions } from "../../core/base/options.ts";
import { CALLBACKS_MAX } from "../../core/io/callback.ts";
import { COUNTER } from "../../core/io/counters.ts";
import { TARGET_DATA_WORDS } from "../../core/io/result.ts";
import { Arena } from "../../core/memory/arena.ts";
import { STATE_NAMES } from "../../core/memory/handle_state.ts";
import {
  APPEND_INTENT,
  BACKEND,
  type Control,
  createControl,
  createSharedMemory,
  FILE,
  FILE_PATH_BYTES,
  HANDLE,
  handleBytes,
  HEADER,
  REST_TEXT_BYTES,
} from "../../core/memory/shared_memory.ts";
import { IOVEC_WORDS, PAGE_SIZE_BYTES, POLLFD_WORDS } from "../../ffi/layout.ts";
import { findRecordFaults, numbersOf } from "../support/house/doc_layouts.ts";
import { blockAfter } from "../support/house/doc_pages.ts";
import { readSource } from "../support/house/source_files.ts";

const PAGE = readSource("docs/architecture.md");
const WORD_BYTES = Int32Array.BYTES_PER_ELEMENT;
/** Words of a double, as each counter is one. */
const DOUBLE_WORDS = 2;
const WASM_PAGE_BYTES = 65_536;

/** Words of an append's intent. */
const APPEND_INTENT_WORDS = Object.keys(APPEND_INTENT).length;

/** Words of the fields that have more than one. */
const WIDTHS: Readonly<Record<string, number>> = {
  rungAt: DOUBLE_WORDS,
  pollfds: 2 * POLLFD_WORDS.size,
  counters: COUNTER.size * DOUBLE_WORDS,
  restIovec: IOVEC_WORDS.size,
  restText: REST_TEXT_BYTES / WORD_BYTES,
  appending: APPEND_INTENT_WORDS,
  appendingLong: APPEND_INTENT_WORDS,
  endEven: 2,
  endOdd: 2,
  longEven: 2,
  longOdd: 2,
  notedEven: 2,
  notedOdd: 2,
  callbackIds: CALLBACKS_MAX,
  callbackData: CALLBACKS_MAX,
  targetData: TARGET_DATA_WORDS,
  path: FILE_PATH_BYTES / WORD_BYTES,
};

const RECORDS = [
  { what: "The header", layout: HEADER },
  { what: "A backend", layout: BACKEND },
  { what: "A handle", layout: HANDLE },
  { what: "An open file", layout: FILE },
] as const;

for (const { what, layout } of RECORDS) {
  Deno.test(`docs/architecture.md: ${what.toLowerCase()} is drawn as the code lays it out`, () => {
    assertEquals(findRecordFaults(blockAfter(PAGE, `${what}, in words`), layout, WIDTHS), []);
  });
}

Deno.test("docs canary: each wrong drawing of a record is found", () => {
  const layout = { state: 0, data: 1, claim: 7, size: 8 };
  const faults = (drawing: string) => findRecordFaults(drawing, layout, { data: 6 });
  assertEquals(faults("0 state  1..6 data\n7 claim\nsize 8"), []);
  assertEquals(faults("0 state  1..6 data\n7 claim"), ["size is missing, it is at 8"]);
  assertEquals(faults("0 state  1 data  7 claim  size 8"), [
    "data is drawn at 1..1, it is at 1..6",
  ]);
  assertEquals(faults("0 state  1..6 data  6 claim  size 8"), [
    "claim is drawn at 6..6, it is at 7..7",
  ]);
  assertEquals(faults("0 state  1..6 data  7 claim  8 old  size 8"), [
    "old is drawn, there is no such field",
  ]);
  assertEquals(faults("0 state  1..6 data  7 claim, perhaps  size 8").length, 2);
});

/** What the page draws of control memory, computed. */
function expectedSections(control: Control): number[][] {
  const { handleCount, iovecsPerHandle, words } = control;
  const [backends, files] = [words[HEADER.maxBackends]!, words[HEADER.maxFiles]!];
  const pages = words[HEADER.arenaPages]!;
  /** Offset and size in bytes, how many there are of what, words and perhaps bytes of each. */
  const section = (at: number, counts: readonly number[], size: number, ...more: number[]) => {
    const count = counts.reduce((product, one) => product * one, 1);
    return [at * WORD_BYTES, count * size * WORD_BYTES, ...counts, size, ...more];
  };
  const method = words[HEADER.methodOffset]! * WORD_BYTES;
  const bytes = control.buffer.byteLength;
  return [
    section(0, [], HEADER.size),
    section(control.backends, [backends], BACKEND.size, BACKEND.size * WORD_BYTES),
    section(control.handles, [handleCount], HANDLE.size, HANDLE.size * WORD_BYTES),
    section(
      control.iovecs,
      [handleCount, iovecsPerHandle],
      IOVEC_WORDS.size,
      iovecsPerHandle * IOVEC_WORDS.size * WORD_BYTES,
    ),
    section(
      control.handleData,
      [handleCount, iovecsPerHandle],
      2,
      iovecsPerHandle * 2 * WORD_BYTES,
    ),
    section(control.files, [files], FILE.size, FILE.size * WORD_BYTES),
    section(control.arenaPages, [pages], 1),
    [method, 0],
    [bytes, bytes / WASM_PAGE_BYTES, WASM_PAGE_BYTES],
  ];
}

Deno.test("docs/architecture.md: the sections of control memory are drawn with their sizes", () => {
  const control = createControl(effectiveOptions(), 0, 0);
  const [, ...drawn] = blockAfter(PAGE, "### Control memory").split("\n");
  assertEquals(numbersOf(drawn.join("\n")), expectedSections(control));
});

Deno.test("docs canary: numbers of a drawing are read with their spaces", () => {
  assertEquals(numbersOf(" 4 288 ├──┤  196 608  1 024 × HANDLE: 48 words, 192 bytes\nnone\n 16"), [
    [4288, 196_608, 1024, 48, 192],
    [16],
  ]);
});

Deno.test("docs/architecture.md: it says how many bytes a handle takes", () => {
  const { ioMaxCombineLimit } = effectiveOptions();
  const [, usual, most, large] =
    /takes (\d+) bytes; with (\d+) iovec entries\s+\(`ioMaxCombineLimit`\) (\d+) bytes/
      .exec(PAGE.text) ?? [];
  assertEquals(Number(usual), handleBytes(ioMaxCombineLimit));
  assertEquals(Number(large), handleBytes(Number(most)));
  assertMatch(readSource("docs/tuning.md").text, new RegExp(`: ${handleBytes(16)} bytes a handle`));
});

/** The bits of a word that a drawing gives to a name: from, to. */
function bitsOf(drawing: string, name: string): [number, number] {
  const [, from, to] = new RegExp(`bits? (\\d+)(?:\\.\\.(\\d+))?: ${name}`).exec(drawing) ?? [];
  assert(from !== undefined, name);
  return [Number(from), Number(to ?? from)];
}

Deno.test("docs/architecture.md: the word of a run of the arena has its bits where they are drawn", () => {
  const drawing = blockAfter(PAGE, "Only the first word of a run is not 0");
  const control = createControl(effectiveOptions({ arenaBytes: 4 * PAGE_SIZE_BYTES }), 0, 0);
  const arena = new Arena(control, createSharedMemory(4 * PAGE_SIZE_BYTES, "a test"), 0, 21, 1);
  for (const use of ["user", "bounce"] as const) {
    const view = arena.tryTake(3 * PAGE_SIZE_BYTES, use)!;
    const word = control.words[control.arenaPages]!;
    const bits = (name: string) => {
      const [from, to] = bitsOf(drawing, name);
      return word >>> from & (1 << to - from + 1) - 1;
    };
    const number = Number(new RegExp(`^(\\d) ${use} +backend`, "m").exec(drawing)![1]);
    assertEquals(["use", "owner", "pages"].map(bits), [number, 21, 3]);
    arena.giveBack(view);
  }
});

Deno.test("docs/architecture.md: the states have their numbers in the picture", () => {
  const picture = blockAfter(PAGE, "### States");
  const drawn = Array.from(picture.matchAll(/[│┤] *(\w+) (\d)(?= *[├│])/g));
  const states = drawn.map(([, name, number]) => [Number(number), name]).sort();
  assertEquals<unknown>(states, STATE_NAMES.map((name, number) => [number, name]));
});
