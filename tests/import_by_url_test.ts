/**
 * import_by_url_test.ts: the module works when it is imported by URL, as users import it: no import
 * map, no configuration, no file of the checkout on disk, permissions for what it touches only.
 *
 * @module
 */

import { assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { existsSync } from "node:fs";
import { testEachMethod } from "./support/methods.ts";
import { type ChildResult, runChild, type TempDir, tempDir } from "./support/temp.ts";

const ROOT = join(import.meta.dirname ?? ".", "..");
const CONTENT = "read through a module that came by URL\n";

/** A loopback server of the checkout's TypeScript files. */
interface CheckoutServer extends AsyncDisposable {
  /** Host and port, as `--allow-import` wants them. */
  readonly host: string;
  /** The paths that were asked for and found. */
  readonly served: readonly string[];
}

async function serveFile(request: Request, served: string[]): Promise<Response> {
  const { pathname } = new URL(request.url);
  try {
    if (!pathname.endsWith(".ts")) throw new Deno.errors.NotFound(pathname);
    const text = await Deno.readTextFile(join(ROOT, decodeURIComponent(pathname)));
    served.push(pathname);
    return new Response(text, { headers: { "content-type": "application/typescript" } });
  } catch {
    return new Response("Not found", { status: 404 });
  }
}

function serveCheckout(): CheckoutServer {
  const served: string[] = [];
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => serveFile(request, served),
  );
  return {
    host: `127.0.0.1:${server.addr.port}`,
    served,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** Runs a module in a folder outside the checkout, with a module cache of its own. */
async function runOutside(
  dir: TempDir,
  host: string,
  module: string,
  args: readonly string[],
): Promise<ChildResult> {
  const flags = [
    "--no-prompt",
    "--no-config",
    "--no-lock",
    `--allow-import=${host}`,
    `--allow-read=${dir.path}`,
    `--allow-write=${dir.path}`,
    "--allow-ffi",
  ];
  return await runChild(["run", ...flags, module, ...args], {
    cwd: dir.path,
    env: { DENO_DIR: dir.join("cache") },
  });
}

testEachMethod("import by URL: a program reads and writes a file through Aio", async (method) => {
  await using server = serveCheckout();
  await using dir = await tempDir();
  await Deno.writeTextFile(dir.join("data"), CONTENT);
  await Deno.writeTextFile(
    dir.join("program.ts"),
    `import { Aio } from "http://${server.host}/mod.ts";
    await using aio = await Aio.open({ method: "${method}", workers: { min: 1 } });
    await using source = await aio.openFile("data");
    const buffer = new Uint8Array(await source.size());
    const count = await source.readAt(buffer, 0);
    await using target = await aio.openFile("copy", { write: true, create: true });
    await target.writeAt(buffer.subarray(0, count), 0);
    while (aio.method === "worker" && aio.workers().length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await target.writeAt(buffer.subarray(0, count), 0);
    console.log(new TextDecoder().decode(buffer.subarray(0, count)));`,
  );
  const result = await runOutside(dir, server.host, "program.ts", []);
  assertEquals(result.code, 0, result.stderr);
  assertEquals(result.stdout, `${CONTENT}\n`);
  assertEquals(await Deno.readTextFile(dir.join("copy")), CONTENT);
  assertGreater(server.served.length, 10);
});

Deno.test("import by URL: every export loads", async () => {
  await using server = serveCheckout();
  await using dir = await tempDir();
  const config: unknown = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  const { exports } = config as { exports: Record<string, string> };
  const urls = Object.values(exports).map((path) => new URL(path, `http://${server.host}/`).href);
  const lines = urls.map((url, i) => `import * as m${i} from "${url}";`);
  const counts = urls.map((_, i) => `Object.keys(m${i}).length > 0`);
  await Deno.writeTextFile(
    dir.join("program.ts"),
    `${lines.join("\n")}\nconsole.log([${counts.join(", ")}].every(Boolean));`,
  );
  const result = await runOutside(dir, server.host, "program.ts", []);
  assertEquals(result.code, 0, result.stderr);
  assertEquals(result.stdout, "true\n");
});

/** Examples that are given the path of a file, with what each prints of it. */
const EXAMPLES: readonly (readonly [name: string, printed: string])[] = [
  ["basic_read.ts", "came by URL"],
];

for (
  const [name, printed] of EXAMPLES.filter(([name]) => existsSync(join(ROOT, "examples", name)))
) {
  Deno.test(`import by URL: examples/${name} runs`, async () => {
    await using server = serveCheckout();
    await using dir = await tempDir();
    await Deno.writeTextFile(dir.join("data"), CONTENT);
    const url = `http://${server.host}/examples/${name}`;
    const result = await runOutside(dir, server.host, url, ["data"]);
    assertEquals(result.code, 0, result.stderr);
    assertStringIncludes(result.stdout, printed);
  });
}

Deno.test("import by URL: the server of this test gives nothing but sources", async () => {
  await using server = serveCheckout();
  for (const path of ["/deno.json", "/absent.ts", "/..%2f..%2fetc/passwd"]) {
    const response = await fetch(`http://${server.host}${path}`);
    assertStringIncludes(await response.text(), "Not found");
    assertEquals(response.status, 404);
  }
});
