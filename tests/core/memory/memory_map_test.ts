/**
 * memory_map_test.ts: which memory IO may use that its start call does not execute, and adopting
 * more.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fs from "node:fs";
import { backendOf } from "../../../core/inside.ts";
import { fileContent, openSync, wrong } from "../../support/core.ts";

Deno.test("sync: arena views have the arena's address and their offset", async () => {
  await using fixture = await openSync();
  const { memory, arena } = backendOf(fixture.aio);
  const view = fixture.aio.alloc(4096);
  assertEquals(memory.addressOf(view), memory.arenaAddress + view.byteOffset);
  assertEquals(memory.addressOf(view.subarray(7, 9)), memory.arenaAddress + view.byteOffset + 7);
  assertEquals(memory.addressOf(view), memory.localAddressOf(view));
  assertEquals(memory.arenaAddress % 65_536, 0);
  assertEquals(arena.address, memory.arenaAddress);
});

Deno.test("sync: plain memory and shared memory of others has no lasting address", async () => {
  await using fixture = await openSync();
  const { memory } = backendOf(fixture.aio);
  assertEquals(memory.addressOf(new Uint8Array(8)), -1);
  assertEquals(memory.addressOf(new Uint8Array(new SharedArrayBuffer(8))), -1);
});

Deno.test("sync: adopted memory is read into without a flag", async () => {
  await using fixture = await openSync();
  const { aio, file } = fixture;
  const shared = new SharedArrayBuffer(8192);
  aio.adoptMemory(shared);
  aio.adoptMemory(shared);
  const view = new Uint8Array(shared, 100, 512);
  const handle = aio.acquire();
  handle.setIovec(view);
  file.startReadv(handle, 0);
  assertEquals(view.slice(), new Uint8Array(fileContent(0, 512)));
  assert(new Uint8Array(shared, 0, 100).every((byte) => byte === 0));
});

Deno.test("sync: a view looked at before its memory was adopted is known afterwards", async () => {
  await using fixture = await openSync();
  const { memory } = backendOf(fixture.aio);
  const shared = new SharedArrayBuffer(8192);
  const view = new Uint8Array(shared, 10);
  assertEquals(memory.addressOf(view), -1);
  fixture.aio.adoptMemory(shared);
  assertEquals(memory.addressOf(view), memory.localAddressOf(view));
});

Deno.test("sync: the arena can be adopted, which changes nothing", async () => {
  await using fixture = await openSync();
  fixture.aio.adoptMemory(backendOf(fixture.aio).arena.buffer);
  const view = fixture.aio.alloc(1);
  assert(backendOf(fixture.aio).memory.addressOf(view) > 0);
});

Deno.test("sync: the memory of a shared WebAssembly.Memory can be adopted if it cannot grow", async () => {
  await using fixture = await openSync();
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  fixture.aio.adoptMemory(wrong<SharedArrayBuffer>(memory.buffer));
});

const MEBIBYTE = 1024 * 1024;
const hasHugePages = fs.existsSync("/sys/kernel/mm/transparent_hugepage");

/** Whether the library asked the system for huge pages at an address. */
function wantsHugePages(address: number): boolean {
  let isThere = false;
  for (const line of Deno.readTextFileSync("/proc/self/smaps").split("\n")) {
    const [range, ...rest] = line.split(" ");
    const bounds = /^([0-9a-f]+)-([0-9a-f]+)$/.exec(range!);
    if (bounds !== null) {
      isThere = address >= parseInt(bounds[1]!, 16) && address < parseInt(bounds[2]!, 16);
    } else if (isThere && range === "VmFlags:") return rest.includes("hg");
  }
  return false;
}

Deno.test({
  name: "sync: Aio.open() asks for huge pages for the arena",
  ignore: !hasHugePages,
  async fn() {
    await using fixture = await openSync({ arenaBytes: 4 * MEBIBYTE });
    const { arenaAddress } = backendOf(fixture.aio).memory;
    assert(wantsHugePages(arenaAddress));
    assert(wantsHugePages(arenaAddress + fixture.aio.options.arenaBytes - 1));
  },
});

for (const [bytes, isAsked] of [[4 * MEBIBYTE, true], [MEBIBYTE, false]] as const) {
  Deno.test({
    name: `sync: aio.adoptMemory() asks for huge pages for ${bytes} bytes: ${isAsked}`,
    ignore: !hasHugePages,
    async fn() {
      await using fixture = await openSync();
      const { aio } = fixture;
      const shared = new SharedArrayBuffer(bytes);
      aio.adoptMemory(shared);
      const address = backendOf(aio).memory.addressOf(new Uint8Array(shared));
      assertEquals(wantsHugePages(address + bytes / 2), isAsked);
    },
  });
}

const REFUSED: readonly (readonly [string, () => unknown, string])[] = [
  ["an ArrayBuffer", () => new ArrayBuffer(8), "a ArrayBuffer: pass a SharedArrayBuffer"],
  ["a view", () => new Uint8Array(new SharedArrayBuffer(8)), "a Uint8Array: pass a SharedArray"],
  ["null", () => null, "Cannot adopt null: pass a SharedArrayBuffer"],
  ["nothing", () => undefined, "Cannot adopt undefined: pass a SharedArrayBuffer"],
  [
    "a growable SharedArrayBuffer",
    () => new SharedArrayBuffer(8, { maxByteLength: 16 }),
    "Cannot adopt a growable SharedArrayBuffer: make one of fixed length",
  ],
  [
    "an empty SharedArrayBuffer",
    () => new SharedArrayBuffer(0),
    "Cannot adopt a SharedArrayBuffer of 0 bytes",
  ],
];

for (const [name, make, message] of REFUSED) {
  Deno.test(`sync: aio.adoptMemory() of ${name} is refused`, async () => {
    await using fixture = await openSync();
    assertThrows(
      () => fixture.aio.adoptMemory(wrong<SharedArrayBuffer>(make())),
      TypeError,
      message,
    );
  });
}
