/**
 * Reads four pages of a PostgreSQL table, checked by two layers of callbacks (see their module).
 * Run: deno run -A examples/layered_callbacks.ts PGDATA/base/5/1249
 */

import { AioReturn, reportResult } from "../core/mod.ts";
import { Aio } from "../mod.ts";
import { PAGE_BYTES, trace } from "./layered_callbacks/callbacks.ts";

const [path] = Deno.args;
if (path === undefined) throw new TypeError("Usage: layered_callbacks.ts FILE");
const callbackModules = [new URL("./layered_callbacks/callbacks.ts", import.meta.url)];
await using aio = await Aio.open({ callbackModules });
await using file = await aio.openFile(path);
const pages = [0, 1, 2, 3]; // The numbers of the pages.
const ret = new AioReturn();
const handle = aio.acquire(null, ret);
const ref = handle.waitRef();
handle.setIovec(pages.map(() => aio.alloc(PAGE_BYTES)));
handle.setHandleData(pages); // Tells the callbacks which pages the IO fills.
// The last registered runs first, so the layer nearest to the file comes last.
handle.registerCallbacks(aio.callbackId("pageHeaders"));
handle.registerCallbacks(aio.callbackId("wholePages"));
file.startReadv(handle, 0); // Registers `fileReadv`, still nearer.
await aio.wait(ref);

console.log(trace.join("\n"));
switch (ret.result.status) {
  case "ok":
    console.log("All pages are in order");
    break;
  case "partial": // The file has fewer pages.
  case "warning": // Both go to the hook `onWarning`; an error is thrown. `report` gives the words.
  case "error":
    reportResult(ret.result, ret.targetData, ret.result.status === "error" ? "error" : "warning");
    break;
  case "unknown":
    throw new Error("The IO is not done, although it was waited for");
}
