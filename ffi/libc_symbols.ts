/**
 * libc_symbols.ts: the symbols of the C library, with the C prototype beside each row.
 *
 * @module
 */

/** The calls that every system has under the same name. */
export const SYMBOLS = {
  preadv: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const struct iovec * */
      "i32", /* int */
      "i64", /* off_t */
    ],
    result: "i32", /* ssize_t, below 2^31 */
  },
  preadvNonblocking: {
    name: "preadv",
    parameters: [
      "i32", /* int fd */
      "buffer", /* const struct iovec * */
      "i32", /* int */
      "i64", /* off_t */
    ],
    result: "i32", /* ssize_t, below 2^31 */
    nonblocking: true,
  },
  pwritev: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const struct iovec * */
      "i32", /* int */
      "i64", /* off_t */
    ],
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

/** Linux: these, and the ones that are its own. */
export const LINUX_SYMBOLS = {
  ...SYMBOLS,
  statx: {
    parameters: [
      "i32", /* int dirfd */
      "buffer", /* const char *path */
      "i32", /* int flags */
      "u32", /* unsigned mask */
      "buffer", /* struct statx * */
    ],
    result: "i32",
  },
  statxNonblocking: {
    name: "statx",
    parameters: ["i32", "buffer", "i32", "u32", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  fstatfs: { parameters: ["i32", /* int fd */ "buffer" /* struct statfs * */], result: "i32" },
  fstatfsNonblocking: {
    name: "fstatfs",
    parameters: ["i32", /* int fd */ "buffer" /* struct statfs * */],
    result: "i32",
    nonblocking: true,
  },
  dup3Nonblocking: {
    name: "dup3",
    parameters: ["i32", /* int oldfd */ "i32", /* int newfd */ "i32" /* int flags */],
    result: "i32",
    nonblocking: true,
  },
  eventfd: {
    parameters: ["u32", /* unsigned initval */ "i32" /* int flags */],
    result: "i32",
  },
  fcntl: {
    parameters: ["i32", /* int fd */ "i32", /* int command */ "i32" /* int */],
    result: "i32",
  },
  sync_file_range: {
    parameters: [
      "i32", /* int fd */
      "i64", /* off_t offset */
      "i64", /* off_t nbytes */
      "u32", /* unsigned flags */
    ],
    result: "i32",
  },
  tgkill: {
    parameters: ["i32", /* pid_t tgid */ "i32", /* pid_t tid */ "i32" /* int signal */],
    result: "i32",
  },
  preadv2: {
    parameters: [
      "i32", /* int fd */
      "buffer", /* const struct iovec * */
      "i32", /* int */
      "i64", /* off_t */
      "i32", /* int flags */
    ],
    result: "i32", /* ssize_t, below 2^31 */
    optional: true, /* since glibc 2.26, musl 1.2.5 */
  },
  prctl: {
    parameters: ["i32", /* int operation */ "u64", "u64", "u64", "u64"],
    result: "i32",
  },
  madvise: {
    parameters: ["buffer", /* void * */ "usize", /* size_t */ "i32" /* int advice */],
    result: "i32",
  },
  mmap: {
    parameters: [
      "usize", /* void *wanted, none */
      "usize", /* size_t length */
      "i32", /* int protection */
      "i32", /* int flags */
      "i32", /* int fd */
      "i64", /* off_t offset */
    ],
    result: "usize", /* void * */
  },
  munmap: { parameters: ["usize", /* void * */ "usize" /* size_t */], result: "i32" },
  ppoll: {
    parameters: [
      "buffer", /* struct pollfd * */
      "u64", /* nfds_t */
      "buffer", /* const struct timespec * */
      "usize", /* const sigset_t *, none */
    ],
    result: "i32",
  },
  open: { parameters: ["buffer", /* const char *path */ "i32" /* int flags */], result: "i32" },
  gettid: { parameters: [], result: "i32" /* pid_t */ },
  errnoLocation: { name: "__errno_location", parameters: [], result: "usize" /* int * */ },
} as const satisfies Deno.ForeignLibraryInterface;

/** macOS: the names that differ. Untested: nobody has run this module there yet. */
export const DARWIN_SYMBOLS = {
  ...SYMBOLS,
  fstat: { parameters: ["i32", /* int fd */ "buffer" /* struct stat * */], result: "i32" },
  fstatNonblocking: {
    name: "fstat",
    parameters: ["i32", /* int fd */ "buffer" /* struct stat * */],
    result: "i32",
    nonblocking: true,
  },
  dup: { parameters: ["i32" /* int fd */], result: "i32" },
  ioctl: { parameters: ["i32", /* int fd */ "u64" /* unsigned long request */], result: "i32" },
  threadNumber: {
    name: "pthread_mach_thread_np",
    parameters: ["usize" /* pthread_t */],
    result: "u32", /* mach_port_t */
  },
  threadSelf: { name: "pthread_self", parameters: [], result: "usize" /* pthread_t */ },
  errnoLocation: { name: "__error", parameters: [], result: "usize" /* int * */ },
} as const satisfies Deno.ForeignLibraryInterface;
