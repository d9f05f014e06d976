/**
 * posix_lock.ts: a POSIX record lock of this process, as SQLite and others take them.
 *
 * @module
 */

import { LIBC_CANDIDATES } from "../../../ffi/libc_paths.ts";

const F_SETLK = 6;
const F_WRLCK = 1;
const FLOCK_BYTES = 32;
const O_RDWR = 2;

const SYMBOLS = {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
} as const;

function openLibrary(): Deno.DynamicLibrary<typeof SYMBOLS> {
  for (const path of LIBC_CANDIDATES[`linux-${Deno.build.arch}`] ?? []) {
    try {
      return Deno.dlopen(path, SYMBOLS);
    } catch {
      // The next spelling.
    }
  }
  throw new Error("There is no C library");
}

/** A lock on a whole file, held on a descriptor of its own until the end of its scope. */
export class PosixLock implements Disposable {
  readonly #library = openLibrary();
  readonly #fd: number;
  readonly #inode: number;

  /** Takes it. */
  constructor(path: string) {
    const { open, fcntl } = this.#library.symbols;
    this.#fd = open(new TextEncoder().encode(`${path}\0`), O_RDWR);
    const flock = new Uint8Array(FLOCK_BYTES);
    new DataView(flock.buffer).setInt16(0, F_WRLCK, true);
    if (fcntl(this.#fd, F_SETLK, flock) !== 0) throw new Error(`Cannot lock "${path}"`);
    this.#inode = Deno.statSync(path).ino!;
  }

  /** Whether the process still has it, as the kernel says. */
  isHeld(): boolean {
    return Deno.readTextFileSync("/proc/locks").split("\n").some((line) =>
      line.includes(`POSIX  ADVISORY  WRITE ${Deno.pid} `) && line.includes(`:${this.#inode} `)
    );
  }

  [Symbol.dispose](): void {
    this.#library.symbols.close(this.#fd);
    this.#library.close();
  }
}
