/**
 * output.ts: writes to standard output and standard error, byte by byte as given.
 *
 * @module
 */

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
