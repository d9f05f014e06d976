/**
 * direct_io.ts: whether file systems of this machine have direct I/O, which only a try can tell.
 *
 * @module
 */

import { Aio } from "../../../storage/mod.ts";
import { mountTmpfs, type TempDir, tempDir, tmpfsAvailable, writeRandomFile } from "../temp.ts";

const isLinux = Deno.build.os === "linux";

/** The alignment that direct I/O wants in a folder; null: it has none. */
async function unitIn(dir: TempDir): Promise<number | null> {
  await using aio = await Aio.open({ arenaBytes: 65_536 });
  await writeRandomFile(dir.join("file"), 65_536, 1);
  await using file = await aio.openFile(dir.join("file"), { direct: "optional" });
  return file.direct ? file.alignment.offset : null;
}

/** That of the folder for temporary files. */
export async function directUnitHere(): Promise<number | null> {
  if (!isLinux) return null;
  await using dir = await tempDir();
  return await unitIn(dir);
}

/** Whether a tmpfs can be mounted, and has direct I/O: it has since Linux 6.6. */
export async function isTmpfsDirect(): Promise<boolean> {
  if (!isLinux || !tmpfsAvailable()) return false;
  await using disk = await mountTmpfs(1024 * 1024);
  return await unitIn(disk) !== null;
}
