/**
 * failing_module.ts: a module of callbacks that IO Workers cannot load at times.
 *
 * @module
 */

/** A module that Workers cannot load while a file is there. */
export function failingModule(path: string): URL {
  const text = `
    import { workerData } from "node:worker_threads";
    const isThere = (() => { try { Deno.statSync(${
    JSON.stringify(path)
  }); return true; } catch { return false; } })();
    if (workerData?.number !== undefined && isThere) throw new Error("not to be had");
    export const callbacks = {};`;
  return new URL(`data:text/javascript,${encodeURIComponent(text)}`);
}
