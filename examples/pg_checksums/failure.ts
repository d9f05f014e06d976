/**
 * What ends a check before its summary: a sentence for the user, in PostgreSQL's words where it has
 * them. Every part of the program throws it; `main.ts` prints it and exits with 1.
 *
 * @module
 */

/** A reason to stop. Its message is a whole sentence for standard error. */
export class CheckFailure extends Error {
  override name = "CheckFailure";
}

/** The C library's texts, which PostgreSQL prints, of the errors that opening and reading meet. */
const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  EACCES: "Permission denied",
  EBUSY: "Device or resource busy",
  EINVAL: "Invalid argument",
  EIO: "Input/output error",
  EISDIR: "Is a directory",
  ELOOP: "Too many levels of symbolic links",
  EMFILE: "Too many open files",
  ENAMETOOLONG: "File name too long",
  ENFILE: "Too many open files in system",
  ENOENT: "No such file or directory",
  ENOMEM: "Cannot allocate memory",
  ENOTDIR: "Not a directory",
  EOVERFLOW: "Value too large for defined data type",
  EPERM: "Operation not permitted",
  ESTALE: "Stale file handle",
};

/**
 * The failure of a step because of what the operating system answered.
 *
 * @param step What could not be done, such as `could not open file "base/5/1259"`.
 * @param error What was thrown; it becomes the cause.
 */
export function systemFailure(step: string, error: unknown): CheckFailure {
  const code = errorCode(error);
  const text = code === undefined ? undefined : SYSTEM_ERRORS[code];
  const reason = text ?? (error instanceof Error ? error.message : String(error));
  return new CheckFailure(`${step}: ${reason}`, { cause: error });
}

/** The name of the operating system's error, such as `ENOENT`, if the error has one. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/**
 * A line for standard error.
 *
 * @param message What is wrong.
 */
export function errorLine(message: string): string {
  return `pg_checksums: error: ${message}\n`;
}
