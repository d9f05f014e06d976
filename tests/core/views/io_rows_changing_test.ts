/**
 * io_rows_changing_test.ts: what ios() shows while IOs move on between its reads, and when it is
 * called from within itself.
 */

import { assertEquals } from "@std/assert";
import {
  COMPLETED_IO,
  COMPLETED_LOCAL,
  HANDED_OUT,
  SUBMITTED,
} from "../../../core/memory/handle_state.ts";
import { makeIdle } from "../../../core/io/completion_steps.ts";
import { type IoRow, listIos } from "../../../core/views/io_rows.ts";
import { effectiveOptions } from "../../../core/base/options.ts";
import { type Control, createControl, HANDLE } from "../../../core/memory/shared_memory.ts";
import { defineTarget, TargetTable } from "../../../core/io/target.ts";
import { openHeld, startRead } from "../../support/core.ts";
import { hooks, reset } from "../fixtures/layers.ts";
import { ios, onlyIo, STATES } from "../../support/listed_ios.ts";

const LAYERS = new URL("../fixtures/layers.ts", import.meta.url);

/** Control memory of our own, with targets by name after `"invalid"`. */
function makeControl(maxBackends = 1, maxConcurrency = 1): Control {
  return createControl(
    effectiveOptions({ arenaBytes: 4096, maxBackends, maxConcurrency, maxFiles: 1 }),
    0,
  );
}

function makeTargets(describeIdentity: (data: Int32Array) => string): TargetTable {
  const targets = new TargetTable();
  targets.add("use", defineTarget({ describeIdentity }));
  return targets;
}

const USE_TARGETS = makeTargets((data) => data.join());

/** Puts a handle into a state with a target of our own. */
function pokeHandle(control: Control, index: number, state: number): void {
  const base = control.handleAt(index);
  control.words[base + HANDLE.target] = 1;
  control.words.fill(10 + index, base + HANDLE.targetData, base + HANDLE.targetData + 6);
  control.words[base + HANDLE.state] = state;
}

Deno.test("ios() goes on when a target's description fails", async () => {
  await using fixture = await openHeld({ callbackModules: [LAYERS] });
  const { aio, file } = fixture;
  const handle = aio.acquire();
  handle.registerCallbacks(aio.callbackId("sharedOnly"));
  handle.setTarget(aio.targetId("grumpy"));
  handle.setIovec(aio.alloc(512));
  handle.startReadv(file.fd, 0);
  startRead(fixture);
  const [first, second] = ios(fixture);
  assertEquals(first?.targetDesc, "grumpy (its description failed: Error: not today)");
  assertEquals([first?.target, second?.target], ["grumpy", "file"]);
});

Deno.test("ios() may be called to describe a target", () => {
  const control = makeControl(1, 2);
  pokeHandle(control, 0, SUBMITTED);
  pokeHandle(control, 1, COMPLETED_LOCAL);
  let depth = 0;
  const targets = makeTargets((data) => {
    if (depth > 0) return data.join();
    depth++;
    const within = listIos(control, targets).map(({ targetDesc }) => targetDesc);
    depth--;
    return `${data.join()} beside ${within.join(" and ")}`;
  });
  const all = "10,10,10,10,10,10 and 11,11,11,11,11,11";
  assertEquals(
    listIos(control, targets).map(({ state, targetDesc }) => [state, targetDesc]),
    [
      ["SUBMITTED", `10,10,10,10,10,10 beside ${all}`],
      ["COMPLETED_LOCAL", `11,11,11,11,11,11 beside ${all}`],
    ],
  );
});

Deno.test("ios() gives a target data that it may keep and change", () => {
  const control = makeControl(1, 2);
  pokeHandle(control, 0, SUBMITTED);
  pokeHandle(control, 1, SUBMITTED);
  const kept: Int32Array[] = [];
  const targets = makeTargets((data) => String(kept.push(data)));
  listIos(control, targets);
  assertEquals(kept.map((data) => [...data]), [Array(6).fill(10), Array(6).fill(11)]);
  kept[0]!.fill(-1);
  assertEquals(listIos(control, USE_TARGETS)[0]?.targetDesc, "10,10,10,10,10,10");
});

Deno.test("ios() may be called from a callback and shows its IO", async () => {
  reset();
  await using fixture = await openHeld({ callbackModules: [LAYERS] });
  const { aio, file, held } = fixture;
  const handle = aio.acquire();
  handle.registerCallbacks(aio.callbackId("free"));
  handle.setTarget(aio.targetId("page"), [3, 7]);
  handle.setIovec(aio.alloc(512));
  const seen: unknown[] = [];
  const look = () => {
    const { state, rawResult, result, targetDesc } = onlyIo(fixture);
    seen.push([state, rawResult, result, targetDesc]);
  };
  hooks.stage = look;
  hooks.completeShared = (_handle, prior) => {
    look();
    return prior;
  };
  hooks.completeLocal = hooks.completeShared;
  handle.startReadv(file.fd, 0);
  held.complete(aio, handle.index, 77);
  reset();
  assertEquals(seen, [
    ["DEFINED", null, "UNKNOWN", "page 3 of table 7"],
    ["COMPLETED_IO", 77, "UNKNOWN", "page 3 of table 7"],
    ["COMPLETED_SHARED", 77, "OK", "page 3 of table 7"],
  ]);
});

// --- while others work: what happens between the copy and the checks ---

/** Lists the one handle of a control, and calls `happens` after each copy of it. */
function listWhile(control: Control, happens: (attempt: number) => void): IoRow[] {
  let attempts = 0;
  return listIos(control, USE_TARGETS, () => {
    happens(attempts++);
    return true;
  });
}

for (const [i, state] of STATES.entries()) {
  Deno.test(`ios() leaves out a handle that was used anew after its copy, ${state}`, () => {
    const control = makeControl();
    const base = control.handleAt(0);
    pokeHandle(control, 0, i + 1);
    let attempts = 0;
    const rows = listWhile(control, () => {
      attempts++;
      control.words[base + HANDLE.state] = COMPLETED_LOCAL;
      makeIdle(control.words, base);
      pokeHandle(control, 0, i + 1);
    });
    assertEquals([rows, attempts], [[], 1]);
    assertEquals(listIos(control, USE_TARGETS).map(({ ioGeneration }) => ioGeneration), [2]);
  });
}

Deno.test("ios() leaves out a handle whose generation moved in its high word alone", () => {
  const control = makeControl();
  pokeHandle(control, 0, SUBMITTED);
  const rows = listWhile(
    control,
    () => control.words[control.handleAt(0) + HANDLE.generationHigh]!++,
  );
  assertEquals(rows, []);
});

Deno.test("ios() looks again when the state went forward, and shows the later one", () => {
  const control = makeControl();
  const base = control.handleAt(0);
  pokeHandle(control, 0, SUBMITTED);
  let attempts = 0;
  const [row] = listWhile(control, (attempt) => {
    attempts++;
    if (attempt > 0) return;
    control.words[base + HANDLE.rawResult] = 99;
    control.words[base + HANDLE.state] = COMPLETED_IO;
  });
  assertEquals([row?.state, row?.rawResult, attempts], ["COMPLETED_IO", 99, 2]);
});

Deno.test("ios() gets to the end however often the state goes forward", () => {
  const control = makeControl();
  pokeHandle(control, 0, HANDED_OUT);
  let attempts = 0;
  const [row] = listWhile(control, () => {
    attempts++;
    const at = control.handleAt(0) + HANDLE.state;
    control.words[at] = Math.min(COMPLETED_LOCAL, control.words[at]! + 1);
  });
  assertEquals([row?.state, attempts], ["COMPLETED_LOCAL", 8]);
});

Deno.test("ios() gets to the end even if the state never rests", () => {
  const control = makeControl();
  pokeHandle(control, 0, SUBMITTED);
  let attempts = 0;
  const rows = listWhile(control, () => {
    attempts++;
    control.words[control.handleAt(0) + HANDLE.state]! ^= 1;
  });
  assertEquals([rows, attempts], [[], STATES.length + 1]);
});
