/**
 * file_systems.ts: the file systems that tests of what differs among them run on, each by its name.
 *
 * @module
 */

import { shareAmongTests } from "../shared.ts";
import { mountTmpfs, tmpfsAvailable } from "../temp.ts";
import {
  btrfsAvailable,
  mountBtrfs,
  type Mounted,
  mountOverlay,
  overlayAvailable,
} from "./mounted.ts";
import { diskAvailable, makeDisk } from "./stuck_disk.ts";

const TMPFS_BYTES = 16 * 1024 * 1024;

/** One of them. */
export interface FileSystem {
  /** Its name, as errors have it. */
  readonly name: string;
  /** Whether it can be mounted here. */
  readonly isPossible: boolean;
  /** Whether it shares the blocks of what is copied. */
  readonly sharesBlocks: boolean;
  /** Whether it makes ranges zeros. */
  readonly zeroes: boolean;
  /** Mounts an empty one. */
  mount(): Promise<Mounted>;
}

/** All of them. */
export const FILE_SYSTEMS: readonly FileSystem[] = [
  {
    name: "ext4",
    isPossible: diskAvailable("ext4"),
    sharesBlocks: false,
    zeroes: true,
    mount: () => makeDisk("ext4"),
  },
  {
    name: "xfs",
    isPossible: diskAvailable("xfs"),
    sharesBlocks: true,
    zeroes: true,
    mount: () => makeDisk("xfs"),
  },
  {
    name: "btrfs",
    isPossible: btrfsAvailable(),
    sharesBlocks: true,
    zeroes: true,
    mount: mountBtrfs,
  },
  {
    name: "tmpfs",
    isPossible: tmpfsAvailable(),
    sharesBlocks: false,
    zeroes: false,
    mount: () => mountTmpfs(TMPFS_BYTES),
  },
  {
    // Over a tmpfs, which has what it is asked for.
    name: "overlayfs",
    isPossible: overlayAvailable(),
    sharesBlocks: false,
    zeroes: false,
    mount: () => mountOverlay({}),
  },
];

/** A file system of one name, shared among the tests of a file (shared.ts). */
export function shareFileSystem(name: string): () => Mounted {
  const { mount, isPossible } = FILE_SYSTEMS.find((one) => one.name === name)!;
  return shareAmongTests(mount, isPossible);
}
