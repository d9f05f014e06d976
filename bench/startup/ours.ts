/**
 * ours.ts: a whole program: opens an Aio and a file, reads 4 KiB, closes both, and prints how many
 * ms of processor time that took, with Deno's own start.
 *
 * Arguments: method, path; none: the module is imported, and that is all.
 *
 * @module
 */

import process from "node:process";
import { Aio } from "../../mod.ts";

const BLOCK_BYTES = 4096;

async function readOnce(method: string, path: string): Promise<void> {
  await using aio = await Aio.open({ method });
  await using file = await aio.openFile(path);
  const bytes = await file.readAt(new Uint8Array(BLOCK_BYTES), 0);
  if (bytes !== BLOCK_BYTES) throw new Error(`Read ${bytes} bytes`);
}

const [method, path] = Deno.args;
if (method !== undefined && path !== undefined) await readOnce(method, path);
const { user, system } = process.cpuUsage();
console.log((user + system) / 1000);
