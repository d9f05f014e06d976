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

/** The calls, with the C prototype beside each row. */
const SYMBOLS = {
  lock: LOCK,
  lockNonblocking: { ...LOCK, nonblocking: true },
  setTimes: SET_TIMES,
  setTimesNonblocking: { ...SET_TIMES, nonblocking: true },
  changeMode: CHANGE_MODE,
  changeModeNonblocking: { ...CHANGE_MODE, nonblocking: true },
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

  #result(result: number): number {
    return result < 0 ? -this.#libc.lastErrno() : result;
  }

  /** Unloads the symbols. */
  unload(): void {
    this.#library.close();
  }
}
