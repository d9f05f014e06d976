/**
 * Opens a cluster: makes sure that a directory is one whose pages can be checked, before a single
 * page is read. `main.ts` begins with it; `control_file.ts` and `scan.ts` do the parts.
 *
 * @module
 */

import { type ControlFile, readControlFile } from "./control_file.ts";
import { CheckFailure, errorCode, systemFailure } from "./failure.ts";
import { FileSearch } from "./scan.ts";

/** A cluster that can be checked. */
export interface Cluster {
  control: ControlFile;
  /**
   * A search for the files with pages.
   *
   * @param signal Ends it early.
   */
  search(signal: AbortSignal): FileSearch;
}

/**
 * Opens a cluster.
 *
 * @param dataDirectory The cluster's directory.
 * @throws {CheckFailure} It is no cluster's directory, or the cluster cannot be checked.
 */
export async function openCluster(dataDirectory: string): Promise<Cluster> {
  await requireDirectory(dataDirectory);
  const control = await readControlFile(dataDirectory);
  const majorVersion = await readMajorVersion(dataDirectory);
  // What the server calls its own directory in every tablespace.
  const versionDirectory = `PG_${majorVersion}_${control.catalogVersion}`;
  return { control, search: (signal) => new FileSearch(dataDirectory, versionDirectory, signal) };
}

async function requireDirectory(path: string): Promise<void> {
  let info: Deno.FileInfo;
  try {
    info = await Deno.stat(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") {
      throw new CheckFailure(`data directory "${path}" does not exist`, { cause: error });
    }
    throw systemFailure(`could not access data directory "${path}"`, error);
  }
  if (!info.isDirectory) throw new CheckFailure(`data directory "${path}" is not a directory`);
}

async function readMajorVersion(dataDirectory: string): Promise<string> {
  const path = `${dataDirectory}/PG_VERSION`;
  let majorVersion: string;
  try {
    majorVersion = (await Deno.readTextFile(path)).trim();
  } catch (error) {
    const step = `"${dataDirectory}" is not a database cluster: could not read file "${path}"`;
    throw systemFailure(step, error);
  }
  if (/^\d+$/.test(majorVersion)) return majorVersion;
  throw new CheckFailure(`file "${path}" does not hold a version number`);
}
