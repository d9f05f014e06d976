/**
 * file_control.ts: calls of the C library that change what the system keeps of an open file, and
 * not its bytes.
 *
 * As in libc.ts they return a number >= 0, or -errno; those off this thread -1, as the error number
 * is another thread's.
 *
 * @module
 */

import { ENOSYS } from "./errno.ts";
import { AT_FDCWD, AT_SYMLINK_FOLLOW } from "./layout.ts";

const LOCK = {
  name: "fcntl",
  parameters: ["i32", /* int fd */ "i32", /* int command */ "buffer" /* struct flock * */],
  result: "i32",
} as const;

const SET_TIMES = {
  name: "futimens",
  parameters: ["i32", /* int fd */ "buffer" /* const struct timespec [2] */],
  result: "i32",
} as const;
const CHANGE_MODE = {
  name: "fchmod",
  parameters: ["i32", /* int fd */ "u32" /* mode_t, of 16 bits on macOS */],
  result: "i32",
} as const;
const OPEN = {
  name: "open",
  parameters: ["buffer", /* const char *path */ "i32" /* int flags */],
  result: "i32",
} as const;
const LINK = {
  name: "linkat",
  parameters: [
    "i32", /* int olddirfd */
    "buffer", /* const char *oldpath */
    "i32", /* int newdirfd */
    "buffer", /* const char *newpath */
    "i32", /* int flags */
  ],
  result: "i32",
} as const;

/** The calls, with the C prototype beside each row. */
const SYMBOLS = {
  lock: LOCK,
  lockNonblocking: { ...LOCK, nonblocking: true },
  setTimes: SET_TIMES,
  setTimesNonblocking: { ...SET_TIMES, nonblocking: true },
  changeMode: CHANGE_MODE,
  changeModeNonblocking: { ...CHANGE_MODE, nonblocking: true },
  open: OPEN,
  openNonblocking: { ...OPEN, nonblocking: true },
  link: LINK,
  linkNonblocking: { ...LINK, nonblocking: true },
  fsyncNonblocking: {
    name: "fsync",
    parameters: ["i32" /* int fd */],
    result: "i32",
    nonblocking: true,
  },
} as const;

/** The C library, as one thread has it. */
export interface OpenedLibc {
  /** The path it was opened by. */
  readonly path: string;
  /** The error of this thread's last call. */
  lastErrno(): number;
}

/** The calls of one thread. */
export class FileControl {
  readonly #libc: OpenedLibc;
  readonly #os: typeof Deno.build.os;
  readonly #library: Deno.DynamicLibrary<typeof SYMBOLS>;
  readonly #symbols: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

  /** Opens the symbols: not with the first call, as tests would take them for a leak of theirs. */
  constructor(libc: OpenedLibc, os: typeof Deno.build.os) {
    this.#libc = libc;
    this.#os = os;
    this.#library = Deno.dlopen(libc.path, SYMBOLS);
    this.#symbols = this.#library.symbols;
  }

  /** Whether the system has locks of open file descriptions: macOS shows them to no program. */
  get hasLocks(): boolean {
    return this.#os === "linux";
  }

  /** `fcntl(2)` with a `struct flock`. @returns 0, or -errno; ENOSYS without such locks */
  lock(fd: number, command: number, flock: Uint8Array<ArrayBuffer>): number {
    if (!this.hasLocks) return -ENOSYS;
    return this.#result(this.#symbols.lock(fd, command, flock));
  }

  /** The same off this thread, where {@linkcode hasLocks}. */
  lockNonblocking(fd: number, command: number, flock: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#symbols.lockNonblocking(fd, command, flock);
  }

  /**
   * `futimens(2)`: when the file was last read and written.
   *
   * @param times two `struct timespec`
   * @returns 0, or -errno
   */
  setTimes(fd: number, times: Uint8Array<ArrayBuffer>): number {
    return this.#result(this.#symbols.setTimes(fd, times));
  }

  /** The same off this thread. */
  setTimesNonblocking(fd: number, times: Uint8Array<ArrayBuffer>): Promise<number> {
    return this.#symbols.setTimesNonblocking(fd, times);
  }

  /** `fchmod(2)`: the permissions. @returns 0, or -errno */
  changeMode(fd: number, mode: number): number {
    return this.#result(this.#symbols.changeMode(fd, mode));
  }

  /** The same off this thread. */
  changeModeNonblocking(fd: number, mode: number): Promise<number> {
    return this.#symbols.changeModeNonblocking(fd, mode);
  }

  /**
   * `open(2)` of a directory. Deno does not check the path: ask it first.
   *
   * @param path with a NUL at its end
   * @returns the fd, or -errno
   */
  open(path: Uint8Array<ArrayBuffer>, flags: number): number {
    return this.#result(this.#symbols.open(path, flags));
  }

  /** The same off this thread. */
  openNonblocking(path: Uint8Array<ArrayBuffer>, flags: number): Promise<number> {
    return this.#symbols.openNonblocking(path, flags);
  }

  /**
   * `linkat(2)`: gives a file one more name.
   *
   * @param from a path of it, with a NUL at its end
   * @param directory where the name is to be
   * @param name with a NUL at its end; Deno does not check it
   * @returns 0, or -errno
   */
  link(from: Uint8Array<ArrayBuffer>, directory: number, name: Uint8Array<ArrayBuffer>): number {
    return this.#result(this.#symbols.link(AT_FDCWD, from, directory, name, AT_SYMLINK_FOLLOW));
  }

  /** The same off this thread. */
  linkNonblocking(
    from: Uint8Array<ArrayBuffer>,
    directory: number,
    name: Uint8Array<ArrayBuffer>,
  ): Promise<number> {
    return this.#symbols.linkNonblocking(AT_FDCWD, from, directory, name, AT_SYMLINK_FOLLOW);
  }

  /** `fsync(2)` off this thread. @returns 0, or -1: which error is not known */
  fsyncNonblocking(fd: number): Promise<number> {
    return this.#symbols.fsyncNonblocking(fd);
  }

  #result(result: number): number {
    return result < 0 ? -this.#libc.lastErrno() : result;
  }

  /** Unloads the symbols. */
  unload(): void {
    this.#library.close();
  }
}
