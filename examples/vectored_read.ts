/**
 * Reads four blocks of a file by one IO, each into memory of its own, and prints their SHA-256.
 * Run: deno run -A examples/vectored_read.ts README.md
 */

import { AioReturn, reportResult } from "../core/mod.ts";
import { Aio } from "../mod.ts";

const [path] = Deno.args;
if (path === undefined) throw new TypeError("Usage: vectored_read.ts FILE");
await using aio = await Aio.open();
await using file = await aio.openFile(path);
const blocks = Array.from({ length: 4 }, () => aio.alloc(8192));
const ret = new AioReturn();

const handle = aio.acquire(null, ret);
const ref = handle.waitRef();
handle.setIovec(blocks); // At most `aio.options.ioMaxCombineLimit`, filled one after another.
file.startReadv(handle, 0);
aio.waitSync(ref); // Blocks this thread; `await aio.wait(ref)` lets others go on.

const { status, result } = ret.result;
switch (status) {
  case "ok":
  case "partial": // The file ends within the four blocks.
    for (let i = 0; i * 8192 < result; i++) {
      const block = blocks[i]!.slice(0, result - i * 8192);
      const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", block));
      console.log(`block ${i}: ${block.length} bytes, SHA-256 ${hash.toHex()}`);
    }
    break;
  case "warning": // Goes to the hook `onWarning`.
  case "error": // Throws the error that the callbacks describe.
    reportResult(ret.result, ret.targetData, status);
    break;
  case "unknown":
    throw new Error("The IO is not done, although it was waited for");
}
