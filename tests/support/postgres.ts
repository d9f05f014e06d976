/**
 * postgres.ts: a real PostgreSQL cluster for tests. It is made once for a test file, when first
 * asked for: initialised with page checksums, started on a socket in its own folder, filled, and
 * shut down. Tests damage copies of it. The server refuses to run as root, so root makes it as the
 * user `postgres`; the copies belong to whoever runs the tests.
 *
 * @module
 */

import { dirname, join } from "@std/path";
import { type ChildResult, isRoot, runChild, type TempDir, tempDir } from "./temp.ts";

const INSTALLATIONS = "/usr/lib/postgresql";
const VERSION_PREFERRED = 15;
const VERSION_MIN = 12;
/** Later ones have another pg_control, which {@linkcode editControlFile} does not know. */
const VERSION_MAX = 17;
const PROGRAMS = ["initdb", "postgres", "pg_ctl", "psql", "pg_checksums"] as const;
const SERVER_USER = "postgres";

/** What the cluster's relations are for, and how they are made. */
const STATEMENTS = [
  // Some megabytes, with an index, a free space map and a visibility map.
  `create table accounts as
     select id, id % 100 as branch, repeat('x', 84) as filler from generate_series(1, 60000) id`,
  "alter table accounts add primary key (id)",
  "delete from accounts where id % 50 = 0",
  "vacuum accounts",
  // Initialisation forks.
  "create unlogged table scratch (id int primary key, note text)",
  "insert into scratch values (1, 'one'), (2, 'two')",
  // A file in a tablespace.
  "create tablespace elsewhere location 'ELSEWHERE'",
  `create table far_away tablespace elsewhere as
     select id, repeat('y', 50) as filler from generate_series(1, 5000) id`,
  "checkpoint",
] as const;
/** The relations whose files tests look for; the last is shared by all databases. */
const RELATIONS = ["accounts", "accounts_pkey", "scratch_pkey", "far_away", "pg_database"] as const;

/** The server names the files of its own relations by lesser numbers. */
const USER_RELATION_MIN = 16_384;
/** So many files of them stay. */
const CATALOG_FILES = 30;

const CONTROL_CRC_OFFSET = 288;

/** A relation of the cluster. */
export type RelationName = typeof RELATIONS[number];

/** A cluster that is shut down. */
export interface Cluster {
  /** Its data directory. */
  readonly data: string;
  /** The path of a relation's first file; with a suffix (`_vm`, `.1`), of another of its files. */
  file(relation: RelationName, suffix?: string): string;
}

/** The programs' folder, of the version that is preferred or else the newest that is known. */
const binaries = findBinaries();

/** Whether a cluster can be made here. */
export const postgresAvailable: boolean = binaries !== undefined &&
  (!isRoot() || userExists(SERVER_USER));

function findBinaries(): string | undefined {
  let names: string[];
  try {
    names = Array.from(Deno.readDirSync(INSTALLATIONS), (entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  return names.filter((name) => /^\d+$/.test(name)).map(Number)
    .filter((version) => version >= VERSION_MIN && version <= VERSION_MAX)
    .sort((one, other) => versionRank(other) - versionRank(one))
    .map((version) => join(INSTALLATIONS, String(version), "bin"))
    .find((folder) => PROGRAMS.every((program) => isFile(join(folder, program))));
}

function versionRank(version: number): number {
  return version === VERSION_PREFERRED ? Infinity : version;
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function userExists(name: string): boolean {
  return Deno.readTextFileSync("/etc/passwd").split("\n").some((line) =>
    line.startsWith(`${name}:`)
  );
}

/** The cluster, how its relations' files are called, and what it left while it ran. */
interface Template {
  folder: string;
  relationPaths: Readonly<Record<string, string>>;
}

let template: Promise<Template> | undefined;

/** The cluster itself. Tests only read it; it is removed when the test file ends. */
export async function sharedCluster(): Promise<Cluster> {
  template ??= makeTemplate();
  const { folder, relationPaths } = await template;
  return clusterIn(folder, relationPaths);
}

/** A copy of the cluster, to be damaged; it is removed at the end of its scope. */
export async function copyCluster(): Promise<Cluster & TempDir> {
  template ??= makeTemplate();
  const { folder, relationPaths } = await template;
  const copy = await tempDir();
  await mustRun("cp", ["-r", join(folder, "data"), join(folder, "elsewhere"), copy.path]);
  const links = join(copy.path, "data", "pg_tblspc");
  for await (const link of Deno.readDir(links)) {
    await Deno.remove(join(links, link.name));
    await Deno.symlink(join(copy.path, "elsewhere"), join(links, link.name));
  }
  return { ...copy, ...clusterIn(copy.path, relationPaths) };
}

function clusterIn(folder: string, relationPaths: Template["relationPaths"]): Cluster {
  const data = join(folder, "data");
  return { data, file: (relation, suffix = "") => join(data, relationPaths[relation]! + suffix) };
}

/** Puts the pg_control in place that the cluster had while its server ran. */
export async function pretendRunning(cluster: Cluster): Promise<void> {
  template ??= makeTemplate();
  const { folder } = await template;
  await Deno.copyFile(
    join(folder, "pg_control.running"),
    join(cluster.data, "global", "pg_control"),
  );
}

/** Runs PostgreSQL's own pg_checksums, messages in English. */
export async function runPgChecksums(args: string[]): Promise<ChildResult> {
  return await runChild(args, { command: join(binaries!, "pg_checksums"), env: { LC_ALL: "C" } });
}

/**
 * Changes a cluster's pg_control, and makes its checksum right again.
 *
 * @param crc32c What computes the checksum.
 */
export async function editControlFile(
  cluster: Cluster,
  edit: (view: DataView) => void,
  crc32c: (bytes: Uint8Array) => number,
): Promise<void> {
  const path = join(cluster.data, "global", "pg_control");
  const bytes = await Deno.readFile(path);
  const view = new DataView(bytes.buffer);
  edit(view);
  view.setUint32(CONTROL_CRC_OFFSET, crc32c(bytes.subarray(0, CONTROL_CRC_OFFSET)), true);
  await Deno.writeFile(path, bytes);
}

async function makeTemplate(): Promise<Template> {
  const { path: folder } = await tempDir();
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  await Deno.mkdir(join(folder, "elsewhere"));
  if (isRoot()) await mustRun("chown", ["-R", SERVER_USER, folder]);
  const data = join(folder, "data");
  const auth = ["--auth", "trust", "--username", SERVER_USER];
  await runAsServer(folder, "initdb", ["-k", "-N", "--locale", "C", ...auth, "-D", data]);

  const settings = `-c listen_addresses= -c unix_socket_directories=${folder} -c fsync=off`;
  const log = join(folder, "log");
  await runAsServer(folder, "pg_ctl", ["start", "-w", "-D", data, "-l", log, "-o", settings]);
  let relationPaths: Template["relationPaths"];
  try {
    relationPaths = await fillCluster(folder);
    await Deno.copyFile(
      join(data, "global", "pg_control"),
      join(folder, "pg_control.running"),
    );
  } finally {
    await runAsServer(folder, "pg_ctl", ["stop", "-w", "-D", data, "-m", "fast"]);
  }
  // The log of changes has no pages of relations, the templates of databases have what the database
  // has, and they are most of what a copy would copy.
  await Deno.remove(join(data, "pg_wal"), { recursive: true });
  const own = dirname(join(data, relationPaths["accounts"]!));
  for (const { name } of [...Deno.readDirSync(dirname(own))]) {
    const path = join(dirname(own), name);
    if (path !== own) await Deno.remove(path, { recursive: true });
  }
  await removeCatalogs(own);
  return { folder, relationPaths };
}

/**
 * Removes most of a database's catalogs: making so many small files is most of what a copy costs.
 */
async function removeCatalogs(database: string): Promise<void> {
  const catalogs = Array.from(Deno.readDirSync(database), ({ name }) => name).sort()
    .filter((name) => /^\d/.test(name) && parseInt(name) < USER_RELATION_MIN);
  for (const name of catalogs.slice(CATALOG_FILES)) await Deno.remove(join(database, name));
}

async function fillCluster(folder: string): Promise<Template["relationPaths"]> {
  const elsewhere = join(folder, "elsewhere");
  const statements = STATEMENTS.flatMap((sql) => ["-c", sql.replace("ELSEWHERE", elsewhere)]);
  const connection = ["-X", "-q", "-h", folder, "-U", SERVER_USER, "-d", "postgres"];
  await runAsServer(folder, "psql", [...connection, "-v", "ON_ERROR_STOP=1", ...statements]);

  const query = RELATIONS.map((name) => `select '${name}', pg_relation_filepath('${name}')`);
  const rows = await runAsServer(folder, "psql", [
    ...connection,
    "-A",
    "-t",
    "-c",
    query.join(" union "),
  ]);
  return Object.fromEntries(rows.trim().split("\n").map((row) => row.split("|")));
}

async function runAsServer(folder: string, program: string, args: string[]): Promise<string> {
  const path = join(binaries!, program);
  if (!isRoot()) return await mustRun(path, args, folder);
  return await mustRun("runuser", ["-u", SERVER_USER, "--", path, ...args], folder);
}

async function mustRun(command: string, args: string[], cwd?: string): Promise<string> {
  const { code, stdout, stderr } = await runChild(args, {
    command,
    env: { LC_ALL: "C" },
    ...(cwd === undefined ? {} : { cwd }),
  });
  if (code === 0) return stdout;
  throw new Error(`Cannot make a cluster as ${command} failed with ${code}: ${stderr || stdout}`);
}
