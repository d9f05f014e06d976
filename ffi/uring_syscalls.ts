/**
 * uring_syscalls.ts: the system calls of io_uring by their numbers, through `syscall(2)` of the C
 * library, so that no other library is needed. It returns -1 and sets `errno`, which is read at
 * once.
 *
 * The function is variadic; on x86-64 and aarch64 Linux whole numbers are passed to such a function
 * as to any other. The kernel looks at the lower half of a register where its parameter has 32
 * bits.
 *
 * @module
 */

import { closeLibc, type Libc, openLibc } from "./libc.ts";
import { SharedLibraries } from "./library.ts";

/** The numbers of the calls, on every architecture. */
const NUMBER = { setup: 425n, enter: 426n, register: 427n } as const;

const SYMBOLS = {
  setup: {
    name: "syscall",
    parameters: [
      "usize", /* long number */
      "u32", /* unsigned entries */
      "buffer", /* struct io_uring_params * */
    ],
    result: "i32", /* long: a descriptor, or -1 */
  },
  enter: {
    name: "syscall",
    parameters: [
      "usize", /* long number */
      "u32", /* unsigned fd */
      "u32", /* unsigned to_submit */
      "u32", /* unsigned min_complete */
      "u32", /* unsigned flags */
      "usize", /* const sigset_t *, none */
      "usize", /* size_t of it */
    ],
    result: "i32", /* long: entries, below 2^31, or -1 */
  },
  register: {
    name: "syscall",
    parameters: [
      "usize", /* long number */
      "u32", /* unsigned fd */
      "u32", /* unsigned opcode */
      "buffer", /* const void *arg */
      "u32", /* unsigned nr_args */
    ],
    result: "i32", /* long: a count, below 2^31, or -1 */
  },
} as const satisfies Deno.ForeignLibraryInterface;

const NO_SIGNALS = 0n;

/** The calls, through the C library. Made by {@linkcode openUringSyscalls}. */
export class UringSyscalls {
  /** The path of the C library. */
  readonly path: string;
  readonly #libc: Libc;
  readonly #library: Deno.DynamicLibrary<typeof SYMBOLS>;
  readonly #enter: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"]["enter"];

  /** Made by {@linkcode openUringSyscalls}. */
  constructor(path: string) {
    this.path = path;
    this.#library = Deno.dlopen(path, SYMBOLS);
    this.#libc = openLibc(path);
    this.#enter = this.#library.symbols.enter;
  }

  /**
   * Unloads the library. Nothing may be called afterwards; only {@linkcode closeUringSyscalls}
   * calls it.
   */
  unload(): void {
    this.#library.close();
    closeLibc(this.#libc);
  }

  /** `io_uring_setup(2)`. @returns the descriptor of the ring, or -errno */
  setup(entries: number, params: Uint8Array<ArrayBuffer>): number {
    const result = this.#library.symbols.setup(NUMBER.setup, entries, params);
    return result < 0 ? -this.#libc.lastErrno() : result;
  }

  /** `io_uring_enter(2)`. @returns how many entries were consumed, or -errno */
  enter(fd: number, toSubmit: number, minComplete: number, flags: number): number {
    const result = this.#enter(NUMBER.enter, fd, toSubmit, minComplete, flags, NO_SIGNALS, 0n);
    return result < 0 ? -this.#libc.lastErrno() : result;
  }

  /** `io_uring_register(2)`. @returns >= 0, or -errno */
  register(fd: number, opcode: number, argument: Uint8Array<ArrayBuffer>, count: number): number {
    const { symbols } = this.#library;
    const result = symbols.register(NUMBER.register, fd, opcode, argument, count);
    return result < 0 ? -this.#libc.lastErrno() : result;
  }
}

const LIBRARIES = new SharedLibraries<UringSyscalls>({
  name: "the C library",
  option: "libraries.libc",
  remedy: `name another with the option "libraries.libc"`,
  load: (path) => new UringSyscalls(path),
});

/**
 * Opens the calls for one more user of this thread; {@linkcode closeUringSyscalls} gives them back.
 *
 * @param path as of `openLibc()`, which throws in the same cases
 */
export function openUringSyscalls(path?: string): UringSyscalls {
  const libc = openLibc(path);
  try {
    return LIBRARIES.open(libc.path);
  } finally {
    closeLibc(libc);
  }
}

/**
 * Gives back what {@linkcode openUringSyscalls} returned; the last user of this thread unloads it.
 */
export function closeUringSyscalls(calls: UringSyscalls): void {
  LIBRARIES.close(calls);
}
