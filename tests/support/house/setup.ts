/**
 * setup.ts: run by `deno task test` before the tests. Looks for what some of them need beyond Deno;
 * where something is missing and this is root on a machine with `apt-get`, installs it, else says
 * how to and that those tests will be ignored, by name. It never fails the run itself: a test whose
 * need is not met is ignored and says so, and `.ci/run` refuses ignored tests.
 *
 * @module
 */

/** A package of the system that tests need. */
export interface Prerequisite {
  /** Its name in Debian. */
  readonly package: string;
  /** Which tests need it, and for what. */
  readonly why: string;
  /** What the tests use of it: all files of one of these groups must exist. */
  readonly anyOf: readonly (readonly string[])[];
}

const LIBRARY_FOLDERS = [
  `/usr/lib/${Deno.build.arch}-linux-gnu`,
  `/lib/${Deno.build.arch}-linux-gnu`,
  "/usr/lib64",
  "/lib64",
  "/usr/lib",
  "/lib",
  "/usr/local/lib",
] as const;
/** The versions that `postgres.ts` can use; the first is installed where none of them is there. */
const POSTGRESQL_VERSIONS = [15, 17, 16, 14, 13, 12] as const;
const POSTGRESQL_PROGRAMS = ["initdb", "postgres", "pg_ctl", "pg_checksums", "psql"] as const;

function programFolders(name: string): string[][] {
  return ["/usr/sbin", "/sbin"].map((folder) => [`${folder}/${name}`]);
}

/** All that the tests need beyond Deno. */
export const PREREQUISITES: readonly Prerequisite[] = [
  {
    package: "liburing2",
    why: "one of the two ways in which the io_uring method reaches the kernel goes through it",
    anyOf: LIBRARY_FOLDERS.map((folder) => [`${folder}/liburing.so.2`]),
  },
  {
    package: "postgresql-15",
    why: "examples/pg_checksums is compared with PostgreSQL's own, on a cluster made by initdb",
    anyOf: POSTGRESQL_VERSIONS.map((version) =>
      POSTGRESQL_PROGRAMS.map((program) => `/usr/lib/postgresql/${version}/bin/${program}`)
    ),
  },
  {
    package: "xfsprogs",
    why: "the event loop is watched while an XFS stands still, and its files get space and holes",
    anyOf: programFolders("mkfs.xfs"),
  },
  {
    package: "e2fsprogs",
    why: "the event loop is watched while an ext4 stands still",
    anyOf: programFolders("mkfs.ext4"),
  },
  {
    package: "squashfs-tools",
    why: "files of an overlay over a squashfs have no direct I/O, though the system says they have",
    anyOf: [["/usr/bin/mksquashfs"]],
  },
  {
    package: "btrfs-progs",
    why: "btrfs does not say how direct I/O is to be aligned, and its files get space and holes",
    anyOf: programFolders("mkfs.btrfs"),
  },
];

/**
 * Debian's postgresql-15 makes and starts a database cluster named "main" when it is installed,
 * unless told not to. The tests make their own cluster in a temporary folder and never want a
 * server on the machine. Of the ways to say so this leaves the least behind: a drop-in beside
 * PostgreSQL's configuration, there only while `apt-get` runs. Settings that are already there
 * stay as they are, clusters that exist are not touched, and a later installation of another
 * version makes its cluster as ever. (`policy-rc.d` would forbid every service of the machine to
 * start meanwhile; editing `createcluster.conf` would change a file that is the user's.)
 * Without a cluster the service that the package starts has nothing to run.
 */
const CLUSTER_FOLDER = "/etc/postgresql-common/createcluster.d";
const CLUSTER_DROP_IN = `${CLUSTER_FOLDER}/zz-deno-aio-tests.conf`;
const CLUSTER_TEXT =
  "# Made by deno-aio's tests/support/house/setup.ts for the time of one apt-get run.\n" +
  "create_main_cluster = false\n";

const APT_OPTIONS = ["-qq", "-o", "Acquire::http::Timeout=30", "-o", "DPkg::Lock::Timeout=120"];
const APT_TIME_LIMIT_MS = 10 * 60_000;
const APT_ATTEMPTS_MAX = 2;

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false; // Unreadable counts as missing: a test could not use it either.
  }
}

/** What is missing, judged by the files that the tests use and not by a package manager's word. */
export function findMissing(
  prerequisites: readonly Prerequisite[],
  has: (path: string) => boolean = exists,
): Prerequisite[] {
  return prerequisites.filter((it) => !it.anyOf.some((group) => group.every(has)));
}

/** The commands that install packages, each with its arguments. */
export function installCommands(packages: readonly string[]): string[][] {
  return [
    ["apt-get", ...APT_OPTIONS, "update"],
    ["apt-get", ...APT_OPTIONS, "install", "-y", "--no-install-recommends", ...packages],
  ];
}

/** What a person would type for the same. */
export function manualCommand(packages: readonly string[]): string {
  return "apt-get update && DEBIAN_FRONTEND=noninteractive " +
    `apt-get install -y --no-install-recommends ${packages.join(" ")}`;
}

function say(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`setup: ${text}\n`));
}

function isSupported(): boolean {
  return Deno.build.os === "linux" && Deno.uid() === 0 && exists("/usr/bin/apt-get");
}

/** Runs a command; false if it fails, is missing or takes too long. Its output is shown then. */
async function run([command, ...args]: readonly string[]): Promise<boolean> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(command ?? "", {
      args,
      env: { DEBIAN_FRONTEND: "noninteractive" },
      stdin: "null",
      signal: AbortSignal.timeout(APT_TIME_LIMIT_MS),
    }).output();
    if (success) return true;
    for (const text of [stdout, stderr]) Deno.stderr.writeSync(text);
  } catch (error) {
    say(`${command} did not run: ${error instanceof Error ? error.message : error}`);
  }
  return false;
}

/** Puts the drop-in in its place; returns what takes away again all that it made. */
function forbidMainCluster(): () => void {
  if (exists(CLUSTER_DROP_IN)) return () => Deno.removeSync(CLUSTER_DROP_IN);
  const made = exists(CLUSTER_FOLDER) ? [] : [CLUSTER_FOLDER];
  Deno.mkdirSync(CLUSTER_FOLDER, { recursive: true });
  Deno.writeTextFileSync(CLUSTER_DROP_IN, CLUSTER_TEXT);
  return () => {
    Deno.removeSync(CLUSTER_DROP_IN);
    for (const folder of made) {
      if ([...Deno.readDirSync(folder)].length === 0) Deno.removeSync(folder);
    }
  };
}

async function install(packages: readonly string[]): Promise<void> {
  const undo = packages.some((name) => name.startsWith("postgresql-"))
    ? forbidMainCluster()
    : () => {};
  try {
    for (let attempt = 1; attempt <= APT_ATTEMPTS_MAX; attempt++) {
      let succeeded = true;
      // An update may fail for a source that is not needed, so the installation is tried anyway.
      for (const command of installCommands(packages)) succeeded = await run(command);
      if (succeeded) return;
      if (attempt < APT_ATTEMPTS_MAX) say("apt-get failed; trying once more");
    }
  } finally {
    undo();
  }
}

function sayMissing(missing: readonly Prerequisite[], reason: string): void {
  say(`${reason}. These are missing:`);
  for (const it of missing) say(`  ${it.package}: ${it.why}`);
  say("The tests that need them are ignored, by name. To run them too, as root on Debian:");
  say(`  ${manualCommand(missing.map((it) => it.package))}`);
}

async function main(): Promise<void> {
  const missing = findMissing(PREREQUISITES);
  if (missing.length === 0) return;
  if (!isSupported()) {
    sayMissing(missing, "Nothing is installed, as this is not root on a machine with apt-get");
    return;
  }
  for (const it of missing) say(`installing ${it.package} with apt-get: ${it.why}`);
  try {
    await install(missing.map((it) => it.package));
  } catch (error) {
    say(`the installation broke off: ${error instanceof Error ? error.message : error}`);
  }
  const left = findMissing(missing);
  if (left.length > 0) sayMissing(left, "The installation did not succeed");
  else say("installed");
}

if (import.meta.main) await main();
