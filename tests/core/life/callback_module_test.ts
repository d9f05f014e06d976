/** callback_module_test.ts: modules of callbacks and targets: their ids, and which are refused. */

import { assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { AioCore } from "../../../core/life/aio.ts";
import { CallbackTable, defineCallbacks, hashNames } from "../../../core/io/callback.ts";
import { defineTarget, TargetTable } from "../../../core/io/target.ts";
import { syncMethod } from "../../../methods/sync.ts";
import { LIBC } from "../../support/libc.ts";
import { runProgram } from "../../support/program.ts";

const BUILT_IN = ["fileReadv", "fileWritev", "fileSync"];
const NO_COMPLETION_TEXT = "it does not have a completion callback";

function fixture(name: string): URL {
  return new URL(`../fixtures/${name}`, import.meta.url);
}

function open(...names: string[]): Promise<AioCore> {
  return AioCore.open(
    { callbackModules: names.map(fixture), arenaBytes: 65_536, maxBackends: 1 },
    [syncMethod],
  );
}

Deno.test("callback ids run in the order of built-ins, modules, keys", async () => {
  await using aio = await open("more_layers.ts", "layers.ts");
  const names = [
    ...BUILT_IN,
    "zebra",
    "ape",
    "first",
    "second",
    "third",
    "sharedOnly",
    "localOnly",
    "free",
  ];
  assertEquals(names.map((name) => aio.callbackId(name)), names.map((_, i) => i + 1));
  const targets = ["file", "shelf", "page", "grumpy"];
  assertEquals(targets.map((name) => aio.targetId(name)), [1, 2, 3, 4]);
});

Deno.test("the order of modules decides the ids", async () => {
  await using aio = await open("layers.ts", "more_layers.ts");
  assertEquals(aio.callbackId("first"), 4);
  assertEquals(aio.callbackId("zebra"), 10);
});

Deno.test("aio.callbackId() of an unknown name lists the known ones", async () => {
  await using aio = await open("more_layers.ts");
  for (const name of ["nope", "", "invalid", "toString"]) {
    const error = assertThrows(() => aio.callbackId(name), RangeError);
    assertEquals(
      error.message,
      `Cannot find a callback named ${JSON.stringify(name)}: known are ` +
        [...BUILT_IN, "zebra", "ape"].join(", "),
    );
  }
});

Deno.test("aio.targetId() of an unknown name lists the known ones", async () => {
  await using aio = await open("more_layers.ts");
  const error = assertThrows(() => aio.targetId("nope"), RangeError);
  assertEquals(error.message, 'Cannot find a target named "nope": known are file, shelf');
});

Deno.test("a module without callbacks and targets is fine", async () => {
  await using aio = await open("nothing.ts");
  assertEquals(aio.callbackId("fileSync"), 3);
  const url = fixture("nothing.ts").href;
  assertEquals(aio.options.callbackModules, [{ url, data: undefined }]);
});

Deno.test("sixty callbacks fit beside the built-in ones, the last has id 63", async () => {
  await using aio = await open("sixty_callbacks.ts");
  assertEquals(aio.callbackId("callback59"), 63);
});

const REFUSED: readonly (readonly [string, readonly string[], string])[] = [
  [
    "the 64th callback",
    ["sixty_callbacks.ts", "more_layers.ts"],
    'Cannot register callback "zebra": there may be at most 63',
  ],
  [
    "a name that another module has",
    ["layers.ts", "duplicate_name.ts"],
    'Cannot register callback "first": the name is taken',
  ],
  [
    "a module given twice",
    ["more_layers.ts", "more_layers.ts"],
    'Cannot register callback "zebra": the name is taken',
  ],
  [
    "a built-in callback's name",
    ["built_in_name.ts"],
    'Cannot register callback "fileReadv": the name is taken',
  ],
  [
    "the built-in target's name",
    ["built_in_target.ts"],
    'Cannot register target "file": the name is taken',
  ],
  [
    "a callback without completion",
    ["no_completion.ts"],
    `Cannot register callback "lonely": ${NO_COMPLETION_TEXT}`,
  ],
  [
    "a phase that is no function",
    ["wrong_phase.ts"],
    'Cannot register callback "odd": its completeShared is no function',
  ],
  [
    "a callback that is null",
    ["wrong_callback.ts"],
    'Cannot register callback "nothing": null is no object',
  ],
  [
    "a target without describeIdentity",
    ["wrong_target.ts"],
    'Cannot register target "vague": it has no describeIdentity()',
  ],
  [
    "callbacks that are no object",
    ["wrong_callbacks.ts"],
    `Cannot use "callbacks" of the callback module ${
      fixture("wrong_callbacks.ts").href
    }: it must be an object`,
  ],
];

for (const [name, modules, message] of REFUSED) {
  Deno.test(`opening with ${name} is refused, and leaves nothing open`, async () => {
    const error = await assertRejects(() => open(...modules), TypeError);
    assertEquals(error.message, message);
  });
}

const NOT_IMPORTED: readonly (readonly [name: string, reason: string])[] = [
  ["not_there.ts", `Module not found "${fixture("not_there.ts").href}"`],
  ["throws_at_import.ts", "no import today"],
];

for (const [name, reason] of NOT_IMPORTED) {
  Deno.test(`a module that cannot be imported (${name}) is named, with the reason`, async () => {
    const error = await assertRejects(() => open(name), TypeError);
    assertEquals(
      error.message,
      `Cannot import the callback module ${fixture(name).href}: ${reason}`,
    );
    assertInstanceOf(error.cause, Error);
    if (name === "throws_at_import.ts") assertEquals(error.cause.message, reason);
  });
}

Deno.test("a module that does not parse is refused in one line", async () => {
  const text = "export const callbacks = {";
  const url = new URL(`data:text/javascript,${encodeURIComponent(text)}`);
  const error = await assertRejects(
    () => AioCore.open({ callbackModules: [url], arenaBytes: 4096 }, [syncMethod]),
    TypeError,
    `Cannot import the callback module ${url.href}: `,
  );
  assertEquals(error.message.includes("\n"), false);
});

for (
  const [scheme, url, flag] of [
    ["file:", "file:///no%20where/callbacks.ts", "--allow-read=/no where/"],
    ["http:", "http://127.0.0.1:9/callbacks.ts", "--allow-import=127.0.0.1:9"],
  ] as const
) {
  Deno.test(`a ${scheme} module without permission is refused with the flag`, async () => {
    const source = `
      try {
        await Aio.open({ callbackModules: [new URL(${JSON.stringify(url)})] });
      } catch (error) {
        console.log(error.name, error.message);
      }`;
    const { stdout, stderr } = await runProgram(source, { flags: [`--allow-ffi=${LIBC}`] });
    const expected =
      `TypeError Cannot import the callback module ${url} without permission: run again with ${flag}`;
    assertEquals([stdout, stderr], [`${expected}\n`, ""]);
  });
}

Deno.test("a module may be a data: URL", async () => {
  const text = "export const callbacks = { inline: { completeShared: (_h, prior) => prior } };";
  await using aio = await AioCore.open({
    callbackModules: [new URL(`data:text/javascript,${encodeURIComponent(text)}`)],
    arenaBytes: 4096,
    maxBackends: 1,
  }, [syncMethod]);
  assertEquals(aio.callbackId("inline"), 4);
});

Deno.test("CallbackTable knows its ids and nothing else", () => {
  const table = new CallbackTable(() => {});
  table.add("one", { completeLocal: (_handle, prior) => prior });
  assertEquals([0, 1, 2, -1, 0.5, NaN].map((id) => table.has(id)), [
    false,
    true,
    false,
    false,
    false,
    false,
  ]);
  assertEquals([table.nameOf(0), table.nameOf(1), table.nameOf(9)], ["invalid", "one", "invalid"]);
  assertEquals([table.hasStage, table.hasLocal], [false, true]);
  table.add("two", { stage() {}, completeShared: (_handle, prior) => prior });
  assertEquals([table.hasStage, table.hasLocal], [true, true]);
  assertEquals(table.names, ["invalid", "one", "two"]);
});

Deno.test("TargetTable describes, also what there is not", () => {
  const table = new TargetTable();
  table.add("one", { describeIdentity: (data) => `one ${data[0]}` });
  const data = Int32Array.of(5, 0, 0, 0, 0, 0);
  assertEquals([0, 1, 2].map((id) => table.describe(id, data)), ["invalid", "one 5", "invalid"]);
  assertEquals([table.has(0), table.has(1), table.has(2)], [false, true, false]);
});

Deno.test("defineCallbacks() and defineTarget() return what they are given", () => {
  const callbacks = { completeShared: () => Deno.exit(1) };
  const target = { describeIdentity: () => "it" };
  assertEquals([defineCallbacks(callbacks) === callbacks, defineTarget(target) === target], [
    true,
    true,
  ]);
});

Deno.test("hashNames() differs for another order, another split and another name", () => {
  const hashes = [
    hashNames(["a", "b"], ["c"]),
    hashNames(["b", "a"], ["c"]),
    hashNames(["a"], ["b", "c"]),
    hashNames(["a", "b", "c"], []),
    hashNames(["ab"], ["c"]),
    hashNames(["a", "b"], ["d"]),
  ];
  assertEquals(new Set(hashes).size, hashes.length);
  assertEquals(hashNames(["a", "b"], ["c"]), hashes[0]);
});
