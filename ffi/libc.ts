/**
 * libc.ts: the C library: thin calls that return a number >= 0, or -errno. No policy: what a result
 * means is for the layers above. The prototypes, and what differs by system, are in
 * libc_symbols.ts.
 *
 * Three things are particular to the wire:
 * - `ssize_t` results are declared `i32`: no call transfers 2 GiB or more, and a result
 *   of 64 bits would cost a BigInt a call.
 * - `errno` is copied from its address by `memcpy`, right after a failed *synchronous* call and
 *   before anything else can run in this thread. After a `nonblocking` call it would be another
 *   thread's, so those calls say only that they failed.
 * - No pointer object is used, so a grant for this one library (`--allow-ffi=PATH`) is enough.
 *
 * @module
 */

import type { CommonSymbols } from "./common_symbols.ts";
import { ENOSYS, EOPNOTSUPP } from "./errno.ts";
import { FileControl } from "./file_control.ts";
import { IOVEC_WORDS, MAP_FAILED, RWF_NOWAIT, SECCOMP_MODE_FILTER } from "./layout.ts";
import { type FlaggedTransfer, openDarwin, openLinux, type SystemCalls } from "./libc_symbols.ts";
import { libcCandidates } from "./libc_paths.ts";
import { highWord, lowWord } from "./memory.ts";
import { SharedLibraries } from "./library.ts";

/** Where `lseek(2)` counts from: the end of the file. */
export const SEEK_END = 2;
const ERRNO_SIZE_BYTES = 4n;
/** The longest path that there is, and the NUL. */
const LINK_BYTES_MAX = 4096;

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}

/**
 * The C library, opened by one thread. Made by {@linkcode openLibc}, given back by
 * {@linkcode closeLibc}.
 */
export class Libc {
  /** The path it was opened by, as a scoped `--allow-ffi` must spell it. */
  readonly path: string;
  /** Changes what the system keeps of open files. */
  readonly fileControl: FileControl;
  readonly #library: { close(): void };
  readonly #system: SystemCalls;
  readonly #errnoAddress: bigint;
  readonly #errnoWord = new Int32Array(1);
  readonly #errnoBytes = new Uint8Array(this.#errnoWord.buffer);
  readonly #preadv: CommonSymbols["preadv"];
  readonly #pwritev: CommonSymbols["pwritev"];
  readonly #fsync: CommonSymbols["fsync"];
  readonly #fdatasync: CommonSymbols["fdatasync"];
  readonly #readFlagged: FlaggedTransfer | null;
  readonly #ownIovecLongs = new BigUint64Array(2);
  readonly #ownIovecWords = new Int32Array(this.#ownIovecLongs.buffer);
  readonly #ownIovec = new Uint8Array(this.#ownIovecLongs.buffer);
  readonly #offsetLongs = new BigInt64Array(1);
  readonly #offsetWords = new Int32Array(this.#offsetLongs.buffer);
  readonly #copyFrom: CommonSymbols["copyFrom"];
  readonly #address: CommonSymbols["address"];
  readonly #common: CommonSymbols;

  /**
   * Made by {@linkcode openLibc}.
   *
   * @param path of the library
   * @param os whose names its symbols have
   */
  constructor(path: string, os: "linux" | "darwin") {
    this.path = path;
    const opened = os === "linux" ? openLinux(path) : openDarwin(path);
    this.#library = opened.library;
    this.#system = opened.system;
    this.#common = opened.symbols;
    this.#preadv = opened.symbols.preadv;
    this.#pwritev = opened.symbols.pwritev;
    this.#fsync = opened.symbols.fsync;
    this.#fdatasync = opened.symbols.fdatasync;
    this.#readFlagged = opened.system.readFlagged;
    this.#copyFrom = opened.symbols.copyFrom;
    this.#address = opened.symbols.address;
    this.#errnoAddress = opened.system.errnoLocation();
    this.fileControl = new FileControl(this, os);
  }

  /** Unloads the library. Nothing may be called afterwards; only {@linkcode closeLibc} calls it. */
  unload(): void {
    this.fileControl.unload();
    this.#library.close();
  }

  /** `preadv(2)`: reads into the first `count` entries of `iovec`. @returns bytes, or -errno */
  preadv(fd: number, iovec: Uint8Array, count: number, offset: bigint): number {
    const result = this.#preadv(fd, iovec as Uint8Array<ArrayBuffer>, count, offset);
    return result < 0 ? -this.#errno() : result;
  }

  /** `preadv(2)` of one entry off this thread. @returns bytes, or -1: which error is not known */
  preadvNonblocking(fd: number, iovec: Uint8Array, offset: bigint): Promise<number> {
    return this.#common.preadvNonblocking(fd, iovec as Uint8Array<ArrayBuffer>, 1, offset);
  }

  /**
   * `preadv2(2)` with `RWF_NOWAIT`: reads what is in memory already, without waiting for any
   * device.
   *
   * @returns bytes; -1 if nothing is, or the system or the file system cannot say
   */
  preadvCached(fd: number, iovec: Uint8Array, count: number, offset: bigint): number {
    const read = this.#readFlagged;
    return read === null
      ? -1
      : read(fd, iovec as Uint8Array<ArrayBuffer>, count, offset, RWF_NOWAIT);
  }

  /**
   * The same into one view, of whatever memory: it is not needed any more when this returns.
   *
   * @param view of more than 64 bytes: V8 may move a smaller one
   */
  preadCachedInto(fd: number, view: Uint8Array, offset: number): number {
    const read = this.#readFlagged;
    if (read === null) return -1;
    const bytes = view as Uint8Array<ArrayBuffer>;
    this.#ownIovecLongs[0] = this.#address(bytes, bytes, 0n);
    this.#ownIovecWords[IOVEC_WORDS.lengthLow] = bytes.byteLength;
    this.#offsetWords[0] = lowWord(offset);
    this.#offsetWords[1] = highWord(offset);
    return read(fd, this.#ownIovec, 1, this.#offsetLongs[0]!, RWF_NOWAIT);
  }

  /**
   * `preadv2(2)`: as {@linkcode preadv}, with flags, such as `RWF_DONTCACHE`.
   *
   * @returns bytes, or -errno: EOPNOTSUPP for what the system or the file system does not know
   */
  preadv2(fd: number, iovec: Uint8Array, count: number, offset: bigint, flags: number): number {
    return this.#flagged(this.#readFlagged, fd, iovec, count, offset, flags);
  }

  /** `pwritev2(2)`: as {@linkcode pwritev}, with flags. See {@linkcode preadv2}. */
  pwritev2(fd: number, iovec: Uint8Array, count: number, offset: bigint, flags: number): number {
    return this.#flagged(this.#system.writeFlagged, fd, iovec, count, offset, flags);
  }

  #flagged(
    transfer: FlaggedTransfer | null,
    fd: number,
    iovec: Uint8Array,
    count: number,
    offset: bigint,
    flags: number,
  ): number {
    if (transfer === null) return -EOPNOTSUPP;
    const result = transfer(fd, iovec as Uint8Array<ArrayBuffer>, count, offset, flags);
    return result < 0 ? -this.#errno() : result;
  }

  /** `pwritev(2)`: writes the first `count` entries of `iovec`. @returns bytes, or -errno */
  pwritev(fd: number, iovec: Uint8Array, count: number, offset: bigint): number {
    const result = this.#pwritev(fd, iovec as Uint8Array<ArrayBuffer>, count, offset);
    return result < 0 ? -this.#errno() : result;
  }

  /** `fsync(2)`. @returns 0, or -errno */
  fsync(fd: number): number {
    const result = this.#fsync(fd);
    return result < 0 ? -this.#errno() : result;
  }

  /** `fdatasync(2)`. @returns 0, or -errno */
  fdatasync(fd: number): number {
    const result = this.#fdatasync(fd);
    return result < 0 ? -this.#errno() : result;
  }

  /** `sync_file_range(2)`: has the system begin to write a range back. @returns 0, or -errno */
  flushRange(fd: number, offset: bigint, length: bigint): number {
    const result = this.#system.flushRange(fd, offset, length);
    return result < 0 ? -this.#errno() : result;
  }

  /**
   * `posix_fadvise(2)`: says how a range will be used; 0 where the system takes no such hints.
   *
   * @param advice one of `FADVISE_ADVICE`
   * @returns 0, or -errno
   */
  advise(fd: number, offset: bigint, length: bigint, advice: number): number {
    return this.#system.advise(fd, offset, length, advice);
  }

  /**
   * `fallocate(2)`: gives a range its place on the device, frees it, or zeroes it.
   *
   * @param mode `FALLOCATE_MODES` together
   * @returns 0, or -errno: EOPNOTSUPP where the system has no such call
   */
  allocate(fd: number, mode: number, offset: bigint, length: bigint): number {
    const { allocate } = this.#system;
    if (allocate === null) return -EOPNOTSUPP;
    const result = allocate(fd, mode, offset, length);
    return result < 0 ? -this.#errno() : result;
  }

  /** Whether the system copies ranges from file to file. */
  get canCopyRanges(): boolean {
    return this.#system.copyRange !== null;
  }

  /**
   * `copy_file_range(2)`: copies from one open file to another one.
   *
   * @param fromAt where the first byte is, 8 bytes that the kernel moves by what it copied
   * @param toAt where it goes, likewise
   * @returns bytes, or -errno: ENOSYS where the system has no such call
   */
  copyRange(
    from: number,
    fromAt: Uint8Array<ArrayBuffer>,
    to: number,
    toAt: Uint8Array<ArrayBuffer>,
    length: number,
  ): number {
    const result = this.#system.copyRange?.(from, fromAt, to, toAt, BigInt(length), 0);
    if (result === undefined) return -ENOSYS;
    return result < 0 ? -this.#errno() : result;
  }

  /** The same off this thread, where {@linkcode canCopyRanges}. */
  copyRangeNonblocking(
    from: number,
    fromAt: Uint8Array<ArrayBuffer>,
    to: number,
    toAt: Uint8Array<ArrayBuffer>,
    length: number,
  ): Promise<number> {
    return this.#system.copyRangeNonblocking!(from, fromAt, to, toAt, BigInt(length), 0);
  }

  /** `ftruncate(2)`. @returns 0, or -errno */
  ftruncate(fd: number, length: number): number {
    const result = this.#common.ftruncate(fd, BigInt(length));
    return result < 0 ? -this.#errno() : result;
  }

  /** `ftruncate(2)` off this thread. @returns 0, or -1: which error is not known */
  ftruncateNonblocking(fd: number, length: number): Promise<number> {
    return this.#common.ftruncateNonblocking(fd, BigInt(length));
  }

  /** `close(2)`. @returns 0, or -errno; the number is free again either way */
  close(fd: number): number {
    const result = this.#common.close(fd);
    return result < 0 ? -this.#errno() : result;
  }

  /** `close(2)` off this thread. @returns 0, or -1: which error is not known */
  closeNonblocking(fd: number): Promise<number> {
    return this.#common.closeNonblocking(fd);
  }

  /**
   * `statx(2)` of an open file (macOS: `fstat(2)`) into a buffer of `STATX_SIZE_BYTES`.
   *
   * @returns 0, or -errno
   */
  stat(fd: number, into: Uint8Array<ArrayBuffer>): number {
    const result = this.#system.stat(fd, into);
    return result < 0 ? -this.#errno() : result;
  }

  /** The same off this thread. @returns 0, or -1: which error is not known */
  statNonblocking(fd: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#system.statNonblocking(fd, into);
  }

  /**
   * `statx(2)` of what a path names, without following a link that it ends in. The path is not
   * checked by Deno: only for what Deno opened a moment ago.
   *
   * @returns 0, or -errno; ENOSYS where the system has no such call
   */
  statPath(path: string, into: Uint8Array<ArrayBuffer>): number {
    const result = this.#system.statPath(cString(path), into);
    return result < 0 ? -this.#errno() : result;
  }

  /** The same off this thread. @returns 0, or -1: which error is not known */
  statPathNonblocking(path: string, into: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#system.statPathNonblocking(cString(path), into);
  }

  /** `fstatfs(2)` into a buffer of `STATFS_SIZE_BYTES`. @returns 0, or -errno */
  statFileSystem(fd: number, into: Uint8Array<ArrayBuffer>): number {
    const result = this.#system.statFileSystem(fd, into);
    return result < 0 ? -this.#errno() : result;
  }

  /** The same off this thread. @returns 0, or -1: which error is not known */
  statFileSystemNonblocking(fd: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#system.statFileSystemNonblocking(fd, into);
  }

  /**
   * Has a descriptor name another open file, off this thread (`dup3(2)`): the file that it named is
   * closed, which can block; the number stays taken.
   *
   * @returns the descriptor, or -1: which error is not known, and the number names what it did
   */
  replaceNonblocking(fd: number, by: number): Promise<number> {
    return this.#system.replaceNonblocking(fd, by);
  }

  /** A second number for the same open file, closed on exec. @returns the new fd, or -errno */
  duplicate(fd: number): number {
    const result = this.#system.duplicate(fd);
    return result < 0 ? -this.#errno() : result;
  }

  /**
   * Adds and removes flags of an open file, such as `O_DIRECT` (`fcntl(2)`).
   *
   * @returns 0, or -errno
   */
  changeFlags(fd: number, added: number, removed: number): number {
    const result = this.#system.changeFlags(fd, added, removed);
    return result < 0 ? -this.#errno() : result;
  }

  /** `lseek(2)` to the end, which is the size of a block device too. @returns bytes, or -errno */
  seekEnd(fd: number): number {
    const result = Number(this.#common.lseek(fd, 0n, SEEK_END));
    return result < 0 ? -this.#errno() : result;
  }

  /** The same off this thread. @returns bytes, or -1: which error is not known */
  async seekEndNonblocking(fd: number): Promise<number> {
    return Number(await this.#common.lseekNonblocking(fd, 0n, SEEK_END));
  }

  /**
   * A counter that wakes `poll` (`eventfd(2)`), nonblocking, closed on exec.
   *
   * @returns the fd, or -errno
   */
  eventfd(): number {
    const result = this.#system.eventfd();
    return result < 0 ? -this.#errno() : result;
  }

  /** Whether a filter may refuse system calls of this thread, as in most containers. */
  hasSeccompFilter(): boolean {
    return this.#system.seccompMode() === SECCOMP_MODE_FILTER;
  }

  /**
   * Asks for huge pages, for what is touched from now on (`madvise(2)`).
   *
   * @param memory from page boundary to page boundary
   * @returns 0, or -errno: EINVAL of a kernel without them
   */
  adviseHugePages(memory: Uint8Array): number {
    const result = this.#system.adviseHugePages(memory as Uint8Array<ArrayBuffer>);
    return result < 0 ? -this.#errno() : result;
  }

  /** `poll(2)`, blocking. @returns how many are ready, 0 after the timeout, or -errno */
  poll(pollfds: Uint8Array<SharedArrayBuffer>, count: number, timeoutMs: number): number {
    const bytes = pollfds as Uint8Array<ArrayBufferLike> as Uint8Array<ArrayBuffer>;
    const result = this.#common.poll(bytes, BigInt(count), timeoutMs);
    return result < 0 ? -this.#errno() : result;
  }

  /** Whether there is {@linkcode ppoll}: macOS has none. */
  get hasPpoll(): boolean {
    return this.#system.pause !== null;
  }

  /**
   * `ppoll(2)`, blocking: as {@linkcode poll}, but its longest time is a `struct timespec`.
   *
   * @param count as a BigInt, so that a call makes none
   * @returns how many are ready, 0 after the time, or -1: a signal, or no memory
   */
  ppoll(pollfds: Uint8Array<ArrayBuffer>, count: bigint, time: Uint8Array<ArrayBuffer>): number {
    return this.#system.pause!(pollfds, count, time, 0n);
  }

  /**
   * Opens a file of `/proc` for reading, closed on exec: one about this process, which Deno's
   * permissions do not name.
   *
   * @returns the fd, or -errno
   */
  openProc(path: `/proc/self/${string}`): number {
    const result = this.#system.openProc(cString(path));
    return result < 0 ? -this.#errno() : result;
  }

  /** What a link of `/proc` about this process names; null: there is no such link. */
  readProcLink(path: `/proc/self/${string}`): string | null {
    const into = new Uint8Array(LINK_BYTES_MAX);
    const bytes = this.#system.readLink(cString(path), into);
    return bytes < 0 ? null : new TextDecoder().decode(into.subarray(0, bytes));
  }

  /** `poll(2)` off this thread. @returns how many are ready, 0 after the timeout, or -1 */
  pollNonblocking(
    pollfds: Uint8Array<SharedArrayBuffer>,
    count: number,
    timeoutMs: number,
  ): Promise<number> {
    const bytes = pollfds as Uint8Array<ArrayBufferLike> as Uint8Array<ArrayBuffer>;
    return this.#common.pollNonblocking(bytes, BigInt(count), timeoutMs);
  }

  /** `read(2)` of as many bytes as the buffer has. @returns bytes, or -errno */
  read(fd: number, into: Uint8Array<ArrayBuffer>): number {
    const result = this.#common.read(fd, into, BigInt(into.byteLength));
    return result < 0 ? -this.#errno() : result;
  }

  /** `write(2)` of all bytes of a buffer. @returns bytes, or -errno */
  write(fd: number, from: Uint8Array<ArrayBuffer>): number {
    const result = this.#common.write(fd, from, BigInt(from.byteLength));
    return result < 0 ? -this.#errno() : result;
  }

  /** Whether a thread of this process, known by its {@linkcode threadId}, still runs. */
  isThreadAlive(threadId: number): boolean {
    return this.#system.probeThread(threadId) >= 0;
  }

  /** The kernel's id of this thread. */
  threadId(): number {
    return this.#system.threadId();
  }

  /**
   * The address of a view's first byte. The view must be held for as long as the address is used.
   */
  addressOf(view: Uint8Array): number {
    const bytes = view as Uint8Array<ArrayBuffer>;
    return Number(this.#address(bytes, bytes, 0n));
  }

  /**
   * The error of a synchronous call of this thread that failed, made through another table of
   * symbols of the same library. Call it at once, before any other call.
   */
  lastErrno(): number {
    return this.#errno();
  }

  /**
   * Maps a part of a device's memory for reading and writing, shared (`mmap(2)`).
   *
   * @returns its address, or -errno
   */
  mapShared(fd: number, offset: bigint, length: number): number {
    const result = this.#system.mapShared(fd, offset, BigInt(length));
    return result === MAP_FAILED ? -this.#errno() : Number(result);
  }

  /** `munmap(2)`. @returns 0, or -errno */
  unmap(address: number, length: number): number {
    const result = this.#system.unmap(BigInt(address), BigInt(length));
    return result < 0 ? -this.#errno() : result;
  }

  #errno(): number {
    this.#copyFrom(this.#errnoBytes, this.#errnoAddress, ERRNO_SIZE_BYTES);
    return this.#errnoWord[0]!;
  }
}

const LIBRARIES = new SharedLibraries<Libc>({
  name: "the C library",
  option: "libraries.libc",
  remedy: `correct the option "libraries.libc", or leave it out`,
  load: (path) => new Libc(path, Deno.build.os === "darwin" ? "darwin" : "linux"),
});

/**
 * Opens the C library for one more user of this thread; {@linkcode closeLibc} gives it back.
 *
 * @param path only this path, if given; else the first candidate that is granted and there
 * @throws {Deno.errors.NotSupported} on a system other than Linux or macOS on x86-64 or aarch64
 * @throws {Deno.errors.NotCapable} if no candidate is granted, naming the flag to add
 * @throws {Deno.errors.NotFound} if none can be loaded, naming the remedy
 */
export function openLibc(path?: string): Libc {
  const candidates = libcCandidates(`${Deno.build.os}-${Deno.build.arch}`);
  return LIBRARIES.open(path, candidates);
}

/**
 * Gives back what {@linkcode openLibc} returned; the last user of this thread unloads the library.
 */
export function closeLibc(libc: Libc): void {
  LIBRARIES.close(libc);
}
