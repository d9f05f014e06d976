/**
 * posix_lock.ts: a POSIX record lock of this process, as SQLite and others take them.
 *
 * @module
 */

import { LIBC_CANDIDATES } from "../../../ffi/libc_paths.ts";

const F_SETLK = 6;
/** Looks for a lock as another open file would, which the locks of this process keep out. */
const F_OFD_GETLK = 36;
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
      // Try the next spelling.
    }
  }
  throw new Error("There is no C library");
}

/** A `struct flock` for the whole file. */
function writeLock(): Uint8Array<ArrayBuffer> {
  const flock = new Uint8Array(FLOCK_BYTES);
  new DataView(flock.buffer).setInt16(0, F_WRLCK, true);
  return flock;
}

/** A lock on a whole file, held on a descriptor of its own until the end of its scope. */
export class PosixLock implements Disposable {
  readonly #library = openLibrary();
  readonly #fd: number;
  /** Another opening of the file, to ask with. It stays open, as closing it would drop the lock. */
  readonly #asking: number;

  /** Takes it. */
  constructor(path: string) {
    const { open, fcntl } = this.#library.symbols;
    const name = new TextEncoder().encode(`${path}\0`);
    this.#fd = open(name, O_RDWR);
    this.#asking = open(name, O_RDWR);
    if (fcntl(this.#fd, F_SETLK, writeLock()) !== 0) throw new Error(`Cannot lock "${path}"`);
  }

  /** Whether the process still has it, as the kernel says. */
  isHeld(): boolean {
    const flock = writeLock();
    if (this.#library.symbols.fcntl(this.#asking, F_OFD_GETLK, flock) !== 0) {
      throw new Error("Cannot ask for the lock");
    }
    // The kernel says which lock is in the way, or that none is.
    return new DataView(flock.buffer).getInt16(0, true) === F_WRLCK;
  }

  [Symbol.dispose](): void {
    this.#library.symbols.close(this.#fd);
    this.#library.symbols.close(this.#asking);
    this.#library.close();
  }
}
