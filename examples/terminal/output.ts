/**
 * Writing to standard output and standard error, byte by byte as given. `report.ts`, `progress.ts`
 * and `../pg_checksums.ts` write through it.
 *
 * @module
 */

/**
 * A line for standard error.
 *
 * @param message What is wrong.
 */
export function errorLine(message: string): string {
  return `pg_checksums: error: ${message}\n`;
}

/**
 * Writes all of a text at once.
 *
 * @param stream Where to.
 * @param text What to write.
 */
export function writeText(stream: typeof Deno.stdout, text: string): void {
  let bytes = new TextEncoder().encode(text);
  while (bytes.byteLength > 0) bytes = bytes.subarray(stream.writeSync(bytes));
}
