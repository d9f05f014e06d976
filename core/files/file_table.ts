/**
 * file_table.ts: the table of open files, shared by all threads, and the target `file`.
 *
 * Threads share file descriptors, so closing one is everybody's business. Each open file has a slot
 * with its users counted; the last one to close it sets the closing mark, after which no IO can
 * start on it, and only then is the descriptor closed and its number free for another file.
 *
 * @module
 */

import * as addresses from "../../ffi/memory.ts";
import { assert } from "../base/assert.ts";
import * as callbacks from "../io/callback.ts";
import type { AioHandle } from "../io/handle.ts";
import * as states from "../memory/handle_state.ts";
import * as locks from "../memory/lock.ts";
import type { IsThreadAlive } from "../memory/lock.ts";
import * as table from "../io/operation_table.ts";
import { refuseCallbacks, refuseState, refuseTarget } from "../io/refusals.ts";
import * as results from "../io/result.ts";
import { CopyingMark } from "./copying_mark.ts";
import { FileEnds } from "./file_ends.ts";
import { type FileNode, isSameNode, nodeAt } from "./file_node.ts";
import type { FileSlot } from "./file_slot.ts";
import * as layout from "../memory/shared_memory.ts";
import { type Control, FILE_PATH_BYTES } from "../memory/shared_memory.ts";
import * as targets from "../io/target.ts";
import type { AioTarget } from "../io/target.ts";

// Constants of this module's own: V8 folds those, and loads imported ones anew at each use.
const { fromWords, highWord, lowWord } = addresses;
const { CALLBACKS_MAX } = callbacks;
const { HANDED_OUT } = states;
const { locked } = locks;
const { OP_INVALID } = table;
const { TARGET_DATA_WORDS } = results;
const { FILE_TARGET } = targets;
const { FILE, HANDLE, HEADER } = layout;

/** How a file was opened, as bits of its slot's flags. */
export const FILE_FLAGS = {
  read: 1,
  write: 2,
  direct: 4,
  dsync: 8,
  /** Its descriptor is Deno's own: only the thread that opened it closes it. */
  isDenos: 16,
  /** Its file system is FUSE, which makes a submit wait: see handle_flag.ts. */
  isFuse: 32,
  /**
   * Its file system writes back when a descriptor is closed: closing can fail, or wait for a
   * server.
   */
  flushesAtClose: 64,
  /** Ranges of it were locked: they are unlocked before it is closed. */
  hasLocks: 128,
  /** It was made without a name. */
  isTemporary: 256,
} as const;

const LOCKED_ON_SERVER = FILE_FLAGS.hasLocks | FILE_FLAGS.flushesAtClose;

/** In place of a descriptor that is being closed, or not there yet. */
const NO_FD = -1;

/** The closing mark: IO may start on the file. */
const OPEN = 0;
/** Its last user is closing it, or its first is still opening it. */
const CLOSING = 1;

/** What the table keeps of an open file. */
export interface OpenFileEntry extends FileNode {
  /** The descriptor, the same in all threads. */
  readonly fd: number;
  /** Bits of {@linkcode FILE_FLAGS}. */
  readonly flags: number;
  /** What a buffer's address must be a multiple of. */
  readonly memoryAlignment: number;
  /** What an offset and a length must be a multiple of. */
  readonly offsetAlignment: number;
  /** Its path; the last 200 bytes are kept. */
  readonly path: string;
}

/** A file whose last user has died: `fd` is -1 where that one had begun to close it. */
export type LeftFile = Pick<OpenFileEntry, "fd" | "flags"> & Pick<FileSlot, "slot">;

/** What a file gives all its IOs. */
export interface FileIdentity extends FileSlot {
  /** The id of the target `file`. */
  readonly targetId: number;
  /** Bits of `FLAG_BITS`. */
  readonly flags: number;
  /** The byte that goes with the callback: 1 where its writes are durable by themselves. */
  readonly callbackData: number;
}

/**
 * Gives an IO a file as its target, the callback nearest to that, and flags: in one step, as three
 * calls of the handle are felt in a cached read. State: handedOut, with its buffers.
 *
 * @throws as `handle.setTarget()` and `handle.registerCallbacks()`
 */
export function handDown(
  handle: AioHandle,
  file: FileIdentity,
  offset: number,
  callbackId: number,
): void {
  const { words, base } = handle;
  const state = words[base + HANDLE.state]!;
  if (state !== HANDED_OUT) {
    refuseState("setTarget", handle.index, state, "acquire a handle for each IO");
  }
  if (words[base + HANDLE.target] !== 0) {
    refuseTarget(handle.index, file.targetId, handle.targetName, TARGET_DATA_WORDS);
  }
  const count = words[base + HANDLE.callbackCount]!;
  if (count >= CALLBACKS_MAX) refuseCallbacks(true, callbackId, count, 0);
  const at = base + HANDLE.targetData;
  words[at + FILE_TARGET.slot] = file.slot;
  words[at + FILE_TARGET.slotGeneration] = file.generation;
  words[at + FILE_TARGET.offsetLow] = lowWord(offset);
  words[at + FILE_TARGET.offsetHigh] = highWord(offset);
  words[at + FILE_TARGET.length] = handle.length;
  words[at + FILE_TARGET.isAppend] = 0;
  words[base + HANDLE.target] = file.targetId;
  words[base + HANDLE.callbackIds + count] = callbackId;
  words[base + HANDLE.callbackData + count] = file.callbackData;
  words[base + HANDLE.callbackCount] = count + 1;
  words[base + HANDLE.flags]! |= file.flags;
}

/** The table as one thread sees it. */
export class OpenFileTable {
  /** Where the files end that are appended to. */
  readonly ends: FileEnds;
  /** What this thread reads without an IO. */
  readonly copying: CopyingMark;
  readonly #control: Control;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #threadId: number;
  readonly #isThreadAlive: IsThreadAlive;
  readonly #bit: number;
  /** How often this thread uses each slot: in shared memory it counts once. */
  readonly #uses = new Map<number, number>();
  readonly #maxFiles: number;

  /**
   * @param control where it is
   * @param threadId this thread's id, for the lock
   * @param isThreadAlive asks the system whether another holder of the lock still runs
   * @param backendId whose bit is set in the files that this thread uses
   */
  constructor(
    control: Control,
    threadId: number,
    isThreadAlive: IsThreadAlive = () => true,
    backendId = 0,
  ) {
    this.#bit = 1 << backendId;
    this.#control = control;
    this.#words = control.words;
    this.#threadId = threadId;
    this.#isThreadAlive = isThreadAlive;
    this.#maxFiles = control.words[HEADER.maxFiles]!;
    this.ends = new FileEnds(control, threadId, isThreadAlive, backendId, this.#uses);
    this.copying = new CopyingMark(control, backendId);
  }

  #at(slot: number): number {
    return this.#control.fileAt(slot);
  }

  #locked<T>(use: () => T): T {
    return locked(this.#words, HEADER.filesLock, this.#threadId, this.#isThreadAlive, use);
  }

  /**
   * Takes a slot for a file that is about to be opened, with one user. No other thread finds it
   * before {@linkcode publish}. A slot whose file was closed is taken again as late as possible,
   * because its path still serves reports of IO on that file.
   *
   * @returns null if all are taken
   */
  reserve(): FileSlot | null {
    return this.#locked(() => {
      const first = this.#words[HEADER.filesNext]!;
      for (let tried = 0; tried < this.#maxFiles; tried++) {
        const slot = (first + tried) % this.#maxFiles;
        const at = this.#at(slot);
        if (this.#words[at + FILE.references] !== 0) continue;
        this.#words[HEADER.filesNext] = slot + 1;
        // Counted from the uses that have ended, as a thread may have died right after this store.
        // From here on the path is not the old file's any more.
        const generation = this.#words[at + FILE.ends]! + 1 | 0;
        Atomics.store(this.#words, at + FILE.generation, generation);
        this.#words[at + FILE.closing] = CLOSING;
        this.#words[at + FILE.fd] = NO_FD;
        this.#words[at + FILE.pathLength] = 0;
        this.#words[at + FILE.endRecord] = 0;
        Atomics.store(this.#words, at + FILE.references, this.#bit);
        this.#uses.set(slot, 1);
        return { slot, generation };
      }
      return null;
    });
  }

  /**
   * The file of a reserved slot is open. The mark comes last: no thread reads the rest before it.
   */
  publish({ slot }: FileSlot, entry: OpenFileEntry): void {
    const words = this.#words;
    const at = this.#at(slot);
    assert(words[at + FILE.closing] === CLOSING, "An open file is opened once more");
    words[at + FILE.fd] = entry.fd;
    words[at + FILE.deviceMajor] = entry.deviceMajor;
    words[at + FILE.deviceMinor] = entry.deviceMinor;
    words[at + FILE.inodeLow] = entry.inodeLow;
    words[at + FILE.inodeHigh] = entry.inodeHigh;
    words[at + FILE.flags] = entry.flags;
    words[at + FILE.memoryAlignment] = entry.memoryAlignment;
    words[at + FILE.offsetAlignment] = entry.offsetAlignment;
    const path = lastBytes(new TextEncoder().encode(entry.path));
    words[at + FILE.pathLength] = path.byteLength;
    this.#control.bytes.set(path, (at + FILE.path) * Int32Array.BYTES_PER_ELEMENT);
    Atomics.store(words, at + FILE.closing, OPEN);
    this.ends.linkPublished(slot);
  }

  /** Gives a reserved slot back whose file was not opened. */
  unreserve({ slot }: FileSlot): void {
    this.#uses.delete(slot);
    this.free(slot);
  }

  /** Adds a user to an open file. @returns false if it was closed meanwhile */
  tryAttach(file: FileSlot): boolean {
    if (!Number.isInteger(file.slot) || file.slot < 0 || file.slot >= this.#maxFiles) return false;
    return this.#locked(() => {
      const at = this.#at(file.slot);
      if (this.isClosing(file.slot, file.generation)) return false;
      if (this.#words[at + FILE.references] === 0) return false;
      this.#words[at + FILE.references]! |= this.#bit;
      this.#uses.set(file.slot, (this.#uses.get(file.slot) ?? 0) + 1);
      return true;
    });
  }

  /**
   * Takes a user away. The last one gets the closing mark set: it closes the descriptor, which from
   * now on only it knows, and then calls {@linkcode free}.
   *
   * @returns whether that was the last one
   */
  detach(slot: number): boolean {
    const uses = this.#uses.get(slot) ?? 0;
    assert(uses > 0, "A file lost more users than it had");
    if (uses > 1) {
      this.#uses.set(slot, uses - 1);
      return false;
    }
    this.#uses.delete(slot);
    return this.#locked(() => this.#removeUser(slot, this.#bit));
  }

  /**
   * The caller holds the lock.
   *
   * @returns whether that was the last one: its bit stays until the end
   */
  #removeUser(slot: number, bit: number): boolean {
    const at = this.#at(slot);
    const others = this.#words[at + FILE.references]! & ~bit;
    if (others !== 0) {
      Atomics.store(this.#words, at + FILE.references, others);
      return false;
    }
    Atomics.store(this.#words, at + FILE.closing, CLOSING);
    // If this thread dies before it closes it, a number is lost: whoever reaps it must not close
    // one that is another file's by then.
    Atomics.store(this.#words, at + FILE.fd, NO_FD);
    return true;
  }

  /**
   * Takes a backend that has died away from all files.
   *
   * @param mayBlock whether the caller may block; if not, files stay the dead one's whose end may
   * @returns the files that it was the last user of, to be unlocked, closed and freed
   */
  removeBackend(backendId: number, mayBlock: boolean): LeftFile[] {
    const bit = 1 << backendId;
    const left: LeftFile[] = [];
    this.#locked(() => {
      for (let slot = 0; slot < this.#maxFiles; slot++) {
        const at = this.#at(slot);
        if ((this.#words[at + FILE.references]! & bit) === 0) continue;
        const isLast = this.#words[at + FILE.references] === bit;
        if (!mayBlock && isLast && this.#mayEndBlock(at)) continue;
        const [fd, flags] = [this.#words[at + FILE.fd]!, this.#words[at + FILE.flags]!];
        if (this.#removeUser(slot, bit)) left.push({ slot, fd, flags });
      }
    });
    // It may have freed one and died before it told of that.
    for (let slot = 0; slot < this.#maxFiles; slot++) this.#tellOver(slot);
    return left;
  }

  /** Whether the end of a file may block, by closing a descriptor or unlocking at a server. */
  #mayEndBlock(at: number): boolean {
    const flags = this.#words[at + FILE.flags]!;
    const isLockedThere = (flags & LOCKED_ON_SERVER) === LOCKED_ON_SERVER;
    return this.#words[at + FILE.fd]! >= 0 && (isLockedThere || (flags & FILE_FLAGS.isDenos) === 0);
  }

  /** Whether a backend is the last user of any file whose end may block. */
  isLastOfAny(backendId: number): boolean {
    const bit = 1 << backendId;
    for (let slot = 0; slot < this.#maxFiles; slot++) {
      const at = this.#at(slot);
      if (Atomics.load(this.#words, at + FILE.references) !== bit) continue;
      if (this.#mayEndBlock(at)) return true;
    }
    return false;
  }

  /** A thread is about to lock a range of a file that it uses. */
  noteLock(slot: number): void {
    Atomics.or(this.#words, this.#at(slot) + FILE.flags, FILE_FLAGS.hasLocks);
  }

  /** Whether any thread has locked a range of a file. */
  hasLocks(slot: number): boolean {
    return (Atomics.load(this.#words, this.#at(slot) + FILE.flags) & FILE_FLAGS.hasLocks) !== 0;
  }

  /** Makes the slot of a closed file free, and wakes whoever awaits {@linkcode over}. */
  free(slot: number): void {
    const at = this.#at(slot);
    this.#locked(() => {
      // No sum: after a death between these stores the reaper does both once more.
      Atomics.store(this.#words, at + FILE.ends, this.#words[at + FILE.generation]!);
      Atomics.store(this.#words, at + FILE.references, 0);
    });
    this.#tellOver(slot);
  }

  /** Wakes whoever awaits {@linkcode over}: perhaps of the next file in the slot by now. */
  #tellOver(slot: number): void {
    Atomics.notify(this.#words, this.#at(slot) + FILE.ends);
  }

  /** Whether all users of a file, in all threads, are done with it. */
  isOver({ slot, generation }: FileSlot): boolean {
    return Atomics.load(this.#words, this.#at(slot) + FILE.ends) !== (generation - 1 | 0);
  }

  /** Resolves when all users of a file are done with it. This keeps no event loop alive. */
  async over(file: FileSlot): Promise<void> {
    const { slot, generation } = file;
    while (!this.isOver(file)) {
      await Atomics.waitAsync(this.#words, this.#at(slot) + FILE.ends, generation - 1 | 0).value;
    }
  }

  /** Whether no IO may start on a file any more: it is being closed, or was. */
  isClosing(slot: number, generation: number): boolean {
    const at = this.#at(slot);
    return this.#words[at + FILE.closing] !== 0 || this.#words[at + FILE.generation] !== generation;
  }

  /**
   * Refuses an IO on a file that is being closed. The operation was set before, so that the thread
   * that closes the file sees it if this one does not see the mark: see closing_fd.ts.
   *
   * @throws {Deno.errors.BadResource} naming the file
   */
  checkOpen(handle: { readonly words: Int32Array; readonly base: number }): void {
    const at = handle.base + HANDLE.targetData;
    const slot = handle.words[at + FILE_TARGET.slot]!;
    const generation = handle.words[at + FILE_TARGET.slotGeneration]!;
    if (this.isClosing(slot, generation)) this.#refuse(handle);
  }

  #refuse({ words, base }: { readonly words: Int32Array; readonly base: number }): never {
    const at = base + HANDLE.targetData;
    words[base + HANDLE.operation] = OP_INVALID;
    const what = this.target().describeIdentity(words.subarray(at, at + TARGET_DATA_WORDS));
    throw new Deno.errors.BadResource(`Cannot start IO on ${what}: it is closed`);
  }

  /** Sets the closing mark of the files with a descriptor. @returns their places in the table */
  markClosing(fd: number): number[] {
    const marked: number[] = [];
    this.#locked(() => {
      for (let slot = 0; slot < this.#maxFiles; slot++) {
        const at = this.#at(slot);
        if (this.#words[at + FILE.references] === 0 || this.#words[at + FILE.fd] !== fd) continue;
        Atomics.store(this.#words, at + FILE.closing, CLOSING);
        marked.push(slot);
      }
    });
    return marked;
  }

  /**
   * What the table keeps of a file; null if it was closed. The path is the last 200 bytes of it.
   */
  entry(file: FileSlot): OpenFileEntry | null {
    const { slot, generation } = file;
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.#maxFiles) return null;
    const at = this.#at(slot);
    const words = this.#words;
    if (!this.#isUse(at, generation)) return null;
    const entry = {
      fd: words[at + FILE.fd]!,
      ...nodeAt(words, at),
      flags: words[at + FILE.flags]!,
      memoryAlignment: words[at + FILE.memoryAlignment]!,
      offsetAlignment: words[at + FILE.offsetAlignment]!,
      path: this.#pathAt(at),
    };
    // Another file may have taken the slot while this one was copied.
    return this.#isUse(at, generation) ? entry : null;
  }

  /** The openings of a file for writing that there are now, in all threads. */
  writersOf(file: FileNode): FileSlot[] {
    const words = this.#words;
    const found: FileSlot[] = [];
    for (let slot = 0; slot < this.#maxFiles; slot++) {
      const at = this.#at(slot);
      if (Atomics.load(words, at + FILE.references) === 0) continue;
      if ((words[at + FILE.flags]! & FILE_FLAGS.write) === 0) continue;
      if (!isSameNode(nodeAt(words, at), file)) continue;
      found.push({ slot, generation: words[at + FILE.generation]! });
    }
    return found;
  }

  /**
   * The path of a file, also after it was closed; null once another file has its slot.
   *
   * @returns the last 200 bytes of it
   */
  pathOf({ slot, generation }: FileSlot): string | null {
    if (!Number.isInteger(slot) || slot < 0 || slot >= this.#maxFiles || generation === 0) {
      return null;
    }
    const generationAt = this.#at(slot) + FILE.generation;
    if (Atomics.load(this.#words, generationAt) !== generation) return null;
    const path = this.#pathAt(this.#at(slot));
    return Atomics.load(this.#words, generationAt) === generation ? path : null;
  }

  #pathAt(at: number): string {
    const start = (at + FILE.path) * Int32Array.BYTES_PER_ELEMENT;
    // TextDecoder refuses shared memory, so the bytes are copied out first.
    const path = this.#control.bytes.slice(start, start + this.#words[at + FILE.pathLength]!);
    return new TextDecoder().decode(new Uint8Array(path));
  }

  #isUse(at: number, generation: number): boolean {
    const references = Atomics.load(this.#words, at + FILE.references);
    return references !== 0 && Atomics.load(this.#words, at + FILE.generation) === generation;
  }

  /** How many files are open. */
  get count(): number {
    let count = 0;
    for (let slot = 0; slot < this.#maxFiles; slot++) {
      if (this.#words[this.#at(slot) + FILE.references] !== 0) count++;
    }
    return count;
  }

  /**
   * A target that stands for an open file, described from this table.
   *
   * @param nameOf says what a file is called, by the last 200 bytes of its path, or
   *   null once it was closed and another one has its slot
   */
  target(nameOf: (path: string | null) => string = fileName): AioTarget {
    return {
      describeIdentity: (data) => {
        const slot = data[FILE_TARGET.slot]!;
        const path = this.pathOf({ slot, generation: data[FILE_TARGET.slotGeneration]! });
        return describeRange(data, nameOf(path));
      },
    };
  }
}

function fileName(path: string | null): string {
  return path === null ? "a file that was closed" : `file ${JSON.stringify(path)}`;
}

/** The end of a path, cut where a character begins. */
function lastBytes(path: Uint8Array): Uint8Array {
  let start = Math.max(0, path.byteLength - FILE_PATH_BYTES);
  while (start < path.byteLength && start > 0 && (path[start]! & 0xc0) === 0x80) start++;
  return path.subarray(start);
}

/** The part of a file that the words of its target name, if it is about a part. */
function describeRange(data: Int32Array, name: string): string {
  const length = data[FILE_TARGET.length]!;
  if (length === 0) return name;
  const offset = fromWords(data[FILE_TARGET.offsetLow]!, data[FILE_TARGET.offsetHigh]!);
  return `bytes ${offset}..${offset + length - 1} in ${name}`;
}
