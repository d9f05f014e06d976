/**
 * forgotten.ts: the warning of `aio.close()` about files left open, for tests that leave them open
 * and are about something else.
 *
 * @module
 */

/** Whether a warning is that one. */
export function isOfForgottenFiles(message: string): boolean {
  return message.startsWith("aio.close() closed ");
}

/** Prints any other warning, as the default does. */
export function warnOfOthers(message: string, cause?: unknown): void {
  if (!isOfForgottenFiles(message)) console.warn(`aio: ${message}`, cause ?? "");
}
