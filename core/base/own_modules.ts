/**
 * own_modules.ts: whether a thread of our own may load the modules of this library.
 *
 * @module
 */

/**
 * What Deno wants for the modules of a Worker, if that was not granted; modules by URL are cached, and a
 * compiled program has them in itself.
 *
 * @returns the flag; null: nothing is missing
 */
export function missingFlag(): string | null {
  if (Deno.build.standalone) return null;
  const root = new URL("../../", import.meta.url);
  if (root.protocol !== "file:") return null;
  const { state } = Deno.permissions.querySync({ name: "read", path: root });
  return state === "granted" ? null : `--allow-read=${decodeURIComponent(root.pathname)}`;
}
