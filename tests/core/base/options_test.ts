/** options_test.ts: every option: its default, its bounds, and the error of a wrong value. */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type AioOptions, effectiveOptions } from "../../../core/base/options.ts";
import { wrong } from "../../support/core.ts";

const MIB = 1024 * 1024;
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/** Options of one kind of value: `name.part` is a part of an object. */
interface IntegerOption {
  readonly name: string;
  readonly min: number;
  readonly max: number;
}

const INTEGERS: readonly IntegerOption[] = [
  { name: "maxBackends", min: 1, max: 32 },
  { name: "ioMaxCombineLimit", min: 1, max: 128 },
  { name: "ioCombineLimit", min: 1, max: 128 },
  { name: "effectiveIoConcurrency", min: 0, max: 1000 },
  { name: "maintenanceIoConcurrency", min: 0, max: 1000 },
  { name: "maxFiles", min: 1, max: 65536 },
  { name: "dozeMicroseconds", min: 0, max: 1000 },
  { name: "workers.min", min: 1, max: 32 },
  { name: "workers.max", min: 1, max: 32 },
  { name: "workers.idleTimeoutMs", min: 0, max: TIMEOUT_MS_MAX },
  { name: "workers.launchIntervalMs", min: 0, max: TIMEOUT_MS_MAX },
];

/** Options that set only this one. */
function only(name: string, value: unknown): AioOptions {
  const [first = "", part] = name.split(".");
  return wrong<AioOptions>({ [first]: part === undefined ? value : { [part]: value } });
}

/** The value of one option that is in force after it was set to this. */
function effective(name: string, value: unknown): unknown {
  let found: unknown = effectiveOptions(only(name, value));
  for (const key of name.split(".")) found = (found as Record<string, unknown>)[key];
  return found;
}

function refusal(name: string, value: unknown): Error {
  return assertThrows(() => effectiveOptions(only(name, value)), Error);
}

function assertRefused(
  name: string,
  value: unknown,
  type: "RangeError" | "TypeError",
  message: string,
): void {
  const error = refusal(name, value);
  assertEquals([error.name, error.message], [type, message]);
}

Deno.test("effectiveOptions() gives every default", () => {
  assertEquals(effectiveOptions(), {
    method: "auto",
    methods: null,
    maxConcurrency: 64,
    maxBackends: 16,
    ioCombineLimit: 16,
    ioMaxCombineLimit: 16,
    effectiveIoConcurrency: 16,
    maintenanceIoConcurrency: 16,
    arenaBytes: 64 * MIB,
    registeredBytes: 4 * MIB,
    maxFiles: 1024,
    pageSize: 8192,
    workers: { min: 2, max: 8, idleTimeoutMs: 60_000, launchIntervalMs: 100 },
    dozeMicroseconds: null,
    callbackModules: [],
    libraries: {},
  });
  assertEquals(effectiveOptions({}), effectiveOptions());
});

Deno.test("effectiveOptions() takes undefined for every option as its default", () => {
  const names = [...Object.keys(effectiveOptions()), "onWarning", "onLog"];
  const given = Object.fromEntries(names.map((name) => [name, undefined]));
  assertEquals(effectiveOptions(wrong<AioOptions>(given)), effectiveOptions());
  const workers = { min: undefined, max: undefined };
  assertEquals(effectiveOptions(wrong<AioOptions>({ workers })), effectiveOptions());
});

for (const { name, min, max } of INTEGERS) {
  Deno.test(`option ${name} takes ${min} to ${max}`, () => {
    for (const value of [min, min + 1, max]) {
      const isClamped = name === "ioCombineLimit" && value > 16;
      assertEquals(effective(name, value), isClamped ? 16 : value);
    }
  });

  Deno.test(`option ${name} refuses one below, one above, and what is no integer`, () => {
    for (const value of [min - 1, max + 1, min + 0.5, NaN, Infinity, -Infinity]) {
      const text = `Cannot open aio as "${name}" must be an integer from ${min} to ${max}: got`;
      assertRefused(name, value, "RangeError", `${text} ${value}`);
    }
  });

  Deno.test(`option ${name} refuses other types`, () => {
    const cases = [["5", '"5"'], [5n, "5n"], [null, "null"], [true, "true"], [{}, "a Object"]];
    for (const [value, text] of cases) {
      const message = `Cannot open aio as "${name}" must be a number: got ${text}`;
      assertRefused(name, value, "TypeError", message);
    }
  });
}

// --- maxConcurrency ---

Deno.test("option maxConcurrency takes -1 for 64, and 1 to 1024", () => {
  for (const [given, inForce] of [[-1, 64], [1, 1], [64, 64], [1024, 1024]]) {
    assertEquals(effective("maxConcurrency", given), inForce);
  }
});

Deno.test("option maxConcurrency refuses 0 in PostgreSQL's words", () => {
  for (const zero of [0, -0]) {
    assertRefused(
      "maxConcurrency",
      zero,
      "RangeError",
      'Cannot open aio as "maxConcurrency" is 0: Only -1 or values bigger than 0 are valid',
    );
  }
});

Deno.test("option maxConcurrency refuses the rest", () => {
  for (const value of [-2, 1025, 1.5, NaN, Infinity]) {
    assertRefused(
      "maxConcurrency",
      value,
      "RangeError",
      'Cannot open aio as "maxConcurrency" must be -1 (64 handles a backend) or an integer ' +
        `from 1 to 1024: got ${value}`,
    );
  }
  assertRefused(
    "maxConcurrency",
    "64",
    "TypeError",
    'Cannot open aio as "maxConcurrency" must be a number: got "64"',
  );
});

// --- clamps and what depends on another option ---

Deno.test("option ioCombineLimit is clamped by ioMaxCombineLimit, silently", () => {
  const clamp = (ioCombineLimit: number, ioMaxCombineLimit: number) =>
    effectiveOptions({ ioCombineLimit, ioMaxCombineLimit }).ioCombineLimit;
  assertEquals([clamp(128, 4), clamp(4, 128), clamp(128, 128), clamp(5, 5)], [4, 4, 128, 5]);
  assertEquals(effectiveOptions({ ioMaxCombineLimit: 1 }).ioCombineLimit, 1);
});

Deno.test("option registeredBytes is at most arenaBytes, by default too", () => {
  assertEquals(effectiveOptions({ arenaBytes: 4096 }).registeredBytes, 4096);
  assertEquals(effectiveOptions({ arenaBytes: 8 * MIB }).registeredBytes, 4 * MIB);
  const error = assertThrows(
    () => effectiveOptions({ arenaBytes: 8192, registeredBytes: 12_288 }),
    RangeError,
  );
  assertEquals(
    error.message,
    'Cannot open aio as "registeredBytes" must be an integer from 0 to 8192: got 12288',
  );
});

for (
  const [name, min, max] of [
    ["arenaBytes", 4096, 4 * 1024 * MIB],
    ["registeredBytes", 0, 64 * MIB],
  ] as const
) {
  Deno.test(`option ${name} takes multiples of 4096 from ${min} to ${max}`, () => {
    for (const value of [min, 4096, max]) assertEquals(effective(name, value), value);
  });

  Deno.test(`option ${name} refuses the rest`, () => {
    for (const value of [min - 1, min - 4096, max + 4096, NaN, 4096.5]) {
      const text = `Cannot open aio as "${name}" must be an integer from ${min} to ${max}: got`;
      assertRefused(name, value, "RangeError", `${text} ${value}`);
    }
    for (const value of [4097, 8191]) {
      const text = `Cannot open aio as "${name}" must be a multiple of 4096 bytes: got ${value}`;
      assertRefused(name, value, "RangeError", text);
    }
    const text = `Cannot open aio as "${name}" must be a number: got "4096"`;
    assertRefused(name, "4096", "TypeError", text);
  });
}

Deno.test("option pageSize takes powers of two from 512 to 65536", () => {
  for (let size = 512; size <= 65_536; size *= 2) assertEquals(effective("pageSize", size), size);
  for (const value of [256, 131_072, 0, -512, 1000, 4096.5, NaN]) {
    const text = 'Cannot open aio as "pageSize" must be a power of two from 512 to 65536: got';
    assertRefused("pageSize", value, "RangeError", `${text} ${value}`);
  }
  assertRefused(
    "pageSize",
    "8192",
    "TypeError",
    'Cannot open aio as "pageSize" must be a number: got "8192"',
  );
});

Deno.test("option workers: one bound alone has the other fit", () => {
  assertEquals(effectiveOptions({ workers: { max: 1 } }).workers.min, 1);
  assertEquals(effectiveOptions({ workers: { min: 20 } }).workers.max, 20);
  assertEquals(effectiveOptions({ workers: { min: 5, max: 5 } }).workers.min, 5);
});

Deno.test("option workers refuses bounds the wrong way round, in PostgreSQL's words", () => {
  const error = assertThrows(
    () => effectiveOptions({ workers: { min: 5, max: 4 } }),
    RangeError,
  );
  assertEquals(
    error.message,
    'Cannot open aio as "workers.min" (5) should be less than or equal to "workers.max" (4)',
  );
});

Deno.test("option workers refuses other types and unknown names", () => {
  for (const [value, text] of [[null, "null"], [5, "5"], ["x", '"x"']]) {
    const message = `Cannot open aio as "workers" must be an object: got ${text}`;
    assertRefused("workers", value, "TypeError", message);
  }
  assertStringIncludes(refusal("workers", { mxa: 3 }).message, '"workers.mxa"');
});

// --- names, lists, hooks ---

Deno.test("an unknown option is refused by name, with the known ones", () => {
  for (const name of ["maxConcurency", "toString", "__proto_", ""]) {
    const error = refusal(name, 1);
    assert(error instanceof TypeError);
    assertStringIncludes(
      error.message,
      `Cannot open aio with the unknown option "${name}": known are arenaBytes, callbackModules,`,
    );
    for (const known of Object.keys(effectiveOptions())) assertStringIncludes(error.message, known);
  }
});

for (const [value, text] of [[null, "null"], [5, "5"], ["sync", '"sync"']]) {
  Deno.test(`options that are ${text} are refused`, () => {
    const error = assertThrows(() => effectiveOptions(wrong<AioOptions>(value)), TypeError);
    assertEquals(
      error.message,
      `Cannot open aio as its options must be an object: got ${text}`,
    );
  });
}

Deno.test("option method must be a string", () => {
  for (const [value, text] of [[5, "5"], [null, "null"], [["sync"], "a Array"]]) {
    const message = `Cannot open aio as "method" must be a string: got ${text}`;
    assertRefused("method", value, "TypeError", message);
  }
});

Deno.test("option methods must be a list of names, and is copied", () => {
  const given = ["sync"];
  const { methods } = effectiveOptions({ methods: given });
  given.push("worker");
  assertEquals(methods, ["sync"]);
  for (const [value, text] of [[[], "a Array"], ["sync", '"sync"'], [null, "null"]]) {
    const message =
      `Cannot open aio as "methods" must be a list of at least one method's name: got ${text}`;
    assertRefused("methods", value, "TypeError", message);
  }
  const message = 'Cannot open aio as "methods" must be a string: got 5';
  assertRefused("methods", ["sync", 5], "TypeError", message);
});

for (const hook of ["onWarning", "onLog"]) {
  Deno.test(`option ${hook} must be a function`, () => {
    effectiveOptions(only(hook, () => {}));
    for (const [value, text] of [["x", '"x"'], [null, "null"], [{}, "a Object"]]) {
      const message = `Cannot open aio as "${hook}" must be a function: got ${text}`;
      assertRefused(hook, value, "TypeError", message);
    }
  });
}

Deno.test("option callbackModules holds URL objects, shown as texts with their data", () => {
  const url = new URL("../fixtures/nothing.ts", import.meta.url);
  const shown = (data: unknown) => [{ url: url.href, data }];
  assertEquals(effectiveOptions({ callbackModules: [url] }).callbackModules, shown(undefined));
  assertEquals(effectiveOptions({ callbackModules: [{ url }] }).callbackModules, shown(undefined));
  const data = { list: [1] };
  const inForce = effectiveOptions({ callbackModules: [{ url, data }] }).callbackModules;
  data.list.push(2);
  assertEquals(inForce, shown({ list: [1] }));
  assertRefused(
    "callbackModules",
    ["./x.ts"],
    "TypeError",
    'Cannot open aio as "callbackModules" must hold URL objects, such as ' +
      'new URL("./callbacks.ts", import.meta.url), or { url, data }: got "./x.ts"',
  );
  assertRefused(
    "callbackModules",
    [{ url: url.href }],
    "TypeError",
    'Cannot open aio as "callbackModules" must hold URL objects, such as ' +
      `new URL("./callbacks.ts", import.meta.url), or { url, data }: got "${url.href}"`,
  );
  assertRefused(
    "callbackModules",
    [{ url, date: 1 }],
    "TypeError",
    'Cannot open aio with the unknown option "callbackModules.date": known are url, data',
  );
  assertRefused(
    "callbackModules",
    [{ url, data: () => {} }],
    "TypeError",
    `Cannot open aio as the data of the callback module ${url.href} cannot be cloned: ` +
      "it must be such as can be posted to a Worker",
  );
  for (const [value, text] of [[url, "a URL"], ["x", '"x"'], [null, "null"]]) {
    const message = `Cannot open aio as "callbackModules" must be a list of URLs: got ${text}`;
    assertRefused("callbackModules", value, "TypeError", message);
  }
});

Deno.test("option libraries takes paths of libc and liburing only", () => {
  const libraries = { libc: "libc.so.6", liburing: "liburing.so.2" };
  assertEquals(effectiveOptions({ libraries }).libraries, libraries);
  for (const [value, text] of [[null, "null"], ["x", '"x"']]) {
    const message = `Cannot open aio as "libraries" must be an object: got ${text}`;
    assertRefused("libraries", value, "TypeError", message);
  }
  assertRefused(
    "libraries.libm",
    "x",
    "TypeError",
    'Cannot open aio with the unknown option "libraries.libm": known are libc, liburing',
  );
  assertRefused(
    "libraries.libc",
    5,
    "TypeError",
    'Cannot open aio as "libraries.libc" must be a string: got 5',
  );
});
