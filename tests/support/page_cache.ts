/**
 * page_cache.ts: whether a test can read what is in the page cache and nothing else.
 *
 * @module
 */

import { closeSync as closeFd, openSync as openFd } from "node:fs";
import { closeLibc, openLibc } from "../../ffi/libc.ts";

const BYTES = 100;

/** Whether the system and the file system of temporary files can say what is in memory. */
function canTellCached(): boolean {
  if (Deno.build.os !== "linux") return false;
  const libc = openLibc();
  const path = Deno.makeTempFileSync();
  Deno.writeFileSync(path, new Uint8Array(BYTES));
  const fd = openFd(path, "r");
  try {
    return libc.preadCachedInto(fd, new Uint8Array(BYTES), 0) === BYTES;
  } finally {
    closeFd(fd);
    Deno.removeSync(path);
    closeLibc(libc);
  }
}

/** Whether reads of temporary files are executed without waiting for a device. */
export const CAN_READ_CACHED = canTellCached();
