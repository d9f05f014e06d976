/**
 * child.ts: runs a benchmark's own module once more, in a process of its own, which prints what it
 * measured as JSON.
 *
 * @module
 */

/** The first argument of such a process. */
export const CHILD = "--child";

/**
 * Runs it.
 *
 * @param module the file of the benchmark
 * @param args what follows {@linkcode CHILD}
 * @returns what it printed
 */
export async function runChild<T>(module: string, ...args: readonly string[]): Promise<T> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", module, CHILD, ...args],
    stderr: "inherit",
  });
  const { stdout, success } = await command.output();
  if (!success) throw new Error(`The child "${args[0]}" failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}
