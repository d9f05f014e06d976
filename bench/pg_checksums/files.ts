/**
 * files.ts: warms and drops what the system keeps in memory of all files of a folder.
 *
 * @module
 */

const CHUNK_BYTES = 1024 * 1024;
const FADV_DONTNEED = 4;

const libc = Deno.dlopen("libc.so.6", {
  open: { parameters: ["buffer", "i32"], result: "i32" },
  posix_fadvise: { parameters: ["i32", "i64", "i64", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
});

/** All files under a folder. */
export function filesUnder(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder)).flatMap(({ name, isDirectory, isFile }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? filesUnder(path) : isFile ? [path] : [];
  });
}

/** Reads them all. */
export function warmFiles(files: readonly string[]): void {
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (const path of files) {
    using file = Deno.openSync(path);
    while (file.readSync(chunk) !== null);
  }
}

/** Drops what was written back. */
export function dropFiles(files: readonly string[]): void {
  for (const path of files) {
    const fd = libc.symbols.open(new TextEncoder().encode(`${path}\0`), 0);
    libc.symbols.posix_fadvise(fd, 0n, 0n, FADV_DONTNEED);
    libc.symbols.close(fd);
  }
}
