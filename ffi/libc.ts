/**
 * libc.ts: the C library. One symbol table with the C prototype beside each row, and thin calls
 * that return a number >= 0, or -errno. No policy: what a result means is for the layers above.
 *
 * Three things are particular to the wire:
 * - `ssize_t` results are declared `i32`: no call is asked to transfer 2 GiB or more, and a result
 *   of 64 bits would cost a BigInt a call.
 * - `errno` is copied from its address by `memcpy`, right after a failed *synchronous* call and
 *   before anything else can run in this thread. After a `nonblocking` call it would be another
 *   thread's, so those calls say only that they failed.
 * - No pointer object is used, so a grant for this one library (`--allow-ffi=PATH`) is enough.
 *
 * @module
 */

import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  F_DUPFD_CLOEXEC,
  F_GETFL,
  F_SETFL,
  FIOCLEX_DARWIN,
  STATX_FLAGS,
} from "./layout.ts";

const SYMBOLS = {
  preadv: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const struct iovec * */
      "i32", /* int */
      "i64", /* off_t */
    ],
    result: "i32", /* ssize_t, below 2^31 */
  },
  pwritev: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const struct iovec * */
      "i32", /* int */
      "i64", /* off_t */
    ],
    result: "i32", /* ssize_t, below 2^31 */
  },
  fsync: { parameters: ["i32" /* int fd */], result: "i32" },
  fdatasync: { parameters: ["i32" /* int fd */], result: "i32" },
  ftruncate: { parameters: ["i32", /* int fd */ "i64" /* off_t length */], result: "i32" },
  ftruncateNonblocking: {
    name: "ftruncate",
    parameters: ["i32", /* int fd */ "i64" /* off_t length */],
    result: "i32",
    nonblocking: true,
  },
  lseek: {
    parameters: ["i32", /* int fd */ "i64", /* off_t offset */ "i32" /* int whence */],
    result: "i64", /* off_t */
  },
  close: { parameters: ["i32" /* int fd */], result: "i32" },
  closeNonblocking: {
    name: "close",
    parameters: ["i32" /* int fd */],
    result: "i32",
    nonblocking: true,
  },
  pollNonblocking: {
    name: "poll",
    parameters: ["buffer", /* struct pollfd * */ "u64", /* nfds_t */ "i32" /* int timeout ms */],
    result: "i32",
    nonblocking: true,
  },
  read: {
    parameters: ["i32", /* int fd */ "buffer", /* void * */ "usize" /* size_t */],
    result: "i32", /* ssize_t, below 2^31 */
  },
  write: {
    parameters: ["i32", /* int fd */ "buffer", /* const void * */ "usize" /* size_t */],
    result: "i32", /* ssize_t, below 2^31 */
  },
  sleepNonblocking: {
    name: "usleep",
    parameters: ["u32" /* useconds_t */],
    result: "i32",
    nonblocking: true,
  },
  address: {
    name: "memmove",
    parameters: ["buffer", /* void *to */ "buffer", /* const void *from */ "usize" /* size_t n */],
    result: "usize", /* void *: `to`, which is what is wanted */
  },
  copyFrom: {
    name: "memcpy",
    parameters: ["buffer", /* void *to */ "usize", /* const void *from */ "usize" /* size_t n */],
    result: "usize", /* void * */
  },
} as const satisfies Deno.ForeignLibraryInterface;

const LINUX_SYMBOLS = {
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
  eventfd: {
    parameters: ["u32", /* unsigned initval */ "i32" /* int flags */],
    result: "i32",
  },
  fcntl: {
    parameters: ["i32", /* int fd */ "i32", /* int command */ "i32" /* int */],
    result: "i32",
  },
  tgkill: {
    parameters: ["i32", /* pid_t tgid */ "i32", /* pid_t tid */ "i32" /* int signal */],
    result: "i32",
  },
  gettid: { parameters: [], result: "i32" /* pid_t */ },
  errnoLocation: { name: "__errno_location", parameters: [], result: "usize" /* int * */ },
} as const satisfies Deno.ForeignLibraryInterface;

/** macOS: the names that differ. Untested: nobody has run this module there yet. */
const DARWIN_SYMBOLS = {
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

type CommonSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** The calls that differ by system, behind one shape. Each returns >= 0 or -1 with errno set. */
interface SystemCalls {
  stat(fd: number, into: Uint8Array<ArrayBuffer>): number;
  statNonblocking(fd: number, into: Uint8Array<ArrayBuffer>): Promise<number>;
  duplicate(fd: number): number;
  changeFlags(fd: number, added: number, removed: number): number;
  eventfd(): number;
  probeThread(threadId: number): number;
  threadId(): number;
  errnoLocation(): bigint;
}

/**
 * Where the C library is looked for, in this order, by `Deno.build.target`. Deno compares a
 * scoped `--allow-ffi` literally, so every usual spelling of the same file is a candidate.
 */
export const LIBC_CANDIDATES: Readonly<Record<string, readonly string[]>> = {
  "linux-x86_64": [
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/lib64/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
    "/lib/libc.so.6",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/libc.musl-x86_64.so.1",
    "libc.so.6",
  ],
  "linux-aarch64": [
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/usr/lib/aarch64-linux-gnu/libc.so.6",
    "/lib64/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
    "/lib/libc.so.6",
    "/lib/ld-musl-aarch64.so.1",
    "/lib/libc.musl-aarch64.so.1",
    "libc.so.6",
  ],
  "darwin-x86_64": ["/usr/lib/libSystem.B.dylib", "libSystem.B.dylib"],
  "darwin-aarch64": ["/usr/lib/libSystem.B.dylib", "libSystem.B.dylib"],
};

const SEEK_END = 2;
const EMPTY_PATH = new Uint8Array(1);
const ERRNO_SIZE_BYTES = 4n;

/** The C library, opened by one thread. Made by {@linkcode openLibc}, given back by {@linkcode closeLibc}. */
export class Libc {
  /** The path it was opened by, as a scoped `--allow-ffi` must spell it. */
  readonly path: string;
  readonly #library: { close(): void };
  readonly #system: SystemCalls;
  readonly #errnoAddress: bigint;
  readonly #errnoWord = new Int32Array(1);
  readonly #errnoBytes = new Uint8Array(this.#errnoWord.buffer);
  readonly #preadv: CommonSymbols["preadv"];
  readonly #pwritev: CommonSymbols["pwritev"];
  readonly #fsync: CommonSymbols["fsync"];
  readonly #fdatasync: CommonSymbols["fdatasync"];
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
    this.#copyFrom = opened.symbols.copyFrom;
    this.#address = opened.symbols.address;
    this.#errnoAddress = opened.system.errnoLocation();
  }

  /** Unloads the library. Nothing may be called afterwards; only {@linkcode closeLibc} calls it. */
  unload(): void {
    this.#library.close();
  }

  /** `preadv(2)`: reads into the first `count` entries of `iovec`. @returns bytes, or -errno */
  preadv(fd: number, iovec: Uint8Array, count: number, offset: bigint): number {
    const result = this.#preadv(fd, iovec as Uint8Array<ArrayBuffer>, count, offset);
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

  /** `statx(2)` of an open file (macOS: `fstat(2)`) into a buffer of `STATX_SIZE_BYTES`. @returns 0, or -errno */
  stat(fd: number, into: Uint8Array<ArrayBuffer>): number {
    const result = this.#system.stat(fd, into);
    return result < 0 ? -this.#errno() : result;
  }

  /** The same off this thread. @returns 0, or -1: which error is not known */
  statNonblocking(fd: number, into: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#system.statNonblocking(fd, into);
  }

  /** A second number for the same open file, closed on exec. @returns the new fd, or -errno */
  duplicate(fd: number): number {
    const result = this.#system.duplicate(fd);
    return result < 0 ? -this.#errno() : result;
  }

  /** Adds and removes flags of an open file, such as `O_DIRECT` (`fcntl(2)`). @returns 0, or -errno */
  changeFlags(fd: number, added: number, removed: number): number {
    const result = this.#system.changeFlags(fd, added, removed);
    return result < 0 ? -this.#errno() : result;
  }

  /** `lseek(2)` to the end, which is the size of a block device too. @returns bytes, or -errno */
  seekEnd(fd: number): number {
    const result = Number(this.#common.lseek(fd, 0n, SEEK_END));
    return result < 0 ? -this.#errno() : result;
  }

  /** A counter that wakes `poll` (`eventfd(2)`), nonblocking, closed on exec. @returns the fd, or -errno */
  eventfd(): number {
    const result = this.#system.eventfd();
    return result < 0 ? -this.#errno() : result;
  }

  /** `poll(2)` off this thread. @returns how many are ready, 0 after the timeout, or -1 */
  pollNonblocking(
    pollfds: Uint8Array<SharedArrayBuffer>,
    count: number,
    timeoutMs: number,
  ): Promise<number> {
    return this.#common.pollNonblocking(pollfds, BigInt(count), timeoutMs);
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

  /** `usleep(3)` off this thread: while it is out, the event loop has nothing to do and sleeps too. */
  sleepNonblocking(microseconds: number): Promise<number> {
    return this.#common.sleepNonblocking(microseconds);
  }

  /** The address of a view's first byte. The view must be held for as long as the address is used. */
  addressOf(view: Uint8Array): number {
    const bytes = view as Uint8Array<ArrayBuffer>;
    return Number(this.#address(bytes, bytes, 0n));
  }

  #errno(): number {
    this.#copyFrom(this.#errnoBytes, this.#errnoAddress, ERRNO_SIZE_BYTES);
    return this.#errnoWord[0]!;
  }
}

interface Opened {
  readonly library: { close(): void };
  readonly symbols: CommonSymbols;
  readonly system: SystemCalls;
}

function openLinux(path: string): Opened {
  const library = Deno.dlopen(path, LINUX_SYMBOLS);
  const { symbols } = library;
  const mask = STATX_FLAGS.basicStats | STATX_FLAGS.directAlign;
  return {
    library,
    symbols,
    system: {
      stat: (fd, into) => symbols.statx(fd, EMPTY_PATH, STATX_FLAGS.atEmptyPath, mask, into),
      statNonblocking: (fd, into) =>
        symbols.statxNonblocking(fd, EMPTY_PATH, STATX_FLAGS.atEmptyPath, mask, into),
      duplicate: (fd) => symbols.fcntl(fd, F_DUPFD_CLOEXEC, 3),
      changeFlags(fd, added, removed) {
        const present = symbols.fcntl(fd, F_GETFL, 0);
        return present < 0 ? present : symbols.fcntl(fd, F_SETFL, (present | added) & ~removed);
      },
      eventfd: () => symbols.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
      probeThread: (threadId) => symbols.tgkill(Deno.pid, threadId, 0),
      threadId: () => symbols.gettid(),
      errnoLocation: () => symbols.errnoLocation(),
    },
  };
}

function openDarwin(path: string): Opened {
  const library = Deno.dlopen(path, DARWIN_SYMBOLS);
  const { symbols } = library;
  return {
    library,
    symbols,
    system: {
      stat: (fd, into) => symbols.fstat(fd, into),
      statNonblocking: (fd, into) => symbols.fstatNonblocking(fd, into),
      duplicate(fd) {
        const duplicate = symbols.dup(fd);
        if (duplicate >= 0) symbols.ioctl(duplicate, BigInt(FIOCLEX_DARWIN));
        return duplicate;
      },
      // Of the flags that could be changed this module uses none on macOS, and it has no eventfd.
      changeFlags: () => 0,
      eventfd: () => -1,
      probeThread: () => 0,
      threadId: () => symbols.threadNumber(symbols.threadSelf()),
      errnoLocation: () => symbols.errnoLocation(),
    },
  };
}

/** The C libraries this thread has open, by path, with how many users each has. */
const openLibraries = new Map<string, { libc: Libc; users: number }>();

/**
 * Opens the C library for one more user of this thread; {@linkcode closeLibc} gives it back.
 *
 * @param path only this path, if given; else the first candidate that is granted and there
 * @throws {Deno.errors.NotSupported} on a system other than Linux or macOS on x86-64 or aarch64
 * @throws {Deno.errors.NotCapable} if no candidate is granted, naming the flag to add
 * @throws {Deno.errors.NotFound} if none can be loaded, naming each with its reason
 */
export function openLibc(path?: string): Libc {
  const platform = `${Deno.build.os}-${Deno.build.arch}`;
  const candidates = libcCandidates(platform);
  return openFirst(path === undefined ? candidates : [path], platform.startsWith("darwin"));
}

/**
 * The paths to try on a platform.
 *
 * @throws {Deno.errors.NotSupported} if there are none
 */
export function libcCandidates(platform: string): readonly string[] {
  const candidates = LIBC_CANDIDATES[platform];
  if (candidates !== undefined) return candidates;
  throw new Deno.errors.NotSupported(
    `Cannot open the C library on ${platform}: Linux and macOS on x86_64 and aarch64 are supported`,
  );
}

function openFirst(candidates: readonly string[], isDarwin: boolean): Libc {
  const granted = candidates.filter((path) =>
    Deno.permissions.querySync({ name: "ffi", path }).state === "granted"
  );
  if (granted.length === 0) {
    throw new Deno.errors.NotCapable(
      `Cannot open the C library without permission: run again with --allow-ffi=${candidates[0]} ` +
        `(on this machine another of these may be the right one: ${candidates.join(", ")})`,
    );
  }
  const failures: string[] = [];
  for (const path of granted) {
    try {
      return openShared(path, isDarwin);
    } catch (cause) {
      failures.push(`${path} (${cause instanceof Error ? cause.message : cause})`);
    }
  }
  throw new Deno.errors.NotFound(
    `Cannot load the C library: tried ${
      failures.join(", ")
    }; name it with the option "libraries.libc"`,
  );
}

function openShared(path: string, isDarwin: boolean): Libc {
  let entry = openLibraries.get(path);
  if (entry === undefined) {
    entry = { libc: new Libc(path, isDarwin ? "darwin" : "linux"), users: 0 };
    openLibraries.set(path, entry);
  }
  entry.users++;
  return entry.libc;
}

/** Gives back what {@linkcode openLibc} returned; the last user of this thread unloads the library. */
export function closeLibc(libc: Libc): void {
  const entry = openLibraries.get(libc.path);
  if (entry === undefined || entry.libc !== libc) return;
  entry.users--;
  if (entry.users > 0) return;
  openLibraries.delete(libc.path);
  libc.unload();
}
