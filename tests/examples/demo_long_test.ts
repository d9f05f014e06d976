/**
 * demo_long_test.ts: examples/demo.ts with all that it measures, with a file of its usual size and
 * one that it is given, with little room, on a terminal, and ended in other ways.
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mountTmpfs, tempDir, tmpfsAvailable, writeRandomFile } from "../support/temp.ts";
import {
  actWhen,
  assertBeginsWithVerdict,
  assertEmpty,
  assertTableComplete,
  checkTemporary,
  EXIT_INTERRUPTED,
  GIVE_UP_MS,
  littleRoom,
  MIB,
  runDemo,
  SHORT,
  WIDTH_MAX,
} from "./demo_run.ts";
import { examplePath, runFreely } from "./example_run.ts";

/** What the key sends to a terminal. */
const CTRL_C = 3;

Deno.test("demo.ts --all prints the table of all ways below the verdict", async () => {
  await using dir = await tempDir();
  await using other = await tempDir();
  await writeRandomFile(other.join("data"), 4 * MIB, 1);
  const { code, stdout, stderr } = await runDemo(dir, ["--all", SHORT, other.join("data")]);
  assertEquals(code, 0, stderr);
  assertBeginsWithVerdict(stdout);
  assertTableComplete(stdout);
  const table = stdout.slice(stdout.indexOf("IOPS"));
  for (const line of table.split("\n")) assert(line.length <= WIDTH_MAX, line);
  assertEmpty(dir);
});

Deno.test("demo.ts makes a file of its usual size where there is room", async () => {
  await using dir = await tempDir();
  await checkTemporary(dir);
});

Deno.test({
  name: "demo.ts makes a shorter file where there is little room, and none where there is less",
  ignore: !tmpfsAvailable(),
  fn: async () => {
    await using little = await mountTmpfs(100 * MIB);
    const { code, stdout, stderr } = await runDemo(little, [SHORT]);
    assertEquals(code, 0, stderr);
    assertMatch(stderr, /^Making a temporary file of 25 MiB\n/);
    assertBeginsWithVerdict(stdout);
    assertStringIncludes(stdout, "\nRead: a temporary file, 25 MiB, ");
    assertStringIncludes(stdout, "The file is in a tmpfs");
    assertEmpty(little);
    await using less = await mountTmpfs(40 * MIB);
    const refused = await runDemo(less, [SHORT]);
    assertMatch(
      refused.stderr,
      /^There is too little room for a temporary file in "[^\n]*TMPDIR\n$/,
    );
    assertEquals(refused.code, 1);
    assertEmpty(less);
  },
});

Deno.test("demo.ts reads a given file, and leaves it as it is", async () => {
  await using dir = await tempDir();
  await using other = await tempDir();
  const path = other.join("a file with a very long name, of which only the start is told");
  await writeRandomFile(path, MIB + 12_345, 1);
  const before = [await Deno.readFile(path), (await Deno.stat(path)).mtime];
  const { code, stdout, stderr } = await runDemo(dir, [SHORT, path]);
  assertEquals(code, 0, stderr);
  assertBeginsWithVerdict(stdout);
  assertStringIncludes(stdout, '\nRead: "a file with a very…", 1 MiB, ');
  assertEquals([await Deno.readFile(path), (await Deno.stat(path)).mtime], before);
  assertEmpty(dir);
});

Deno.test("demo.ts says in one sentence that a temporary file cannot be made", async () => {
  await using dir = await tempDir();
  const env = { TMPDIR: dir.join("absent") };
  const { code, stdout, stderr } = await runFreely("demo.ts", [], { env });
  assertMatch(stderr, /^A temporary file cannot be made: [^\n]* TMPDIR\n$/);
  assertEquals(stdout, "");
  assertEquals(code, 1);
});

Deno.test("demo.ts refuses a wrong command line with 2, and --help helps", async () => {
  await using dir = await tempDir();
  const refused = await runDemo(dir, ["--fast"]);
  assertEquals(refused.stderr, "Unknown option '--fast'; see --help\n");
  assertEquals(refused.stdout, "");
  assertEquals(refused.code, 2);
  const helped = await runDemo(dir, ["--help"]);
  assertStringIncludes(helped.stdout, "Usage: deno task demo [--all] [FILE]\n");
  assertEquals(helped.stderr, "");
  assertEquals(helped.code, 0);
  assertEmpty(dir);
});

Deno.test("demo.ts removes its file after Ctrl-C while it blocks", async () => {
  await using dir = await littleRoom();
  const { status } = await actWhen(dir, [SHORT], /^3\/\d/m, (child) => child.kill("SIGINT"));
  assertEquals(status.signal, null);
  assertEquals(status.code, EXIT_INTERRUPTED);
  assertEmpty(dir);
});

Deno.test("demo.ts removes its file when it is terminated", async () => {
  await using dir = await littleRoom();
  const { status } = await actWhen(dir, [SHORT], /^1\/\d/m, (child) => child.kill("SIGTERM"));
  assertEquals(status.code, 128 + 15);
  assertEmpty(dir);
});

Deno.test("demo.ts says so if the file becomes shorter meanwhile", async () => {
  await using dir = await tempDir();
  const path = dir.join("data");
  await writeRandomFile(path, MIB, 1);
  const cut = () => Deno.truncate(path, MIB / 2);
  const { status, stderr } = await actWhen(dir, [SHORT, path], /^1\/6/m, cut);
  assertMatch(stderr, /\nRead \d+ of \d+ bytes: ".*data" became shorter meanwhile\n$/);
  assertEquals(status.code, 1);
});

Deno.test({
  name: "demo.ts writes one line of progress on a terminal again and again, and takes it away",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using dir = await littleRoom();
    const command = [Deno.execPath(), "run", "--no-lock", "-A", examplePath("demo.ts"), SHORT];
    const child = new Deno.Command("script", {
      args: ["-q", "-e", "-c", command.map((word) => `'${word}'`).join(" "), "/dev/null"],
      env: { TMPDIR: dir.path, NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const timer = setTimeout(() => child.kill("SIGKILL"), GIVE_UP_MS);
    const keyboard = child.stdin.getWriter();
    let shown = "";
    let isSent = false;
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      shown += text;
      if (isSent || !shown.includes("2/")) continue;
      isSent = true;
      await keyboard.write(new Uint8Array([CTRL_C]));
    }
    const { code } = await child.status;
    clearTimeout(timer);
    await keyboard.close();
    // deno-lint-ignore no-control-regex -- control sequences steer a terminal
    assertMatch(shown, /\r\x1b\[2K1\/\d 4 KiB at random, 32 at a time: Deno\.FsFile/);
    assert(shown.endsWith("\r\x1b[2K"), shown);
    assert(!shown.includes("\n"), shown);
    assertEquals(code, EXIT_INTERRUPTED);
    assertEmpty(dir);
  },
});

Deno.test("demo.ts leaves a given file where it is after Ctrl-C", async () => {
  await using dir = await tempDir();
  await writeRandomFile(dir.join("data"), MIB, 1);
  const args = [SHORT, dir.join("data")];
  const { status } = await actWhen(dir, args, /^1\/6/m, (child) => child.kill("SIGINT"));
  assertEquals(status.code, EXIT_INTERRUPTED);
  assertEquals((await Deno.stat(dir.join("data"))).size, MIB);
});
