/**
 * liburing.ts: the io_uring system calls, from liburing 2.3 or later, which return a number >= 0,
 * or -errno, by themselves. Nothing else of it is used: what it has as inline functions, such as
 * filling queue entries, has no symbol and is done in `methods/`.
 *
 * @module
 */

import { SharedLibraries } from "./library.ts";

const SYMBOLS = {
  io_uring_setup: {
    parameters: ["u32", /* unsigned entries */ "buffer" /* struct io_uring_params * */],
    result: "i32",
  },
  io_uring_enter: {
    parameters: [
      "u32", /* unsigned fd */
      "u32", /* unsigned to_submit */
      "u32", /* unsigned min_complete */
      "u32", /* unsigned flags */
      "usize", /* sigset_t *, none */
    ],
    result: "i32",
  },
  io_uring_register: {
    parameters: [
      "u32", /* unsigned fd */
      "u32", /* unsigned opcode */
      "buffer", /* const void *arg */
      "u32", /* unsigned nr_args */
    ],
    result: "i32",
  },
} as const satisfies Deno.ForeignLibraryInterface;

/**
 * Where liburing is looked for, in this order, by `Deno.build.arch`; there is none but on Linux.
 */
const CANDIDATES: Readonly<Record<string, readonly string[]>> = {
  x86_64: [
    "/lib/x86_64-linux-gnu/liburing.so.2",
    "/usr/lib/x86_64-linux-gnu/liburing.so.2",
    "/lib64/liburing.so.2",
    "/usr/lib64/liburing.so.2",
    "/usr/lib/liburing.so.2",
    "/usr/local/lib/liburing.so.2",
    "liburing.so.2",
  ],
  aarch64: [
    "/lib/aarch64-linux-gnu/liburing.so.2",
    "/usr/lib/aarch64-linux-gnu/liburing.so.2",
    "/lib64/liburing.so.2",
    "/usr/lib64/liburing.so.2",
    "/usr/lib/liburing.so.2",
    "/usr/local/lib/liburing.so.2",
    "liburing.so.2",
  ],
};

const NO_SIGNALS = 0n;

/**
 * liburing, opened by one thread. Made by {@linkcode openLiburing}, given back by
 * {@linkcode closeLiburing}.
 */
export class Liburing {
  /** The path it was opened by, as a scoped `--allow-ffi` must spell it. */
  readonly path: string;
  readonly #library: Deno.DynamicLibrary<typeof SYMBOLS>;
  readonly #enter: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"]["io_uring_enter"];

  /** Made by {@linkcode openLiburing}. */
  constructor(path: string) {
    this.path = path;
    this.#library = Deno.dlopen(path, SYMBOLS);
    this.#enter = this.#library.symbols.io_uring_enter;
  }

  /**
   * Unloads the library. Nothing may be called afterwards; only {@linkcode closeLiburing} calls it.
   */
  unload(): void {
    this.#library.close();
  }

  /** `io_uring_setup(2)`. @returns the descriptor of the ring, or -errno */
  setup(entries: number, params: Uint8Array<ArrayBuffer>): number {
    return this.#library.symbols.io_uring_setup(entries, params);
  }

  /** `io_uring_enter(2)`. @returns how many entries were consumed, or -errno */
  enter(fd: number, toSubmit: number, minComplete: number, flags: number): number {
    return this.#enter(fd, toSubmit, minComplete, flags, NO_SIGNALS);
  }

  /** `io_uring_register(2)`. @returns >= 0, or -errno */
  register(fd: number, opcode: number, argument: Uint8Array<ArrayBuffer>, count: number): number {
    return this.#library.symbols.io_uring_register(fd, opcode, argument, count);
  }
}

const LIBRARIES = new SharedLibraries<Liburing>({
  name: "liburing",
  option: "libraries.liburing",
  remedy: `apt-get install liburing2 (2.3 or later), or leave out the option "libraries.liburing"`,
  load: (path) => new Liburing(path),
});

/** The paths to try on this machine; none where there is no io_uring. */
export function liburingCandidates(): readonly string[] {
  return Deno.build.os === "linux" ? CANDIDATES[Deno.build.arch] ?? [] : [];
}

/**
 * Opens liburing for one more user of this thread; {@linkcode closeLiburing} gives it back.
 *
 * @param path only this path, if given; else the first candidate that is granted and there
 * @throws {Deno.errors.NotCapable} if no candidate is granted, naming the flag to add
 * @throws {Deno.errors.NotFound} if none can be loaded, naming the remedy
 */
export function openLiburing(path?: string): Liburing {
  return LIBRARIES.open(path, liburingCandidates());
}

/**
 * Gives back what {@linkcode openLiburing} returned; the last user of this thread unloads the
 * library.
 */
export function closeLiburing(liburing: Liburing): void {
  LIBRARIES.close(liburing);
}
