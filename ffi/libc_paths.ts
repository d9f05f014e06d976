/**
 * libc_paths.ts: where the C library is looked for.
 *
 * @module
 */

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
