/**
 * shared_views_test.ts: which calls of Deno and Node.js take a view of shared memory, such as
 * `aio.alloc()` gives: all that the README's table names, each as the table says.
 *
 * @module
 */

import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import fs from "node:fs";
import { crc32, gzipSync } from "node:zlib";
import { openAio } from "../../support/methods.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";

/** A view of shared memory, in the type that the calls want. */
type View = Uint8Array<ArrayBuffer>;

type Use = (view: View, dir: TempDir) => unknown;

/** A stream of one chunk. */
function streamOf(view: View, type?: "bytes"): ReadableStream<View> {
  const source = {
    start(controller: { enqueue(chunk: View): void; close(): void }): void {
      controller.enqueue(view);
      controller.close();
    },
  };
  return type === undefined ? new ReadableStream(source) : new ReadableStream({ ...source, type });
}

async function writeToConnection(view: View): Promise<void> {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  assert(listener.addr.transport === "tcp");
  using client = await Deno.connect({ port: listener.addr.port, hostname: "127.0.0.1" });
  using _server = await listener.accept();
  assertEquals(await client.write(view), view.byteLength);
}

async function sendByWebSocket(view: View): Promise<void> {
  const socket = new WebSocket("ws://127.0.0.1:1/");
  const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
  try {
    socket.send(view);
  } finally {
    socket.close();
    await closed;
  }
}

const TAKEN: Readonly<Record<string, Use>> = {
  "TextDecoder": (view) => new TextDecoder().decode(view),
  "TextDecoderStream": (view) =>
    Array.fromAsync(streamOf(view).pipeThrough(new TextDecoderStream())),
  "TextEncoder.encodeInto": (view) => new TextEncoder().encodeInto("abc", view),
  "crypto.getRandomValues": (view) => crypto.getRandomValues(view),
  "node:crypto": (view) => createHash("sha256").update(view).digest(),
  "node:zlib": (view) => [crc32(view), gzipSync(view)],
  "Buffer.from": (view) => Buffer.from(view.buffer, view.byteOffset, 10).toString(),
  "Deno.writeFile": (view, dir) => Deno.writeFile(dir.join("file"), view),
  "Deno.FsFile": async (view, dir) => {
    using file = await Deno.open(dir.join("file"), { read: true, write: true, create: true });
    await file.write(view);
    await file.read(view);
  },
  "node:fs": (view, dir) => {
    fs.writeFileSync(dir.join("file"), view);
    const fd = fs.openSync(dir.join("file"), "r+");
    fs.writeSync(fd, view);
    fs.readSync(fd, view);
    fs.closeSync(fd);
  },
  "Deno.Conn": writeToConnection,
  "ReadableStream": (view) => new Response(streamOf(view)).bytes(),
  "structuredClone": (view) => assertEquals(structuredClone(view).buffer, view.buffer),
  "postMessage": (view) => {
    const { port1, port2 } = new MessageChannel();
    port1.postMessage(view);
    port1.close();
    port2.close();
  },
};

const REFUSED: Readonly<Record<string, Use>> = {
  "Response": (view) => new Response(view),
  "Request": (view) => new Request("http://localhost/", { method: "POST", body: view }),
  "fetch": (view) => fetch("http://127.0.0.1:1/", { method: "POST", body: view }),
  "Blob": (view) => new Blob([view]),
  "File": (view) => new File([view], "name"),
  "crypto.subtle": (view) => crypto.subtle.digest("SHA-256", view),
  "CompressionStream": (view) =>
    Array.fromAsync(streamOf(view).pipeThrough(new CompressionStream("gzip"))),
  "DecompressionStream": (view) =>
    Array.fromAsync(streamOf(view).pipeThrough(new DecompressionStream("gzip"))),
  "enqueue": (view) => streamOf(view, "bytes"),
  "WebSocket.send": sendByWebSocket,
};

/** The names in the rows of the README's table that say this of their calls. */
async function namesInReadme(said: string): Promise<string[]> {
  const readme = await Deno.readTextFile(new URL("../../../README.md", import.meta.url));
  const rows = Array.from(readme.matchAll(/^\| (`.*\S) +\| (take it|refuse) +\|$/gm));
  return rows.filter((row) => row[2] === said)
    .flatMap((row) => Array.from(row[1]!.matchAll(/`([^`]+)`/g), (name) => name[1]!));
}

async function withView(use: (view: View, dir: TempDir) => Promise<void>): Promise<void> {
  await using dir = await tempDir();
  await using aio = await openAio("sync");
  const view: Uint8Array = aio.alloc(4096).fill(65);
  assertInstanceOf(view.buffer, SharedArrayBuffer);
  // The types refuse shared memory, also where the calls do not.
  await use(view as View, dir);
}

Deno.test("shared views: the README's table names these calls", async () => {
  assertEquals((await namesInReadme("take it")).sort(), Object.keys(TAKEN).sort());
  assertEquals((await namesInReadme("refuse")).sort(), Object.keys(REFUSED).sort());
});

for (const [name, use] of Object.entries(TAKEN)) {
  Deno.test(`shared views: ${name} takes one`, () =>
    withView(async (view, dir) => {
      await use(view, dir);
    }));
}

for (const [name, use] of Object.entries(REFUSED)) {
  Deno.test(`shared views: ${name} refuses one, and takes a copy`, () =>
    withView(async (view, dir) => {
      let refusal: unknown = null;
      try {
        await use(view, dir);
      } catch (error) {
        refusal = error;
      }
      assertInstanceOf(refusal, TypeError, name);
      assert(refusal.message.includes("SharedArrayBuffer"), refusal.message);
      const isShared = (error: unknown) => String(error).includes("SharedArrayBuffer");
      try {
        await use(view.slice(), dir);
      } catch (error) {
        assert(!isShared(error), String(error));
      }
    }));
}
