/**
 * errno.ts: the error numbers of Linux (the same on x86-64 and aarch64), their names and texts.
 *
 * The texts are those of the C library, as users know them from other programs. Every call of the
 * wire returns `-errno`; this file turns such a number into words and knows nothing else.
 *
 * @module
 */

/** One row an error number: its name and the C library's text (`errno(3)`, glibc 2.36). */
const ERRORS: readonly (readonly [number, string, string])[] = [
  [1, "EPERM", "Operation not permitted"],
  [2, "ENOENT", "No such file or directory"],
  [3, "ESRCH", "No such process"],
  [4, "EINTR", "Interrupted system call"],
  [5, "EIO", "Input/output error"],
  [6, "ENXIO", "No such device or address"],
  [7, "E2BIG", "Argument list too long"],
  [9, "EBADF", "Bad file descriptor"],
  [11, "EAGAIN", "Resource temporarily unavailable"],
  [12, "ENOMEM", "Cannot allocate memory"],
  [13, "EACCES", "Permission denied"],
  [14, "EFAULT", "Bad address"],
  [16, "EBUSY", "Device or resource busy"],
  [17, "EEXIST", "File exists"],
  [18, "EXDEV", "Invalid cross-device link"],
  [19, "ENODEV", "No such device"],
  [20, "ENOTDIR", "Not a directory"],
  [21, "EISDIR", "Is a directory"],
  [22, "EINVAL", "Invalid argument"],
  [23, "ENFILE", "Too many open files in system"],
  [24, "EMFILE", "Too many open files"],
  [26, "ETXTBSY", "Text file busy"],
  [27, "EFBIG", "File too large"],
  [28, "ENOSPC", "No space left on device"],
  [29, "ESPIPE", "Illegal seek"],
  [30, "EROFS", "Read-only file system"],
  [32, "EPIPE", "Broken pipe"],
  [36, "ENAMETOOLONG", "File name too long"],
  [38, "ENOSYS", "Function not implemented"],
  [40, "ELOOP", "Too many levels of symbolic links"],
  [61, "ENODATA", "No data available"],
  [75, "EOVERFLOW", "Value too large for defined data type"],
  [95, "EOPNOTSUPP", "Operation not supported"],
  [110, "ETIMEDOUT", "Connection timed out"],
  [116, "ESTALE", "Stale file handle"],
  [117, "EUCLEAN", "Structure needs cleaning"],
  [121, "EREMOTEIO", "Remote I/O error"],
  [122, "EDQUOT", "Disk quota exceeded"],
  [125, "ECANCELED", "Operation canceled"],
];

const NAMES = new Map(ERRORS.map(([errno, name]) => [errno, name]));
const TEXTS = new Map(ERRORS.map(([errno, , text]) => [errno, text]));
const NUMBERS = new Map(ERRORS.map(([errno, name]) => [name, errno]));

/** Not allowed. */
export const EPERM = 1;
/** A signal came before the call did anything. */
export const EINTR = 4;
/** The device failed. */
export const EIO = 5;
/** The descriptor is not open. */
export const EBADF = 9;
/** The kernel has no room for the call just now. */
export const EAGAIN = 11;
/** No memory for the call, or no more may be locked. */
export const ENOMEM = 12;
/** An address that cannot be used. */
export const EFAULT = 14;
/** It is in use, or cannot take more just now. */
export const EBUSY = 16;
/** The path is a directory. */
export const EISDIR = 21;
/** The call does not fit the file: with `O_DIRECT`, most often an alignment. */
export const EINVAL = 22;

/** This process has no descriptors left. */
export const EMFILE = 24;
/** The file has no positions: a pipe, a terminal, a socket. */
export const ESPIPE = 29;
/** The kernel does not have the call. */
export const ENOSYS = 38;
/** Somebody called it off. */
export const ECANCELED = 125;
/** The file system does not have what is asked of it. */
export const EOPNOTSUPP = 95;

/**
 * The name of an error number.
 *
 * @param errno a positive error number
 * @returns its name, such as `"ENOSPC"`, or `"E123"` for a number this file does not know
 */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `E${errno}`;
}

/**
 * The C library's text of an error number.
 *
 * @param errno a positive error number
 * @returns its text, such as `"No space left on device"`
 */
export function errnoText(errno: number): string {
  return TEXTS.get(errno) ?? `Unknown error ${errno}`;
}

/**
 * The number of an error name, the other way round of {@linkcode errnoName}.
 *
 * @param name such as `"ENOENT"`
 * @returns the positive error number, or undefined for a name this file does not know
 */
export function errnoOf(name: string): number | undefined {
  return NUMBERS.get(name);
}
