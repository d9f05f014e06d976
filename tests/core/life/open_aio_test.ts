/** open_aio_test.ts: opening an aio: the method chosen and why, hooks, versions, tokens. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import { AioCore } from "../../../core/life/aio.ts";
import type { IoMethod } from "../../../core/io/method.ts";
import { checkDenoVersion } from "../../../core/life/open_aio.ts";
import type { AioOptions } from "../../../core/base/options.ts";
import { ResourceOwner } from "../../../core/life/resource_owner.ts";
import { LAYOUT_VERSION } from "../../../core/memory/shared_memory.ts";
import { syncMethod } from "../../../methods/sync.ts";
import { HeldMethod, type HeldMethodOptions } from "../../support/held_method.ts";
import { runChild } from "../../support/temp.ts";

const SMALL: AioOptions = { arenaBytes: 65_536, maxBackends: 1, maxFiles: 4 };

function method(name: string, reason?: string): IoMethod {
  const options: HeldMethodOptions = reason === undefined
    ? { name }
    : { name, available: { ok: false, reason } };
  return new HeldMethod(options);
}

const ROWS: readonly {
  readonly what: string;
  readonly options: AioOptions;
  readonly methods: readonly IoMethod[];
  readonly chosen: string;
  readonly reason: string;
}[] = [
  {
    what: "auto takes the first",
    options: {},
    methods: [method("a"), method("b")],
    chosen: "a",
    reason: "a was chosen (the best of this version)",
  },
  {
    what: "auto passes over what the machine lacks, and says so",
    options: { method: "auto" },
    methods: [method("a", "no rings"), method("b", "no threads"), method("c")],
    chosen: "c",
    reason: "c was chosen (not available: a: no rings; b: no threads)",
  },
  {
    what: "auto takes the best of the methods given, in the version's order",
    options: { methods: ["c", "b"] },
    methods: [method("a"), method("b"), method("c")],
    chosen: "b",
    reason: "b was chosen",
  },
  {
    what: "a method's name takes that method",
    options: { method: "b" },
    methods: [method("a"), method("b")],
    chosen: "b",
    reason: "b was asked for",
  },
];

for (const row of ROWS) {
  Deno.test(`opening: ${row.what}`, async () => {
    await using aio = await AioCore.open({ ...SMALL, ...row.options }, row.methods);
    assertEquals(aio.method, row.chosen);
    assert(aio.methodReason.startsWith(row.reason), aio.methodReason);
  });
}

Deno.test("opening with a method that the machine lacks tells its reason", async () => {
  const error = await assertRejects(
    () => AioCore.open({ method: "a" }, [method("a", "no rings: load the module"), syncMethod]),
    Deno.errors.NotSupported,
  );
  assertEquals(error.message, 'Cannot open aio with the method "a": no rings: load the module');
});

for (const options of [{ method: "c" }, { methods: ["a", "c"] }, { method: "" }] as const) {
  Deno.test(`opening with ${JSON.stringify(options)} of no such method names those there are`, async () => {
    const error = await assertRejects(
      () => AioCore.open(options, [method("a"), method("b")]),
      RangeError,
    );
    const name = "methods" in options ? "c" : options.method;
    assertEquals(
      error.message,
      `Cannot open aio with the method ${JSON.stringify(name)}: this version has a, b`,
    );
  });
}

Deno.test("opening with no method available tells every reason", async () => {
  const error = await assertRejects(
    () => AioCore.open({}, [method("a", "no rings"), method("b", "no threads")]),
    Deno.errors.NotSupported,
  );
  assertEquals(
    error.message,
    "Cannot open aio: no method is available (a: no rings; b: no threads)",
  );
});

Deno.test("opening with a wrong option opens nothing", async () => {
  const held = new HeldMethod();
  await assertRejects(() => AioCore.open({ maxConcurrency: 0 }, [held]), RangeError, "Only -1 or");
  assertEquals(held.calls, []);
});

Deno.test("opening with a C library that is not there names it", async () => {
  const libc = "/nowhere/libc.so.6";
  await assertRejects(
    () => AioCore.open({ libraries: { libc } }, [syncMethod]),
    Error,
    libc,
  );
});

Deno.test("aio.options shows what is in force", async () => {
  await using aio = await AioCore.open({
    ...SMALL,
    maxConcurrency: -1,
    ioCombineLimit: 100,
    ioMaxCombineLimit: 8,
  }, [syncMethod]);
  const { maxConcurrency, ioCombineLimit, registeredBytes, method } = aio.options;
  assertEquals([maxConcurrency, ioCombineLimit, registeredBytes, method], [64, 8, 65_536, "auto"]);
  assertEquals([aio.backendId, aio.isClosed], [0, false]);
});

Deno.test("many aios may be open at once, and each has its own memory", async () => {
  await using one = await AioCore.open(SMALL, [syncMethod]);
  await using other = await AioCore.open(SMALL, [syncMethod]);
  const handles = [one.acquire(), other.acquire()];
  assertEquals(handles.map((handle) => handle.index), [0, 0]);
  handles[0]!.release();
  assertEquals(handles[1]!.state, "handedOut");
  handles[1]!.release();
});

Deno.test("aio.token names its memory and can be cloned", async () => {
  await using aio = await AioCore.open(SMALL, [syncMethod]);
  const token = structuredClone(aio.token);
  assertEquals([token.kind, token.version, token.method], ["deno-aio", LAYOUT_VERSION, "sync"]);
  assertEquals(token.options, aio.options);
  new Int32Array(token.control)[0] = 77; // The same memory, not a copy.
  assertEquals(backendOf(aio).control.words[0], 77);
});

// --- hooks ---

Deno.test("a warning hook that throws does not cut the core short", async () => {
  const errors: unknown[] = [];
  const keep = (event: ErrorEvent) => {
    event.preventDefault();
    errors.push(event.error);
  };
  globalThis.addEventListener("error", keep);
  const mine = new Error("mine");
  await using aio = await AioCore.open({
    ...SMALL,
    onWarning: () => {
      throw mine;
    },
  }, [syncMethod]);
  const owner = new ResourceOwner(aio);
  aio.acquire(owner);
  owner.release();
  globalThis.removeEventListener("error", keep);
  assertEquals(errors, [mine]);
  aio.acquire().release();
});

Deno.test("without a hook a warning goes to console.warn, and nothing else is printed", async () => {
  const url = (path: string) => new URL(path, import.meta.url).href;
  const program = `
    import { AioCore } from "${url("../../../core/life/aio.ts")}";
    import { ResourceOwner } from "${url("../../../core/life/resource_owner.ts")}";
    import { syncMethod } from "${url("../../../methods/sync.ts")}";
    await using aio = await AioCore.open({ arenaBytes: 4096 }, [syncMethod]);
    const owner = new ResourceOwner(aio);
    aio.acquire(owner);
    owner.release();
  `;
  const { code, stdout, stderr } = await runChild(["run", "-A", "--no-lock", "--ext=ts", "-"], {
    stdin: program,
  });
  assertEquals([code, stdout, stderr], [0, "", "aio: leaked AIO handle\n"]);
});

// --- Deno's version ---

for (
  const version of ["2.7.12", "2.7.13", "2.8.0", "2.10.1", "3.0.0", "2.9.6+abc", "2.7.12-rc.1"]
) {
  Deno.test(`checkDenoVersion() takes ${version}`, () => checkDenoVersion(version));
}

for (const version of ["2.7.11", "2.6.99", "1.46.3", "2.7", "2", ""]) {
  Deno.test(`checkDenoVersion() refuses ${JSON.stringify(version)} with the remedy`, () => {
    const error = assertThrows(() => checkDenoVersion(version), Deno.errors.NotSupported);
    assertEquals(
      error.message,
      `Cannot open aio with Deno ${version}: it needs 2.7.12 or later, run "deno upgrade"`,
    );
  });
}
