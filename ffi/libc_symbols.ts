/**
 * libc_symbols.ts: the symbols of the C library that only some systems have, with the C prototype
 * beside each row, and the calls that differ by system, behind one shape. What all have:
 * common_symbols.ts.
 *
 * @module
 */

import {
  AT_FDCWD,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  F_DUPFD_CLOEXEC,
  F_GETFL,
  F_SETFL,
  FIOCLEX_DARWIN,
  MADV_HUGEPAGE,
  MAP_FAILED,
  MAP_SHARED_POPULATE,
  O_CLOEXEC,
  PR_GET_SECCOMP,
  PROT_READ_WRITE,
  STATX_FLAGS,
  SYNC_FILE_RANGE_WRITE,
} from "./layout.ts";
import { type CommonSymbols, SYMBOLS, TRANSFER } from "./common_symbols.ts";

/** `preadv2(2)` and `pwritev2(2)`. */
const FLAGGED_TRANSFER = {
  parameters: [...TRANSFER, "i32" /* int flags */],
  result: "i32", /* ssize_t, below 2^31 */
  optional: true, /* since glibc 2.26, musl 1.2.5 */
} as const;

const COPY_FILE_RANGE = {
  name: "copy_file_range",
  parameters: [
    "i32", /* int fd_in */
    "buffer", /* off_t *off_in */
    "i32", /* int fd_out */
    "buffer", /* off_t *off_out */
    "usize", /* size_t length */
    "u32", /* unsigned flags */
  ],
  result: "i32", /* ssize_t, below 2^31 */
  optional: true, /* since glibc 2.27 */
} as const;

/** Linux: these, and the ones that are its own. */
export const LINUX_SYMBOLS = {
  ...SYMBOLS,
  statx: {
    parameters: [
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "i32", /* int flags */
      "u32", /* unsigned mask */
      "buffer", /* struct statx * */
    ],
    result: "i32",
  },
  statxNonblocking: {
    name: "statx",
    parameters: ["i32", "buffer", "i32", "u32", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  fstatfs: { parameters: ["i32", /* int fd */ "buffer" /* struct statfs * */], result: "i32" },
  fstatfsNonblocking: {
    name: "fstatfs",
    parameters: ["i32", /* int fd */ "buffer" /* struct statfs * */],
    result: "i32",
    nonblocking: true,
  },
  dup3Nonblocking: {
    name: "dup3",
    parameters: ["i32", /* int oldfd */ "i32", /* int newfd */ "i32" /* int flags */],
    result: "i32",
    nonblocking: true,
  },
  eventfd: {
    parameters: ["u32", /* unsigned initval */ "i32" /* int flags */],
    result: "i32",
  },
  fcntl: {
    parameters: ["i32", /* int fd */ "i32", /* int command */ "i32" /* int */],
    result: "i32",
  },
  sync_file_range: {
    parameters: [
      "i32", /* int fd */
      "i64", /* off_t offset */
      "i64", /* off_t nbytes */
      "u32", /* unsigned flags */
    ],
    result: "i32",
  },
  posix_fadvise: {
    parameters: [
      "i32", /* int fd */
      "i64", /* off_t offset */
      "i64", /* off_t len */
      "i32", /* int advice */
    ],
    result: "i32", /* 0, or the error number */
  },
  fallocate: {
    parameters: [
      "i32", /* int fd */
      "i32", /* int mode */
      "i64", /* off_t offset */
      "i64", /* off_t len */
    ],
    result: "i32",
  },
  copyFileRange: { ...COPY_FILE_RANGE, nonblocking: false },
  copyFileRangeNonblocking: { ...COPY_FILE_RANGE, nonblocking: true },
  tgkill: {
    parameters: ["i32", /* pid_t tgid */ "i32", /* pid_t tid */ "i32" /* int signal */],
    result: "i32",
  },
  preadv2: FLAGGED_TRANSFER,
  pwritev2: FLAGGED_TRANSFER,
  prctl: { parameters: ["i32", /* int operation */ "u64", "u64", "u64", "u64"], result: "i32" },
  madvise: {
    parameters: ["buffer", /* void * */ "usize", /* size_t */ "i32" /* int advice */],
    result: "i32",
  },
  mmap: {
    parameters: [
      "usize", /* void *wanted, none */
      "usize", /* size_t length */
      "i32", /* int protection */
      "i32", /* int flags */
      "i32", /* int fd */
      "i64", /* off_t offset */
    ],
    result: "usize", /* void * */
  },
  munmap: { parameters: ["usize", /* void * */ "usize" /* size_t */], result: "i32" },
  ppoll: {
    parameters: [
      "buffer", /* struct pollfd * */
      "u64", /* nfds_t */
      "buffer", /* const struct timespec * */
      "usize", /* const sigset_t *, none */
    ],
    result: "i32",
  },
  readlink: {
    parameters: ["buffer", /* const char *path */ "buffer", /* char * */ "usize" /* size_t */],
    result: "i32", /* ssize_t, below 2^31 */
  },
  open: { parameters: ["buffer", /* const char *path */ "i32" /* int flags */], result: "i32" },
  gettid: { parameters: [], result: "i32" /* pid_t */ },
  errnoLocation: { name: "__errno_location", parameters: [], result: "usize" /* int * */ },
} as const satisfies Deno.ForeignLibraryInterface;

/** macOS: the names that differ. Untested: nobody has run this module there yet. */
export const DARWIN_SYMBOLS = {
  ...SYMBOLS,
  fstat: { parameters: ["i32", /* int fd */ "buffer" /* struct stat * */], result: "i32" },
  fstatNonblocking: {
    name: "fstat",
    parameters: ["i32", /* int fd */ "buffer" /* struct stat * */],
    result: "i32",
    nonblocking: true,
  },
  dup: { parameters: ["i32" /* int fd */], result: "i32" },
  ioctl: { parameters: ["i32", /* int fd */ "u64" /* unsigned long request */], result: "i32" },
  threadNumber: {
    name: "pthread_mach_thread_np",
    parameters: ["usize" /* pthread_t */],
    result: "u32", /* mach_port_t */
  },
  threadSelf: { name: "pthread_self", parameters: [], result: "usize" /* pthread_t */ },
  errnoLocation: { name: "__error", parameters: [], result: "usize" /* int * */ },
} as const satisfies Deno.ForeignLibraryInterface;

/** The calls that differ by system, behind one shape. Each returns >= 0 or -1 with errno set. */
export interface SystemCalls {
  stat(fd: number, into: Uint8Array<ArrayBuffer>): number;
  statNonblocking(fd: number, into: Uint8Array<ArrayBuffer>): Promise<number>;
  statPath(path: Uint8Array<ArrayBuffer>, into: Uint8Array<ArrayBuffer>): number;
  statPathNonblocking(
    path: Uint8Array<ArrayBuffer>,
    into: Uint8Array<ArrayBuffer>,
  ): Promise<number>;
  replaceNonblocking(fd: number, by: number): Promise<number>;
  statFileSystem(fd: number, into: Uint8Array<ArrayBuffer>): number;
  statFileSystemNonblocking(fd: number, into: Uint8Array<ArrayBuffer>): Promise<number>;
  readonly readFlagged: FlaggedTransfer | null;
  readonly writeFlagged: FlaggedTransfer | null;
  duplicate(fd: number): number;
  changeFlags(fd: number, added: number, removed: number): number;
  eventfd(): number;
  flushRange(fd: number, offset: bigint, length: bigint): number;
  /** @returns 0, or the error number, negative: it does not set errno. */
  advise(fd: number, offset: bigint, length: bigint, advice: number): number;
  readonly allocate:
    | ((fd: number, mode: number, offset: bigint, length: bigint) => number)
    | null;
  readonly copyRange: CopyRange<number> | null;
  readonly copyRangeNonblocking: CopyRange<Promise<number>> | null;
  pause: Pause | null;
  openProc(path: Uint8Array<ArrayBuffer>): number;
  readLink(path: Uint8Array<ArrayBuffer>, into: Uint8Array<ArrayBuffer>): number;
  probeThread(threadId: number): number;
  seccompMode(): number;
  adviseHugePages(memory: Uint8Array<ArrayBuffer>): number;
  mapShared(fd: number, offset: bigint, length: bigint): bigint;
  unmap(address: bigint, length: bigint): number;
  threadId(): number;
  errnoLocation(): bigint;
}

/** `preadv2(2)` or `pwritev2(2)`. */
export type FlaggedTransfer = (
  fd: number,
  iovec: Uint8Array<ArrayBuffer>,
  count: number,
  offset: bigint,
  flags: number,
) => number;

/** `copy_file_range(2)`. */
export type CopyRange<R> = (
  from: number,
  fromAt: Uint8Array<ArrayBuffer>,
  to: number,
  toAt: Uint8Array<ArrayBuffer>,
  length: bigint,
  flags: number,
) => R;

/** `ppoll(2)`. */
export type Pause = (
  pollfds: Uint8Array<ArrayBuffer>,
  count: bigint,
  time: Uint8Array<ArrayBuffer>,
  signals: bigint,
) => number;

const EMPTY_PATH = new Uint8Array(1);

/** A library with its symbols. */
export interface Opened {
  readonly library: { close(): void };
  readonly symbols: CommonSymbols;
  readonly system: SystemCalls;
}

/** Opens the C library of Linux. */
export function openLinux(path: string): Opened {
  const library = Deno.dlopen(path, LINUX_SYMBOLS);
  const { symbols } = library;
  const mask = STATX_FLAGS.basicStats | STATX_FLAGS.birthTime | STATX_FLAGS.directAlign;
  return {
    library,
    symbols,
    system: {
      stat: (fd, into) => symbols.statx(fd, EMPTY_PATH, STATX_FLAGS.atEmptyPath, mask, into),
      statNonblocking: (fd, into) =>
        symbols.statxNonblocking(fd, EMPTY_PATH, STATX_FLAGS.atEmptyPath, mask, into),
      statPath: (name, into) =>
        symbols.statx(AT_FDCWD, name, STATX_FLAGS.atSymlinkNoFollow, mask, into),
      statPathNonblocking: (name, into) =>
        symbols.statxNonblocking(AT_FDCWD, name, STATX_FLAGS.atSymlinkNoFollow, mask, into),
      statFileSystem: symbols.fstatfs,
      statFileSystemNonblocking: symbols.fstatfsNonblocking,
      replaceNonblocking: (fd, by) => symbols.dup3Nonblocking(by, fd, O_CLOEXEC),
      readFlagged: symbols.preadv2,
      writeFlagged: symbols.pwritev2,
      duplicate: (fd) => symbols.fcntl(fd, F_DUPFD_CLOEXEC, 3),
      changeFlags(fd, added, removed) {
        const present = symbols.fcntl(fd, F_GETFL, 0);
        return present < 0 ? present : symbols.fcntl(fd, F_SETFL, (present | added) & ~removed);
      },
      eventfd: () => symbols.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
      flushRange: (fd, offset, length) =>
        symbols.sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE),
      advise: (fd, offset, length, advice) =>
        // Not -0.
        0 - symbols.posix_fadvise(fd, offset, length, advice),
      allocate: symbols.fallocate,
      copyRange: symbols.copyFileRange,
      copyRangeNonblocking: symbols.copyFileRangeNonblocking,
      seccompMode: () => symbols.prctl(PR_GET_SECCOMP, 0n, 0n, 0n, 0n),
      adviseHugePages: (memory) =>
        symbols.madvise(memory, BigInt(memory.byteLength), MADV_HUGEPAGE),
      mapShared: (fd, offset, length) =>
        symbols.mmap(0n, length, PROT_READ_WRITE, MAP_SHARED_POPULATE, fd, offset),
      unmap: (address, length) => symbols.munmap(address, length),
      pause: symbols.ppoll,
      openProc: (name) => symbols.open(name, O_CLOEXEC),
      readLink: (name, into) => symbols.readlink(name, into, BigInt(into.byteLength)),
      probeThread: (threadId) => symbols.tgkill(Deno.pid, threadId, 0),
      threadId: () => symbols.gettid(),
      errnoLocation: () => symbols.errnoLocation(),
    },
  };
}

/** Opens that of macOS. */
export function openDarwin(path: string): Opened {
  const library = Deno.dlopen(path, DARWIN_SYMBOLS);
  const { symbols } = library;
  return {
    library,
    symbols,
    system: {
      stat: (fd, into) => symbols.fstat(fd, into),
      statNonblocking: (fd, into) => symbols.fstatNonblocking(fd, into),
      // Without them what was made for a refused opening stays, and closing takes place in this
      // thread.
      statPath: () => -1,
      statPathNonblocking: () => Promise.resolve(-1),
      statFileSystem: () => -1,
      statFileSystemNonblocking: () => Promise.resolve(-1),
      replaceNonblocking: () => Promise.resolve(-1),
      readFlagged: null,
      writeFlagged: null,
      duplicate(fd) {
        const duplicate = symbols.dup(fd);
        if (duplicate >= 0) symbols.ioctl(duplicate, BigInt(FIOCLEX_DARWIN));
        return duplicate;
      },
      // Of the flags that could be changed this module uses none on macOS, and it has no eventfd.
      changeFlags: () => 0,
      eventfd: () => -1,
      // There is no such call; it is a hint, and leaving it out changes no outcome.
      flushRange: () => 0,
      // There is `F_RDADVISE`, which takes a structure; it is a hint, too.
      advise: () => 0,
      // There is `F_PREALLOCATE`, which takes a structure and leaves the size as it is.
      allocate: null,
      copyRange: null,
      copyRangeNonblocking: null,
      seccompMode: () => 0,
      // There is no such advice; it is a hint, too.
      adviseHugePages: () => 0,
      // Only rings of io_uring are mapped.
      mapShared: () => MAP_FAILED,
      unmap: () => -1,
      pause: null,
      openProc: () => -1,
      readLink: () => -1,
      probeThread: () => 0,
      threadId: () => symbols.threadNumber(symbols.threadSelf()),
      errnoLocation: () => symbols.errnoLocation(),
    },
  };
}
