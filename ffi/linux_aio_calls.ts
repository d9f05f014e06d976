/**
 * linux_aio_calls.ts: the system calls of Linux's native AIO by their numbers, through `syscall(2)`
 * of the C library, which has no functions for them. What uring_syscalls.ts says of that function
 * holds here, too.
 *
 * A call to cancel exists, but the kernel refuses it for every file on a disk, so it is not here.
 *
 * @module
 */

import { closeLibc, type Libc, openLibc } from "./libc.ts";
import { SharedLibraries } from "./library.ts";

/** The numbers of the calls, by architecture. */
const NUMBERS = {
  x86_64: { setup: 206n, destroy: 207n, getEvents: 208n, submit: 209n },
  aarch64: { setup: 0n, destroy: 1n, getEvents: 4n, submit: 2n },
} as const;

const SYMBOLS = {
  setup: {
    name: "syscall",
    parameters: [
      "usize", /* long number */
      "u32", /* unsigned events */
      "buffer", /* aio_context_t * */
    ],
    result: "i32", /* long: 0, or -1 */
  },
  destroy: {
    name: "syscall",
    parameters: [
      "usize", /* long number */
      "usize", /* aio_context_t */
    ],
    result: "i32", /* long: 0, or -1 */
  },
  destroyNonblocking: {
    name: "syscall",
    parameters: [
      "usize", /* long number */
      "usize", /* aio_context_t */
    ],
    result: "i32", /* long: 0, or -1 */
    nonblocking: true,
  },
  submit: {
    name: "syscall",
    parameters: [
      "usize", /* long number */
      "usize", /* aio_context_t */
      "usize", /* long count */
      "buffer", /* struct iocb ** */
    ],
    result: "i32", /* long: how many were taken, or -1 */
  },
  getEvents: {
    name: "syscall",
    parameters: [
      "usize", /* long number */
      "usize", /* aio_context_t */
      "usize", /* long least */
      "usize", /* long most */
      "buffer", /* struct io_event * */
      "usize", /* struct timespec *, none */
    ],
    result: "i32", /* long: how many there are, or -1 */
  },
} as const satisfies Deno.ForeignLibraryInterface;

const NOTHING = 0n;

/** The calls, as one thread makes them. Made by {@linkcode openLinuxAioCalls}. */
export class LinuxAioCalls {
  /** The path of the C library. */
  readonly path: string;
  readonly #libc: Libc;
  readonly #library: Deno.DynamicLibrary<typeof SYMBOLS>;
  readonly #submit: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"]["submit"];
  readonly #getEvents: Deno.DynamicLibrary<typeof SYMBOLS>["symbols"]["getEvents"];
  readonly #numbers = NUMBERS[Deno.build.arch];
  /** Counts as a system call takes them. */
  readonly #counts: bigint[] = [];

  /** Made by {@linkcode openLinuxAioCalls}. */
  constructor(path: string) {
    this.path = path;
    this.#library = Deno.dlopen(path, SYMBOLS);
    this.#libc = openLibc(path);
    this.#submit = this.#library.symbols.submit;
    this.#getEvents = this.#library.symbols.getEvents;
  }

  /**
   * Unloads the library. Nothing may be called afterwards; only {@linkcode closeLinuxAioCalls}
   * calls it.
   */
  unload(): void {
    this.#library.close();
    closeLibc(this.#libc);
  }

  /**
   * `io_setup(2)`: makes a context for so many IOs at a time.
   *
   * @param into 8 bytes, all 0, for the context
   * @returns 0, or -errno
   */
  setup(events: number, into: Uint8Array<ArrayBuffer>): number {
    return this.#checked(this.#library.symbols.setup(this.#numbers.setup, events, into));
  }

  /** `io_destroy(2)`: waits until all IO of a context is over; ends it. @returns 0, or -errno */
  destroy(context: bigint): number {
    return this.#checked(this.#library.symbols.destroy(this.#numbers.destroy, context));
  }

  /** The same off this thread. */
  async destroyNonblocking(context: bigint): Promise<void> {
    await this.#library.symbols.destroyNonblocking(this.#numbers.destroy, context);
  }

  /**
   * `io_submit(2)`.
   *
   * @param count of IOs, 1 or more
   * @param list addresses of `struct iocb`
   * @returns how many were taken, or -errno of the first one
   */
  submit(context: bigint, count: number, list: Uint8Array<ArrayBuffer>): number {
    return this.#checked(
      this.#submit(this.#numbers.submit, context, this.#countOf(count), list),
    );
  }

  /**
   * `io_getevents(2)`, without waiting for any.
   *
   * @param most events that there is room for
   * @returns how many there were, or -errno
   */
  getEvents(context: bigint, most: number, into: Uint8Array): number {
    const result = this.#getEvents(
      this.#numbers.getEvents,
      context,
      NOTHING,
      this.#countOf(most),
      into as Uint8Array<ArrayBuffer>,
      NOTHING,
    );
    return this.#checked(result);
  }

  #countOf(count: number): bigint {
    return this.#counts[count] ??= BigInt(count);
  }

  #checked(result: number): number {
    return result < 0 ? -this.#libc.lastErrno() : result;
  }
}

const LIBRARIES = new SharedLibraries<LinuxAioCalls>({
  name: "the C library",
  option: "libraries.libc",
  remedy: `name another with the option "libraries.libc"`,
  load: (path) => new LinuxAioCalls(path),
});

/**
 * Opens the calls for one more user of this thread; {@linkcode closeLinuxAioCalls} gives them back.
 *
 * @param path as of `openLibc()`, which throws in the same cases
 */
export function openLinuxAioCalls(path?: string): LinuxAioCalls {
  const libc = openLibc(path);
  try {
    return LIBRARIES.open(libc.path);
  } finally {
    closeLibc(libc);
  }
}

/**
 * Gives back what {@linkcode openLinuxAioCalls} returned; the last user of this thread unloads it.
 */
export function closeLinuxAioCalls(calls: LinuxAioCalls): void {
  LIBRARIES.close(calls);
}
