/**
 * node.ts: whether Node.js is there to be measured.
 *
 * @module
 */

/** The program; null: it is not installed. */
export async function findNode(): Promise<string | null> {
  try {
    const { success } = await new Deno.Command("node", { args: ["--version"] }).output();
    return success ? "node" : null;
  } catch {
    return null;
  }
}
