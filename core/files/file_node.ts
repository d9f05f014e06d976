/**
 * file_node.ts: which file it is that is open, by whatever name and as often as it may be: on which
 * device it is, and its number there.
 *
 * @module
 */

import { FILE } from "../memory/shared_memory.ts";

/** Which file it is. */
export interface FileNode {
  /** The device it is on. */
  readonly deviceMajor: number;
  /** The device it is on. */
  readonly deviceMinor: number;
  /** Its number on that device, in two words: that can be above 2^53. */
  readonly inodeLow: number;
  /** The upper one. */
  readonly inodeHigh: number;
}

/** Which file is open in a place of the table of open files. */
export function nodeAt(words: Int32Array, at: number): FileNode {
  return {
    deviceMajor: words[at + FILE.deviceMajor]!,
    deviceMinor: words[at + FILE.deviceMinor]!,
    inodeLow: words[at + FILE.inodeLow]!,
    inodeHigh: words[at + FILE.inodeHigh]!,
  };
}

/** Whether they are one file. */
export function isSameNode(one: FileNode, other: FileNode): boolean {
  return one.inodeLow === other.inodeLow && one.inodeHigh === other.inodeHigh &&
    one.deviceMinor === other.deviceMinor && one.deviceMajor === other.deviceMajor;
}
