/**
 * errors.ts: the errors that the core throws, and how an error number of the system becomes one.
 *
 * Misuse of a single argument is a `TypeError` or `RangeError`; breaking a rule of the subsystem
 * is an {@linkcode AioApiError}; a failed system call is the `Deno.errors` class that fits, or
 * {@linkcode AioSystemError}, always with {@linkcode SystemErrorFields}.
 *
 * @module
 */

import { errnoName, errnoOf, errnoText } from "../../ffi/errno.ts";

/**
 * A rule of the subsystem was broken: a call in a state, or from a place, where it may not be made.
 */
export class AioApiError extends Error {
  /**
   * Made where the error is found.
   *
   * @param message the rule, the state and the remedy
   * @ignore
   */
  constructor(message: string) {
    super(message);
    this.name = "AioApiError";
  }
}

/** A completion callback threw, so its IO ended in an error. The original went to `onWarning`. */
export class AioCallbackError extends Error {
  /** The name of the callback that threw. */
  readonly callback: string;
  /** Where it threw: `"stage"`, `"completeShared"` or `"completeLocal"`. */
  readonly phase: string;

  /**
   * Made where the error is found.
   *
   * @param message which callback, and of which IO
   * @param callback its name
   * @param phase where it threw
   * @ignore
   */
  constructor(message: string, callback: string, phase: string) {
    super(message);
    this.name = "AioCallbackError";
    this.callback = callback;
    this.phase = phase;
  }
}

/** What a callback's `report` said of a failed IO, if it said it in words only. */
export class AioReportError extends Error {
  /**
   * Made where the error is found.
   *
   * @param message the callback's words
   * @ignore
   */
  constructor(message: string) {
    super(message);
    this.name = "AioReportError";
  }
}

/** A failed system call for which `Deno.errors` has no class, such as ENOSPC or EIO. */
export class AioSystemError extends Error {
  /**
   * Made where the error is found.
   *
   * @param message the call, the reason and what it was about
   * @param options the error underneath, as `cause`
   * @ignore
   */
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AioSystemError";
  }
}

/** What every error of a failed system call tells beside its message. */
export interface SystemErrorFields {
  /** The error's name, such as `"ENOSPC"`. */
  code: string;
  /** The error's number, positive. */
  errno: number;
  /** The call that failed, such as `"pwritev"`. */
  syscall: string;
  /** The file, if it is known. */
  path?: string;
  /** Where in the file, in bytes, for a transfer. */
  offset?: number;
  /** How many bytes were asked for, for a transfer. */
  length?: number;
  /** How many bytes were written before it failed, for a write. */
  bytesWritten?: number;
}

/**
 * A failed system call's error: a `Deno.errors` class or {@linkcode AioSystemError}, with its
 * fields.
 */
export type SystemError = Error & SystemErrorFields;

type ErrorClass = new (message: string, options?: ErrorOptions) => Error;

const CLASSES: Readonly<Record<string, ErrorClass>> = {
  EPERM: Deno.errors.PermissionDenied,
  EACCES: Deno.errors.PermissionDenied,
  ENOENT: Deno.errors.NotFound,
  EEXIST: Deno.errors.AlreadyExists,
  EINTR: Deno.errors.Interrupted,
  EAGAIN: Deno.errors.WouldBlock,
  EBADF: Deno.errors.BadResource,
  EBUSY: Deno.errors.Busy,
  ETXTBSY: Deno.errors.Busy,
  ENOTDIR: Deno.errors.NotADirectory,
  EISDIR: Deno.errors.IsADirectory,
  ELOOP: Deno.errors.FilesystemLoop,
  EPIPE: Deno.errors.BrokenPipe,
  ETIMEDOUT: Deno.errors.TimedOut,
  // What a dead FUSE, sshfs or NFS mount answers.
  ENOTCONN: Deno.errors.NotConnected,
  ECONNABORTED: Deno.errors.ConnectionAborted,
  ECONNREFUSED: Deno.errors.ConnectionRefused,
  ECONNRESET: Deno.errors.ConnectionReset,
  ENETUNREACH: Deno.errors.NetworkUnreachable,
  ENOSYS: Deno.errors.NotSupported,
  EOPNOTSUPP: Deno.errors.NotSupported,
};

/** The class that Deno has for an error of the system, by its name; undefined: it has none. */
export function denoClassOf(code: string): ErrorClass | undefined {
  return CLASSES[code];
}

/**
 * The error of a failed system call.
 *
 * @param errno the error number, positive
 * @param what what could not be done, such as `Cannot open "x"`; the reason is put behind it
 * @param fields the call and what it was about; `code` and `errno` are filled in
 * @param cause the error underneath, if there is one
 * @param remedy what to do about it, put behind the reason
 */
export function systemError(
  errno: number,
  what: string,
  fields: Omit<SystemErrorFields, "code" | "errno">,
  cause?: unknown,
  remedy = "",
): SystemError {
  const code = errnoName(errno);
  const message = `${what}: ${errnoText(errno)} (${code})${remedy}`;
  const Class = denoClassOf(code) ?? AioSystemError;
  const error = cause === undefined ? new Class(message) : new Class(message, { cause });
  return Object.assign(error, { ...fields, code, errno });
}

/**
 * The same of a call of Deno's own that failed. Where the system did not say why, as where a
 * permission is missing, the error itself.
 *
 * @param error what the call threw
 */
export function systemErrorOf(
  error: unknown,
  what: string,
  fields: Omit<SystemErrorFields, "code" | "errno">,
): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const errno = errnoOf(code);
  return errno === undefined ? error : systemError(errno, what, fields, error);
}

/** The value as a message shows it: strings quoted, objects by their class, the rest as it is. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return `a ${value.constructor?.name ?? "value"}`;
  return String(value);
}
