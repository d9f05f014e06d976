/**
 * registry_test.ts: the table of methods: complete, in order, and each keeps the interface's rules.
 */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { AioInvariantError } from "../../core/base/assert.ts";
import { effectiveOptions } from "../../core/base/options.ts";
import { backendOf } from "../../core/inside.ts";
import { availableMethods, methodNames, METHODS } from "../../methods/mod.ts";
import { syncMethod } from "../../methods/sync.ts";
import { Aio } from "../../storage/aio.ts";
import { openSync } from "../support/core.ts";

Deno.test("methodNames() and METHODS name the same, each once, the same way round", () => {
  const names: readonly string[] = methodNames();
  assertEquals(names, METHODS.map((method) => method.name));
  assertEquals(new Set(names).size, names.length);
});

Deno.test("methodNames() ends with sync, which every machine has", () => {
  assertEquals(methodNames().at(-1), "sync");
  assertStrictEquals(METHODS.at(-1), syncMethod);
  assertEquals(availableMethods().at(-1), { name: "sync", ok: true });
});

Deno.test("availableMethods() gives one answer a method, and a reason where it is no", () => {
  const answers = availableMethods();
  assertEquals(answers.map((answer) => answer.name), [...methodNames()]);
  for (const answer of answers) {
    if (!answer.ok) assert(answer.reason.length > 10, `${answer.name}: ${answer.reason}`);
  }
});

Deno.test("availableMethods() refuses wrong options as opening does", () => {
  assertThrows(() => availableMethods({ maxConcurrency: 0 }), RangeError, "Only -1 or values");
});

Deno.test("Aio.open() takes the best method of those available", async () => {
  await using aio = await Aio.open({ arenaBytes: 65_536 });
  assertEquals(aio.method, availableMethods().find((answer) => answer.ok)?.name);
  assertEquals(aio.methodReason.startsWith(`${aio.method} was chosen (`), true);
});

Deno.test("availableMethods() without the C library has none, and says why once", () => {
  const libc = "/nowhere/libc.so.6";
  const answers = availableMethods({ libraries: { libc } });
  assertEquals(answers.map(({ ok }) => ok), answers.map(() => false));
  const reasons = answers.map((answer) => answer.ok ? "" : answer.reason);
  const reason =
    `Cannot find the C library at ${libc}: correct the option "libraries.libc", or leave it out`;
  assertEquals(reasons, [reason, ...answers.slice(1).map(() => "the same as for io_uring")]);
  const [first] = answers;
  assertStringIncludes(first?.ok === false ? String(first.cause) : "", libc);
});

Deno.test("Aio.open() with a method that is not available tells what was tried in its cause", async () => {
  const liburing = "/nowhere/liburing.so.2";
  const error = await assertRejects(
    () => Aio.open({ method: "io_uring", libraries: { liburing } }),
    Deno.errors.NotSupported,
    `Cannot open aio with the method "io_uring": `,
  );
  if (Deno.build.os === "linux") assertStringIncludes(String(error.cause), liburing);
});

for (const method of METHODS) {
  Deno.test(`${method.name}: available() answers twice the same, with nothing left open`, () => {
    const options = effectiveOptions();
    assertEquals(method.available(options), method.available(options));
  });
}

Deno.test("sync: every IO is executed in its start call", () => {
  assertEquals(syncMethod.waitOnFdBeforeClose, true);
  assertEquals([syncMethod.waitOne, syncMethod.checkOne, syncMethod.shmemSize], [
    undefined,
    undefined,
    undefined,
  ]);
});

Deno.test("sync: submit() is never to be called, in PostgreSQL's words", async () => {
  await using fixture = await openSync();
  const error = assertThrows(
    () => syncMethod.submit(backendOf(fixture.aio), [], 1),
    AioInvariantError,
  );
  assertEquals(error.message, "IO should have been executed synchronously");
});
