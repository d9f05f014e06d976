/**
 * page_cache.ts: warms and drops what the system keeps of a file in memory, and asks how much it
 * is.
 *
 * @module
 */

const CHUNK_BYTES = 16 * 1024 * 1024;
const PAGE_BYTES = 4096;
const PROT_READ = 1;
const MAP_SHARED = 1;
const FADV_DONTNEED = 4;

const LIBC = {
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  mincore: { parameters: ["usize", "usize", "buffer"], result: "i32" },
  open: { parameters: ["buffer", "i32"], result: "i32" },
  fsync: { parameters: ["i32"], result: "i32" },
  posix_fadvise: { parameters: ["i32", "i64", "i64", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** What the system keeps of one file. */
export class PageCache implements Disposable {
  readonly #path: string;
  readonly #bytes: number;
  readonly #libc = Deno.dlopen("libc.so.6", LIBC);
  readonly #fd: number;
  readonly #address: bigint;
  readonly #resident: Uint8Array<ArrayBuffer>;

  /** Of the file at a path, which keeps its size. */
  constructor(path: string) {
    this.#path = path;
    this.#bytes = Deno.statSync(path).size;
    const { symbols } = this.#libc;
    this.#fd = symbols.open(new TextEncoder().encode(`${path}\0`), 0);
    if (this.#fd < 0) throw new Error(`Cannot open ${path}`);
    this.#address = symbols.mmap(0n, BigInt(this.#bytes), PROT_READ, MAP_SHARED, this.#fd, 0n);
    this.#resident = new Uint8Array(Math.ceil(this.#bytes / PAGE_BYTES));
  }

  /** Reads all of it. */
  warm(): void {
    const chunk = new Uint8Array(CHUNK_BYTES);
    using file = Deno.openSync(this.#path);
    while (file.readSync(chunk) !== null);
  }

  /** Has it written back and dropped. */
  drop(): void {
    this.#libc.symbols.fsync(this.#fd);
    this.#libc.symbols.posix_fadvise(this.#fd, 0n, 0n, FADV_DONTNEED);
  }

  /** The share of its pages that is in memory, 0 to 1. */
  residency(): number {
    this.#libc.symbols.mincore(this.#address, BigInt(this.#bytes), this.#resident);
    let pages = 0;
    for (const page of this.#resident) pages += page & 1;
    return pages / this.#resident.length;
  }

  /** Lets go of the file. */
  [Symbol.dispose](): void {
    this.#libc.symbols.munmap(this.#address, BigInt(this.#bytes));
    this.#libc.symbols.close(this.#fd);
    this.#libc.close();
  }
}
