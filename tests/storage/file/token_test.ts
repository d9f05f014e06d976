/**
 * token_test.ts: tokens name an Aio and its files to other threads: they can be posted, and each
 * names only the Aio or file that it was made for.
 *
 * @module
 */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { backendOf } from "../../../core/inside.ts";
import type { IoMethodName } from "../../../methods/mod.ts";
import type { FileToken } from "../../../core/mod.ts";
import type { Aio, AioFile } from "../../../storage/mod.ts";
import { openAio, testSharedAios } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import { countDescriptorsOf } from "../../support/program.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";

const isLinux = Deno.build.os === "linux";

/** Registers a test for each method that gets a file. */
function testFile(
  name: string,
  use: (aio: Aio, file: AioFile, path: string, method: IoMethodName) => void | Promise<void>,
  isPossible = true,
): void {
  testSharedAios(name, async (aio, method) => {
    await using dir = await tempDir();
    const path = dir.join("file");
    await writeRandomFile(path, 1_000, 1);
    await using file = await aio.openFile(path, { read: true, write: true });
    await use(aio, file, path, method);
  }, { isPossible });
}

/** Sends a value as a Worker would get it. */
async function posted<T>(value: T): Promise<T> {
  const { port1, port2 } = new MessageChannel();
  const { promise, resolve } = Promise.withResolvers<T>();
  port2.onmessage = ({ data }) => resolve(data);
  port1.postMessage(value);
  const received = await promise;
  port1.close();
  port2.close();
  return received;
}

testFile("aio.token can be posted, and shares its memory", async (aio, _file, _path, method) => {
  const token = await posted(aio.token);
  assertEquals([token.kind, token.method], ["deno-aio", method]);
  assertEquals(token.options, aio.options);
  const view = aio.alloc(5).fill(77);
  assertEquals(new Uint8Array(token.arena, view.byteOffset, 5).slice(), view.slice());
  new Uint8Array(token.arena)[view.byteOffset] = 78;
  assertEquals(view[0], 78);
  assertEquals(token.control.byteLength, aio.token.control.byteLength);
  assertEquals(structuredClone(aio.token).options, aio.options);
});

testFile(
  "file.token can be posted, and attachFile() reads the same file",
  async (aio, file, path) => {
    const token = await posted(file.token);
    assertEquals(token, file.token);
    await using attached = aio.attachFile(token);
    assertEquals([attached.fd, attached.path], [file.fd, path]);
    const buffer = new Uint8Array(100);
    assertEquals(await attached.readAt(buffer, 10), 100);
    assertEquals(buffer, contentAt(1, 10, 100));
    assertEquals(await attached.writeAt(buffer, 0), 100);
    assertEquals(attached.token, file.token);
  },
);

testFile(
  "attachFile() shares the descriptor, which the last user closes",
  async (aio, file, path) => {
    const others = [aio.attachFile(file.token), aio.attachFile(structuredClone(file.token))];
    assertEquals(countDescriptorsOf(path), 1);
    await file.close();
    assertEquals(countDescriptorsOf(path), 1);
    others[0]?.closeSync();
    assertEquals(countDescriptorsOf(path), 1);
    assertEquals(await others[1]?.readAt(new Uint8Array(10), 0), 10);
    await others[1]?.close();
    assertEquals(countDescriptorsOf(path), 0);
    assertEquals(backendOf(aio).files.count, 0);
  },
  isLinux,
);

testFile("attachFile() keeps how the file was opened", async (aio, file, path) => {
  await using readOnly = await aio.openFile(path);
  await using attached = aio.attachFile(readOnly.token);
  assertEquals(attached.direct, file.direct);
  assertEquals(attached.alignment, readOnly.alignment);
  const error = assertThrows(
    () => attached.writeAtSync(new Uint8Array(1), 0),
    Deno.errors.BadResource,
  );
  assertEquals(
    error.message,
    `Cannot write ${JSON.stringify(path)}: it was opened without "write"`,
  );
});

testFile("a closed file has no token", async (_aio, file, path) => {
  await file.close();
  const error = assertThrows(() => file.token, Deno.errors.BadResource);
  assertEquals(error.message, `Cannot share ${JSON.stringify(path)}: the file is closed`);
});

testFile("attachFile() of a file that was closed meanwhile is refused", async (aio, file, path) => {
  const { token } = file;
  await file.close();
  const message = `Cannot attach ${JSON.stringify(path)}: the file was closed`;
  const check = () =>
    assertEquals(
      assertThrows(() => aio.attachFile(token), Deno.errors.BadResource).message,
      message,
    );
  check();
  await using _successor = await aio.openFile(path); // Takes the same slot.
  check();
});

testFile("attachFile() of another Aio's file is refused", async (_aio, file, path, method) => {
  await using other = await openAio(method);
  await using _file = await other.openFile(path);
  const error = assertThrows(() => other.attachFile(file.token), TypeError);
  assertEquals(
    error.message,
    `Cannot attach ${JSON.stringify(path)}: its token is of another aio; open the file in this one`,
  );
});

testFile("attachFile() of another version's token is refused", (aio, file) => {
  const { version } = file.token;
  const token = { ...file.token, version: version + 1 };
  const error = assertThrows(() => aio.attachFile(token), TypeError);
  assertEquals(
    error.message,
    `Cannot attach a file with a token of version ${version + 1}: this module has version ` +
      `${version}; let all threads import the same one`,
  );
});

testFile("attachFile() of what is no token is refused", (aio, file) => {
  const cases: readonly (readonly [unknown, string])[] = [
    [null, "null"],
    [undefined, "undefined"],
    ["token", '"token"'],
    [{}, "a Object"],
    [aio.token, "a Object"],
    [file, "a AioFile"],
  ];
  for (const [token, told] of cases) {
    const error = assertThrows(() => aio.attachFile(token as FileToken), TypeError);
    assertEquals(error.message, `Cannot attach a file with ${told}: pass file.token`);
  }
});

testFile("attachFile() of a token with a wrong slot is refused", async (aio, file) => {
  const { token } = file;
  for (const slot of [-1, 0.5, NaN, 1e9, token.slot + 1]) {
    assertThrows(() => aio.attachFile({ ...token, slot }), Deno.errors.BadResource, "closed");
  }
  for (const generation of [0, -1, token.generation + 1]) {
    assertThrows(
      () => aio.attachFile({ ...token, generation }),
      Deno.errors.BadResource,
      "closed",
    );
  }
  const { identity: _, ...rest } = token;
  assertThrows(() => aio.attachFile(rest as FileToken), TypeError, "another aio");
  await using attached = aio.attachFile(token);
  assert(!attached.isClosed);
});

testFile("two files of the same path have tokens of their own", async (aio, file, path) => {
  await using other = await aio.openFile(path);
  assert(other.token.slot !== file.token.slot);
  await using attached = aio.attachFile(other.token);
  assertStrictEquals(attached.fd, other.fd);
});
