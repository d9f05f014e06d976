/**
 * plan.ts: what a run of the tests is about, and which files share a process.
 *
 * A process of `deno test` takes longer to start than most files take, so several files run in one,
 * one after the other, in one isolate (`group.ts`). Files of the long part, which take minutes,
 * have a process each. The slow files of the quick part begin, and the groups shrink towards the
 * end: so all lanes end at about the same time.
 *
 * @module
 */

import { join } from "@std/path";
import { Prng } from "../prng.ts";
import { LONG_FILE } from "./part.ts";
import { THINNED_FILES } from "./thinning.ts";

const TEST_FILE = /_test\.ts$/;
/** What files call that leave variants, or some of the methods, to the long part: see turns.ts. */
const LEAVE_SOME = [
  "isQuickPart",
  "methodsOfPart",
  "new Turns",
  "test(?:Each|Shared)\\w+",
  "test(?:AbortedReads|Append\\w*|At|CloseGivenUp|CoresAtOnce|Log\\w*|MethodProgram|OnFuse|Pages|Pool\\w*)",
];
const LEAVES_SOME = new RegExp(`\\b(?:${LEAVE_SOME.join("|")})\\(`);
/** Most files of one process: whatever crashes it takes the results of those behind it along. */
const FILES_PER_PROCESS_MAX = 20;
/** Fewest, but for the last: a process takes longer to start than most files take. */
const FILES_PER_PROCESS_MIN = 2;

/** Files of the quick part that take several times as long as most, the slowest first. */
export const SLOW_FILES: readonly string[] = [
  "tests/methods/io_uring/lifetime_test.ts",
  "tests/core/life/deaths_test.ts",
  "tests/examples/demo_test.ts",
  "tests/methods/worker_test.ts",
  "tests/core/threads_test.ts",
  "tests/methods/worker/loop_test.ts",
  "tests/methods/stuck_disk_test.ts",
  "tests/methods/io_uring_test.ts",
  "tests/core/life/layer_threads_test.ts",
  "tests/methods/io_uring/fault_test.ts",
  "tests/examples/pg_checksums_test.ts",
  "tests/tidy_test.ts",
];

/** Files about what a whole process or isolate has, which other files must not share. */
export const LONE_FILES: readonly string[] = [
  "tests/core/base/call_workers_test.ts",
  "tests/ffi/libc_test.ts",
  "tests/methods/linux_aio_test.ts",
];

/** Files about what lies above the methods: a run with mapped rings has some of them, drawn. */
const ABOVE_METHODS =
  /^tests\/storage\/(?:log|pool|stream)\/|(?:saturation|user_test)_long_test\.ts$/;
/** Files that make networked storage, for minutes, and need servers: a task of their own. */
const OWN_TASK = /^tests\/networked\//;
/** One in so many. */
const DRAWN_OF = 3;

/** What to run. */
export interface TestPlan {
  /** Which part of the suite; empty: all. */
  readonly part: string;
  /** Options of `deno test`. */
  readonly options: readonly string[];
  /** Test files. */
  readonly files: readonly string[];
}

/** Test files in a folder, or the file itself. */
function listTests(path: string): string[] {
  if (!Deno.statSync(path).isDirectory) return [path];
  return [...Deno.readDirSync(path)].sort((a, b) => a.name < b.name ? -1 : 1)
    .filter(({ name, isDirectory }) => isDirectory || TEST_FILE.test(name))
    .flatMap(({ name }) => listTests(join(path, name)));
}

/** Whether a file has something for the long part. */
export function isLong(path: string): boolean {
  return LONG_FILE.test(path) || path in THINNED_FILES ||
    LEAVES_SOME.test(Deno.readTextFileSync(path));
}

/** Understands the arguments. */
export function planOf(args: readonly string[]): TestPlan {
  const parts = ["--quick", "--long", "--mapped"];
  const [part] = args.filter((arg) => parts.includes(arg));
  const paths = args.filter((arg) => !arg.startsWith("-"));
  const isWanted = (path: string) =>
    part === "--long" ? isLong(path) : part !== "--quick" || !LONG_FILE.test(path);
  const all = paths.length > 0
    ? paths.flatMap(listTests)
    : listTests("tests").filter((path) => !OWN_TASK.test(path));
  const files = all.filter(isWanted);
  return {
    part: part?.slice(2) ?? "",
    options: args.filter((arg) => arg.startsWith("-") && !parts.includes(arg)),
    files: part === "--mapped" ? drawFiles(files) : files,
  };
}

/** Leaves out most files in which the rings hardly matter: others in each run, by its seed. */
export function drawFiles(files: readonly string[], prng = new Prng()): string[] {
  const above = files.filter((file) => ABOVE_METHODS.test(file));
  const drawn = prng.shuffled(above).slice(0, Math.ceil(above.length / DRAWN_OF));
  return files.filter((file) => !above.includes(file) || drawn.includes(file));
}

/** Puts together the files that share a process, in the order in which the groups begin. */
export function groupFiles(files: readonly string[], lanes: number): string[][] {
  const isLone = (file: string) => LONG_FILE.test(file) || LONE_FILES.includes(file);
  const groups = files.filter(isLone).map((file) => [file]);
  const left = files.filter((file) => !isLone(file))
    .sort((a, b) => slownessOf(b) - slownessOf(a)).reverse();
  while (left.length > 0) {
    const share = Math.ceil(left.length / (2 * lanes));
    const count = Math.max(FILES_PER_PROCESS_MIN, Math.min(share, FILES_PER_PROCESS_MAX));
    groups.push(left.splice(-count).reverse());
  }
  return groups;
}

/** The more, the sooner a file begins. */
function slownessOf(file: string): number {
  const place = SLOW_FILES.indexOf(file);
  return place < 0 ? 0 : SLOW_FILES.length - place;
}
