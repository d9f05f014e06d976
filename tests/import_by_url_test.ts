/**
 * import_by_url_test.ts: the module works when it is imported by URL, as users import it: no import
 * map, no configuration, no file of the checkout on disk, permissions for what it touches only.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { testMethodProgram } from "./support/method_program.ts";
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
    "--quiet", // It would print what it downloads.
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

testMethodProgram(
  "import by URL: a program reads and writes a file through Aio",
  async (dir) => {
    await Deno.writeTextFile(dir.join("data"), CONTENT);
    const body = `
      await using aio = await Aio.open({ method, workers: { min: 1 } });
      await using source = await aio.openFile("data");
      const buffer = new Uint8Array(await source.size());
      const count = await source.readAt(buffer, 0);
      await using target = await aio.openFile(method, { write: true, create: true });
      await target.writeAt(buffer.subarray(0, count), 0);
      while (["linux_aio", "worker"].includes(aio.method) && aio.workers().length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      await target.writeAt(buffer.subarray(0, count), 0);
      print(new TextDecoder().decode(buffer.subarray(0, count)), await Deno.readTextFile(method));`;
    const run = async (source: string) => {
      await using server = serveCheckout();
      const program = `import { Aio } from "http://${server.host}/mod.ts";\n${source}`;
      await Deno.writeTextFile(dir.join("program.ts"), program);
      const result = await runOutside(dir, server.host, "program.ts", []);
      assertGreater(server.served.length, 10);
      return result;
    };
    return { body, run };
  },
  (lines) => assertEquals(lines, [`${CONTENT} ${CONTENT}`]),
);

/** An example that takes the path of a file, and what it prints. */
const EXAMPLE = ["basic_read.ts", "came by URL"] as const;

Deno.test("import by URL: every export loads, and an example runs", async () => {
  await using server = serveCheckout();
  await using dir = await tempDir();
  const config: unknown = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
  const { exports } = config as { exports: Record<string, string> };
  const urls = Object.values(exports).map((path) => new URL(path, `http://${server.host}/`).href);
  const [example, printed] = EXAMPLE;
  const lines = urls.map((url, i) => `import * as m${i} from "${url}";`);
  lines.push(`import "http://${server.host}/examples/${example}";`);
  const counts = urls.map((_, i) => `Object.keys(m${i}).length > 0`);
  await Deno.writeTextFile(
    dir.join("program.ts"),
    `${lines.join("\n")}\nconsole.log([${counts.join(", ")}].every(Boolean));`,
  );
  await Deno.writeTextFile(dir.join("data"), CONTENT);
  const result = await runOutside(dir, server.host, "program.ts", ["data"]);
  assertEquals(result.code, 0, result.stderr);
  assertStringIncludes(result.stdout, printed);
  assert(result.stdout.endsWith("\ntrue\n"), result.stdout);
});

Deno.test("import by URL: the server of this test gives nothing but sources", async () => {
  await using server = serveCheckout();
  for (const path of ["/deno.json", "/absent.ts", "/..%2f..%2fetc/passwd"]) {
    const response = await fetch(`http://${server.host}${path}`);
    assertStringIncludes(await response.text(), "Not found");
    assertEquals(response.status, 404);
  }
});
