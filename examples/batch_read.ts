/**
 * Looks into a file at eight places, with eight reads that are submitted as one batch.
 * Run: deno run -A examples/batch_read.ts README.md
 */

import { AioReturn, reportResult } from "../core/mod.ts";
import { Aio } from "../mod.ts";

const [path] = Deno.args;
if (path === undefined) throw new TypeError("Usage: batch_read.ts FILE");
await using aio = await Aio.open();
await using file = await aio.openFile(path);
const step = Math.ceil(await file.size() / 8);
const reads = aio.batch(() =>
  Array.from({ length: 8 }, (_, i) => {
    const read = { offset: i * step, page: aio.alloc(512), ret: new AioReturn() };
    const handle = aio.acquire(null, read.ret);
    const ref = handle.waitRef();
    handle.setIovec(read.page);
    file.startReadv(handle, read.offset); // Only stages it: the end of the batch submits all.
    return { ...read, ref };
  })
);
for (const { offset, page, ret, ref } of reads) {
  await aio.wait(ref);
  const { status, result } = ret.result;
  switch (status) {
    case "ok":
    case "partial": // Near the end of the file.
      console.log(`${offset}: ${result} bytes, ${page.slice(0, Math.min(result, 24)).toHex()}`);
      break;
    case "warning": // Goes to the hook `onWarning`.
    case "error": // Throws the error that the callbacks describe.
      reportResult(ret.result, ret.targetData, status);
      break;
    case "unknown":
      throw new Error("The IO is not done, although it was waited for");
  }
}
