/**
 * common_symbols.ts: the symbols of the C library that every system has, with the C prototype
 * beside each row.
 *
 * @module
 */

/** What `preadv(2)` and `pwritev(2)` take. */
export const TRANSFER = [
  "i32", /* int fd */
  "buffer", /* const struct iovec * */
  "i32", /* int */
  "i64", /* off_t */
] as const;

/** The calls that every system has under the same name. */
export const SYMBOLS = {
  preadv: {
    parameters: TRANSFER,
    result: "i32", /* ssize_t, below 2^31 */
  },
  preadvNonblocking: {
    name: "preadv",
    parameters: TRANSFER,
    result: "i32", /* ssize_t, below 2^31 */
    nonblocking: true,
  },
  pwritev: {
    parameters: TRANSFER,
    result: "i32", /* ssize_t, below 2^31 */
  },
  fsync: { parameters: ["i32" /* int fd */], result: "i32" },
  fdatasync: { parameters: ["i32" /* int fd */], result: "i32" },
  ftruncate: { parameters: ["i32", /* int fd */ "i64" /* off_t length */], result: "i32" },
  ftruncateNonblocking: {
    name: "ftruncate",
    parameters: ["i32", /* int fd */ "i64" /* off_t length */],
    result: "i32",
    nonblocking: true,
  },
  lseek: {
    parameters: ["i32", /* int fd */ "i64", /* off_t offset */ "i32" /* int whence */],
    result: "i64", /* off_t */
  },
  lseekNonblocking: {
    name: "lseek",
    parameters: ["i32", /* int fd */ "i64", /* off_t offset */ "i32" /* int whence */],
    result: "i64", /* off_t */
    nonblocking: true,
  },
  close: { parameters: ["i32" /* int fd */], result: "i32" },
  closeNonblocking: {
    name: "close",
    parameters: ["i32" /* int fd */],
    result: "i32",
    nonblocking: true,
  },
  poll: {
    parameters: ["buffer", /* struct pollfd * */ "u64", /* nfds_t */ "i32" /* int timeout ms */],
    result: "i32",
  },
  pollNonblocking: {
    name: "poll",
    parameters: ["buffer", /* struct pollfd * */ "u64", /* nfds_t */ "i32" /* int timeout ms */],
    result: "i32",
    nonblocking: true,
  },
  read: {
    parameters: ["i32", /* int fd */ "buffer", /* void * */ "usize" /* size_t */],
    result: "i32", /* ssize_t, below 2^31 */
  },
  write: {
    parameters: ["i32", /* int fd */ "buffer", /* const void * */ "usize" /* size_t */],
    result: "i32", /* ssize_t, below 2^31 */
  },
  address: {
    name: "memmove",
    parameters: ["buffer", /* void *to */ "buffer", /* const void *from */ "usize" /* size_t n */],
    result: "usize", /* void *: `to`, which is what is wanted */
  },
  copyFrom: {
    name: "memcpy",
    parameters: ["buffer", /* void *to */ "usize", /* const void *from */ "usize" /* size_t n */],
    result: "usize", /* void * */
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The symbols that every system has. */
export type CommonSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];
