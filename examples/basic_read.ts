/**
 * Prints the first 8192 bytes of a file, read by one IO of the core layer.
 * Run: deno run -A examples/basic_read.ts README.md
 */

import { AioReturn, reportResult } from "../core/mod.ts";
import { Aio } from "../mod.ts";

const [path] = Deno.args;
if (path === undefined) throw new TypeError("Usage: basic_read.ts FILE");

await using aio = await Aio.open();
await using file = await aio.openFile(path);
using page = aio.alloc(8192);
const ret = new AioReturn(); // Filled when the IO is done.

const handle = aio.acquire(null, ret);
const ref = handle.waitRef(); // Names the IO once the handle is consumed.
handle.setIovec(page);
file.startReadv(handle, 0); // Consumes the handle. Other work may be done from here on.
await aio.wait(ref);

const { status, result } = ret.result;
switch (status) {
  case "ok":
  case "partial": // The file is shorter than the page.
    Deno.stdout.writeSync(page.slice(0, result));
    break;
  case "warning": // Goes to the hook `onWarning`.
  case "error": // Throws the error that the callbacks describe.
    reportResult(ret.result, ret.targetData, status);
    break;
  case "unknown":
    throw new Error("The IO is not done, although it was waited for");
}
