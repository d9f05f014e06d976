/**
 * pg_checksums_terminal_long_test.ts: examples/pg_checksums.ts in the hands of somebody at a
 * terminal: the progress bar, and Ctrl-C.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import {
  type Cluster,
  copyCluster,
  postgresAvailable,
  sharedCluster,
} from "../support/postgres.ts";
import { type ChildResult, runChild } from "../support/temp.ts";
import { denoArgs, flipBit, PAGE_BYTES, runProgram } from "./pg_checksums/program.ts";
import { HANG_MS } from "../support/patience.ts";

/** New pages without end: a file with a hole, which takes long to read and no room. */
const HOLE_BYTES = 64 * 1024 ** 3;
const POLL_INTERVAL_MS = 10;
/** What the key sends to a terminal. */
const CTRL_C = 3;

/** The arguments with which `script` runs the program on a terminal. */
function scriptArgs(args: string[]): string[] {
  const command = [Deno.execPath(), ...denoArgs(args)].map((word) => `'${word}'`).join(" ");
  return ["-q", "-e", "-c", command, "/dev/null"];
}

async function runOnTerminal(args: string[]): Promise<ChildResult> {
  return await runChild(scriptArgs(args), { command: "script" });
}

Deno.test({
  name: "pg_checksums shows bytes, rate and time left on a terminal",
  ignore: !postgresAvailable,
  fn: async () => {
    const { stdout, code } = await runOnTerminal([(await sharedCluster()).data]);
    const bar = /\[[=-]{20}\] \d+% \| [\d.]+ \w+ of [\d.]+ MiB \| [\d.]+ \w+\/s \| [-\d:]+ left/;
    assertMatch(stdout, bar);
    assertMatch(stdout, /Blocks scanned: {2}\d+\r\n/);
    assertEquals(code, 0);
  },
});

Deno.test({
  name: "pg_checksums names bad pages on a terminal, each on a line of its own",
  ignore: !postgresAvailable,
  fn: async () => {
    await using cluster = await copyCluster();
    await flipBit(cluster.file("accounts"), 100);
    await flipBit(cluster.file("accounts"), 900 * PAGE_BYTES);
    const { stdout, code } = await runOnTerminal([cluster.data]);
    // deno-lint-ignore no-control-regex -- the bar is taken away by a control sequence
    const lines = stdout.match(/(?<=\x1b\[2K|\n)pg_checksums: error: .*, block (0|900): .*\r\n/g);
    assertEquals(lines?.length, 2);
    assert(stdout.lastIndexOf("\x1b[?25h") > stdout.lastIndexOf("\x1b[?25l"), "no cursor");
    assertEquals(code, 1);
  },
});

Deno.test({
  name: "pg_checksums shows no bar where standard error is no terminal",
  ignore: !postgresAvailable,
  fn: async () => {
    const { stderr } = await runProgram([(await sharedCluster()).data]);
    assertNotMatch(stderr, /%/);
  },
});

/** Makes a cluster take long to check. */
async function addEndlessFile(cluster: Cluster): Promise<string> {
  const path = cluster.file("accounts", ".1");
  await Deno.writeFile(path, new Uint8Array());
  await Deno.truncate(path, HOLE_BYTES);
  return path;
}

/** Starts the program on a cluster that takes long, and interrupts it while it reads. */
async function interruptWhileReading(
  cluster: Cluster,
  options: string[],
): Promise<Deno.CommandOutput> {
  const path = await addEndlessFile(cluster);
  const child = new Deno.Command(Deno.execPath(), {
    args: denoArgs([...options, cluster.data]),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  const timer = setTimeout(() => child.kill("SIGKILL"), HANG_MS);
  await untilOpened(child.pid, path);
  child.kill("SIGINT");
  try {
    return await output;
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until a process has a file open; throws NotFound if it ends before. */
async function untilOpened(pid: number, path: string): Promise<void> {
  while (!openFiles(pid).includes(path)) {
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
  }
}

function openFiles(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return Array.from(Deno.readDirSync(folder)).flatMap(({ name }) => {
    try {
      return [Deno.readLinkSync(`${folder}/${name}`)];
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return []; // Closed meanwhile.
      throw error;
    }
  });
}

const WAYS = [[], ["--direct"], ["--jobs", "2"], ["--jobs", "3", "--direct"]];
for (const options of WAYS) {
  Deno.test({
    name: `pg_checksums ${options.join(" ")} ends with 130 after Ctrl-C, in the middle`.replace(
      "  ",
      " ",
    ),
    ignore: !postgresAvailable,
    fn: async () => {
      await using cluster = await copyCluster();
      const output = await interruptWhileReading(cluster, options);
      const decoder = new TextDecoder();
      assertEquals(decoder.decode(output.stderr), "");
      assertEquals(decoder.decode(output.stdout), "");
      assertEquals(output.signal, null);
      assertEquals(output.code, 130);
    },
  });
}

Deno.test({
  name: "pg_checksums --json ends its document after Ctrl-C",
  ignore: !postgresAvailable,
  fn: async () => {
    await using cluster = await copyCluster();
    const output = await interruptWhileReading(cluster, ["--json"]);
    assertEquals(JSON.parse(new TextDecoder().decode(output.stdout)).verdict, "interrupted");
    assertEquals(output.code, 130);
  },
});

Deno.test({
  name: "pg_checksums takes the bar away and gives the cursor back after Ctrl-C on a terminal",
  ignore: !postgresAvailable,
  fn: async () => {
    await using cluster = await copyCluster();
    await addEndlessFile(cluster);
    const child = new Deno.Command("script", {
      args: scriptArgs([cluster.data]),
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const timer = setTimeout(() => child.kill("SIGKILL"), HANG_MS);
    const keyboard = child.stdin.getWriter();
    let shown = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      const wasThere = / left/.test(shown);
      shown += text;
      if (!wasThere && / left/.test(shown)) await keyboard.write(new Uint8Array([CTRL_C]));
    }
    const { code } = await child.status;
    clearTimeout(timer);
    await keyboard.close();
    // deno-lint-ignore no-control-regex -- control sequences steer a terminal
    assertMatch(shown, /\x1b\[\?25h.*\x1b\[1G\x1b\[2K$/);
    assertEquals(code, 130);
  },
});
