/**
 * permissions_test.ts: the permissions that a program needs for io_uring: its data and the C
 * library by its path, wherever the module comes from. If it also has liburing's path, the calls go
 * through that.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { join } from "@std/path";
import { existsSync } from "node:fs";
import { liburingCandidates } from "../../../ffi/liburing.ts";
import { LIBC } from "../../support/libc.ts";
import { contentAt, runChild, type TempDir, tempDir } from "../../support/temp.ts";
import { hasRings } from "../../support/rings/uring.ts";

const LIBRARY = import.meta.resolve("../../../mod.ts");
const ROOT = join(import.meta.dirname ?? ".", "../../..");
const SEED = 2604;
/** More than is copied from the page cache without an IO. */
const BYTES = 300_000;
/** With rings that the kernel maps, nothing less than all of `--allow-ffi` will do. */
const ignore = !hasRings("shared");

/** Where liburing is on this machine; "": nowhere. */
const LIBURING = liburingCandidates().find((path) => existsSync(path)) ?? "";

/** Writes what it finds in a file to another one, and reads that. */
function programOf(library: string): string {
  return `
    import { Aio } from ${JSON.stringify(library)};
    const [method, dir] = Deno.args;
    const aio = await Aio.open({ method });
    const source = await aio.openFile(dir + "/data");
    const bytes = new Uint8Array(await source.size());
    const read = await source.readAt(bytes, 0);
    const copy = await aio.openFile(dir + "/copy", { read: true, write: true, create: true });
    const written = await copy.writeAt(bytes, 0);
    await copy.sync();
    const again = new Uint8Array(read);
    await copy.readAt(again, 0);
    await source.close();
    await copy.close();
    const { counters } = aio.backends()[0];
    console.log(JSON.stringify({
      method: aio.method,
      reason: aio.methodReason,
      transferred: [read, written],
      isSame: again.every((byte, i) => byte === bytes[i]),
      synchronous: counters.synchronousByMethod,
    }));
    await aio.close();`;
}

/** What the program prints. */
interface Report {
  readonly method: string;
  readonly reason: string;
  readonly transferred: readonly number[];
  readonly isSame: boolean;
  /** How many IOs the method did not hand to the kernel. */
  readonly synchronous: number;
}

/** Runs the program with these permissions alone; its downloads stay in the folder. */
async function run(
  dir: TempDir,
  library: string,
  method: string,
  ffi: readonly string[],
  flags: readonly string[] = [],
): Promise<Report> {
  await Deno.writeFile(dir.join("data"), contentAt(SEED, 0, BYTES));
  await Deno.writeTextFile(dir.join("program.ts"), programOf(library));
  const granted = [
    `--allow-read=${dir.path}`,
    `--allow-write=${dir.path}`,
    `--allow-ffi=${ffi.join(",")}`,
    "--no-prompt",
  ];
  const args = ["run", "--no-config", "--no-lock", ...granted, ...flags, dir.join("program.ts")];
  const options = library === LIBRARY ? {} : { env: { DENO_DIR: dir.join("cache") } };
  const { code, stdout, stderr } = await runChild([...args, method, dir.path], options);
  assertEquals(code, 0, stderr);
  assertEquals(await Deno.readFile(dir.join("copy")), contentAt(SEED, 0, BYTES));
  const report: Report = JSON.parse(stdout);
  assertEquals([report.transferred, report.isSame], [[BYTES, BYTES], true]);
  return report;
}

for (
  const [library, granted] of [["the C library", [LIBC]], ["liburing", [LIBC, LIBURING]]] as const
) {
  Deno.test({
    name:
      `io_uring: a program with its data and --allow-ffi=${granted.join()} has it, through ${library}`,
    ignore: ignore || granted.includes(""),
    async fn() {
      await using dir = await tempDir();
      const { method, reason, synchronous } = await run(dir, LIBRARY, "auto", granted);
      assertEquals([method, synchronous], ["io_uring", 0]);
      const best = "io_uring was chosen (the best of this version)";
      assertEquals(reason, `${best}; its system calls go through ${library}`);
    },
  });
}

Deno.test({
  name: "io_uring: a program that imports the module by http has it, with the same permissions",
  ignore,
  async fn() {
    let served = 0;
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      async (request) => {
        served++;
        const text = await Deno.readTextFile(join(ROOT, new URL(request.url).pathname));
        return new Response(text, { headers: { "content-type": "application/typescript" } });
      },
    );
    await using dir = await tempDir();
    const host = `127.0.0.1:${server.addr.port}`;
    const { method, synchronous } = await run(
      dir,
      `http://${host}/mod.ts`,
      "io_uring",
      [LIBC],
      [`--allow-import=${host}`],
    );
    assertEquals([method, synchronous], ["io_uring", 0]);
    assert(served > 10, String(served));
  },
});
