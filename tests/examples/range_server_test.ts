/** range_server_test.ts: what the example answers: ranges, conditions, and nothing from outside. */

import { assertEquals } from "@std/assert";
import { backendOf } from "../../core/inside.ts";
import { RangeServer } from "../../examples/range_server.ts";
import { testSharedAios } from "../support/methods.ts";
import { until } from "../support/patience.ts";
import { contentAt } from "../support/prng.ts";
import { tempDir, writeRandomFile } from "../support/temp.ts";

const SEED = 21;
const BYTES = 300_000;

type Ask = (path: string, headers?: Record<string, string>, method?: string) => Promise<Response>;

/** Registers a test for each method that gets a server of a folder with a file. */
function testServer(name: string, use: (ask: Ask, dir: string) => Promise<void>): void {
  testSharedAios(name, async (aio) => {
    await using dir = await tempDir();
    const root = await Deno.realPath(dir.path);
    await Deno.mkdir(`${root}/served/folder`, { recursive: true });
    await writeRandomFile(`${root}/served/a file`, BYTES, SEED);
    const { answer } = new RangeServer(aio, `${root}/served`);
    const server = Deno.serve({ port: 0, onListen() {} }, answer);
    const { port } = server.addr as Deno.NetAddr;
    await use(
      (path, headers = {}, method = "GET") =>
        fetch(`http://127.0.0.1:${port}${path}`, { method, headers }),
      root,
    );
    await server.shutdown();
    const { files } = backendOf(aio);
    await until(() => files.count === 0, "each response closes its file");
    assertEquals(aio.ios(), []);
  });
}

const FILE = "/a%20file";

testServer(
  "range_server: a file is served whole, or in the part that is asked for",
  async (ask) => {
    const parts: readonly (readonly [string, number, number])[] = [
      ["", 0, BYTES],
      ["bytes=0-", 0, BYTES],
      ["bytes=0-0", 0, 1],
      ["bytes=100-199", 100, 200],
      ["bytes=200000-", 200_000, BYTES],
      ["bytes=-5", BYTES - 5, BYTES],
      ["bytes=-999999", 0, BYTES],
      ["bytes=299999-999999", 299_999, BYTES],
      ["bytes=5-4", 0, BYTES],
      ["bytes=0-1,5-6", 0, BYTES],
      ["lines=0-1", 0, BYTES],
    ];
    for (const [range, from, to] of parts) {
      for (const method of ["GET", "HEAD"]) {
        const response = await ask(FILE, range === "" ? {} : { range }, method);
        const isWhole = to - from === BYTES;
        assertEquals(response.status, isWhole ? 200 : 206, range);
        assertEquals(response.headers.get("content-length"), `${to - from}`);
        const where = isWhole ? null : `bytes ${from}-${to - 1}/${BYTES}`;
        assertEquals(response.headers.get("content-range"), where);
        const body = new Uint8Array(await response.arrayBuffer());
        assertEquals(
          body,
          method === "HEAD" ? new Uint8Array(0) : contentAt(SEED, from, to - from),
        );
      }
    }
    for (const range of ["bytes=300000-", "bytes=-0"]) {
      const response = await ask(FILE, { range });
      assertEquals([response.status, response.headers.get("content-range")], [
        416,
        `bytes */${BYTES}`,
      ]);
      await response.body?.cancel();
    }
  },
);

testServer("range_server: conditions are answered as HTTP says", async (ask) => {
  const { headers } = await ask(FILE, {}, "HEAD");
  const etag = headers.get("etag")!;
  const modified = headers.get("last-modified")!;
  const early = new Date(0).toUTCString();
  const conditions: readonly (readonly [Record<string, string>, number])[] = [
    [{ "if-none-match": etag }, 304],
    [{ "if-none-match": `"other", W/${etag}` }, 304],
    [{ "if-none-match": "*" }, 304],
    [{ "if-none-match": '"other"' }, 200],
    [{ "if-modified-since": modified }, 304],
    [{ "if-modified-since": early }, 200],
    [{ "if-none-match": '"other"', "if-modified-since": modified }, 200],
    [{ "if-match": etag }, 200],
    [{ "if-match": '"other"' }, 412],
    [{ "if-unmodified-since": modified }, 200],
    [{ "if-unmodified-since": early }, 412],
    [{ range: "bytes=1-2", "if-range": etag }, 206],
    [{ range: "bytes=1-2", "if-range": modified }, 206],
    [{ range: "bytes=1-2", "if-range": '"other"' }, 200],
  ];
  for (const [condition, status] of conditions) {
    const response = await ask(FILE, condition);
    assertEquals(response.status, status, JSON.stringify(condition));
    await response.body?.cancel();
  }
});

testServer("range_server: nothing outside the directory is served", async (ask, root) => {
  await Deno.writeTextFile(`${root}/secret`, "secret");
  await Deno.symlink("../secret", `${root}/served/link`);
  await Deno.symlink("a file", `${root}/served/inside`);
  const paths = [
    "/link",
    "/..%2fsecret",
    "/%2e%2e/secret",
    "/folder",
    "/",
    "/no",
    "/a%20file/x",
    "/%ff",
  ];
  for (const path of [...paths, "/a%00file"]) {
    const response = await ask(path);
    assertEquals(response.status, 404, path);
    await response.body?.cancel();
  }
  const inside = await ask("/inside");
  assertEquals([inside.status, (await inside.arrayBuffer()).byteLength], [200, BYTES]);
  const posted = await ask(FILE, {}, "POST");
  assertEquals([posted.status, posted.headers.get("allow")], [405, "GET, HEAD"]);
  await posted.body?.cancel();
});

testServer("range_server: many clients, some of which leave early", async (ask) => {
  await Promise.all(Array.from({ length: 30 }, async (_, i) => {
    const response = await ask(FILE);
    if (i % 3 === 0) await response.body!.cancel();
    else assertEquals(new Uint8Array(await response.arrayBuffer()), contentAt(SEED, 0, BYTES));
  }));
});
