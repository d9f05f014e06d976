/**
 * extending_long_test.ts: the checklists of docs/extending.md, done in a copy of the checkout: what
 * they show is all that it takes. That they fit the checkout: extending_test.ts.
 *
 * @module
 */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { dirname } from "@std/path";
import { checklist, type Patch, patched } from "../support/house/doc_patches.ts";
import { listFiles, ROOT } from "../support/house/source_files.ts";
import { HANG_MS } from "../support/patience.ts";
import { PART_VARIABLE } from "../support/house/part.ts";
import { type ChildResult, runChild, type TempDir, tempDir } from "../support/temp.ts";

const COPIED = [
  "core",
  "ffi",
  "methods",
  "storage",
  "tests/support",
  "tests/core",
  "tests/storage",
];
const RING = "methods/io_uring/submission.ts";
const CASES = "tests/core/io/operation_test.ts";
/** To check the types takes a busy machine longer than any event. */
const CHILD_HANG_MS = 4 * HANG_MS;
const isLinux = Deno.build.os === "linux";

/** A copy of the checkout with some changes. */
async function copyWith(patches: readonly Patch[]): Promise<TempDir> {
  const dir = await tempDir();
  for (
    const path of [
      "mod.ts",
      "deno.json",
      ...COPIED.flatMap((folder) => listFiles(`${folder}/`)),
    ]
  ) {
    await Deno.mkdir(dirname(dir.join(path)), { recursive: true });
    await Deno.copyFile(new URL(path, ROOT), dir.join(path));
  }
  for (const patch of patches) {
    const text = await readIfThere(dir.join(patch.path));
    await Deno.writeTextFile(dir.join(patch.path), patched(text, patch));
  }
  return dir;
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Runs Deno in such a copy. */
async function runWith(patches: readonly Patch[], ...args: string[]): Promise<ChildResult> {
  await using dir = await copyWith(patches);
  // On all methods: those that the quick part leaves to this one are not enough.
  const env = { [PART_VARIABLE]: "" };
  return await runChild(args, { cwd: dir.path, env, timeLimitMs: CHILD_HANG_MS });
}

// --- an operation ---

const OPERATION = checklist("Add an operation");

Deno.test("docs/extending.md: the types of its operation are right", async () => {
  const { code, stderr } = await runWith(OPERATION, "check", RING);
  assertEquals(code, 0, stderr);
});

Deno.test({
  name: "docs/extending.md: its operation runs on every method",
  ignore: !isLinux,
  async fn() {
    const test = ["test", "-A", "--no-check", "--filter", "/readahead|case/", CASES];
    const { code, stdout } = await runWith(OPERATION, ...test);
    assertEquals(code, 0, stdout);
    for (const method of ["held", "worker", "sync"]) {
      assertStringIncludes(stdout, `${method}: start("readahead") is executed by the system`);
    }
  },
});

Deno.test("docs/extending.md canary: without an entry of the ring the types are wrong", async () => {
  const without = OPERATION.filter(({ path }) => path !== RING);
  const { code, stderr } = await runWith(without, "check", RING);
  assertEquals(code, 1, stderr);
  assertStringIncludes(stderr, "is not assignable to parameter of type 'never'");
});

Deno.test({
  name: "docs/extending.md canary: without a case the test of operations fails",
  ignore: !isLinux,
  async fn() {
    const without = OPERATION.filter(({ path }) => path !== CASES);
    const test = ["test", "-A", "--no-check", "--filter", "has a case", CASES];
    const { code, stdout } = await runWith(without, ...test);
    assertEquals(code, 1, stdout);
    assertStringIncludes(stdout, "readahead");
  },
});

// --- a method ---

const METHOD = checklist("Add a method");
/** Operations, and rules of the core. */
const METHOD_TESTS = [
  "tests/core/io/operation_test.ts",
  "tests/core/backend/batch_test.ts",
];

Deno.test({
  name: "docs/extending.md: its method passes the tests of every method",
  ignore: !isLinux,
  async fn() {
    const test = ["test", "-A", "--filter", "/^inline:/", ...METHOD_TESTS];
    const { code, stdout } = await runWith(METHOD, ...test);
    assertEquals(code, 0, stdout);
    assertStringIncludes(stdout, 'inline: start("fsync") is executed by the system');
  },
});

Deno.test({
  name: "docs/extending.md canary: a method that fails each IO fails those tests",
  ignore: !isLinux,
  async fn() {
    const wrong = METHOD.map(({ path, hunks }) => ({
      path,
      hunks: hunks.map(([before, after]) =>
        [
          before,
          after.replace(
            "backend.performSynchronously(handle)",
            "backend.processCompletion(handle, -5)",
          ),
        ] as const
      ),
    }));
    const test = ["test", "-A", "--no-check", "--filter", "/^inline: start/", METHOD_TESTS[0]!];
    const { code, stdout } = await runWith(wrong, ...test);
    assertEquals(code, 1, stdout);
  },
});

// --- a layer ---

const LAYER = checklist("Add a layer");

Deno.test({
  name: "docs/extending.md: its layer runs on every method",
  ignore: !isLinux,
  async fn() {
    const { code, stdout, stderr } = await runWith(
      LAYER,
      "test",
      "-A",
      "tests/storage/blank_test.ts",
    );
    assertEquals(code, 0, stdout + stderr);
    for (const method of ["held", "worker", "sync"]) {
      assertStringIncludes(stdout, `${method}: refuseBlank fails a read of zeros, and no other`);
    }
  },
});

Deno.test({
  name: "docs/extending.md canary: a layer that is not in the list is not there",
  ignore: !isLinux,
  async fn() {
    const without = LAYER.filter(({ path }) => path !== "storage/layers.ts");
    const test = ["test", "-A", "--no-check", "tests/storage/blank_test.ts"];
    const { code, stdout } = await runWith(without, ...test);
    assertEquals(code, 1, stdout);
    assertStringIncludes(stdout, "refuseBlank");
  },
});
