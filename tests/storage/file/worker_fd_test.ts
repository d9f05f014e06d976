/**
 * worker_fd_test.ts: a descriptor that a Worker opened outlives the Worker, however that ends: Deno
 * closes its own descriptors with the isolate, but not this library's.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { closeLibc, openLibc } from "../../../ffi/libc.ts";
import { highWord, lowWord } from "../../../ffi/memory.ts";
import { testEachMethod } from "../../support/methods.ts";
import { contentAt } from "../../support/prng.ts";
import { countDescriptorsOf, LIBRARY_URL } from "../../support/program.ts";
import { tempDir, writeRandomFile } from "../../support/temp.ts";
import { Turns } from "../../support/turns.ts";

const isLinux = Deno.build.os === "linux";
const turns = new Turns(2);

/** Opens a file in a Worker, which ends without closing anything. @returns the descriptor */
async function openInWorker(path: string, method: string, ending: string): Promise<number> {
  const program = `
    import { Aio } from ${JSON.stringify(LIBRARY_URL)};
    const aio = await Aio.open({ method: ${JSON.stringify(method)}, arenaBytes: 65536 });
    const file = await aio.openFile(${JSON.stringify(path)});
    await file.readAt(new Uint8Array(10), 0);
    self.postMessage(file.fd);
    ${ending === "close" ? "self.close();" : ""}`;
  const url = `data:text/javascript,${encodeURIComponent(program)}`;
  const worker = new Worker(url, { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new Error(event.message));
  };
  try {
    return await promise;
  } finally {
    if (ending === "terminate") worker.terminate();
  }
}

/** Reads from a descriptor by the system's own call. */
function readBy(fd: number, offset: number, bytes: number): Uint8Array {
  const libc = openLibc();
  try {
    const view = new Uint8Array(bytes);
    const address = libc.addressOf(view);
    const iovec = Int32Array.of(lowWord(address), highWord(address), bytes, 0);
    assertEquals(libc.preadv(fd, new Uint8Array(iovec.buffer), 1, BigInt(offset)), bytes);
    return view;
  } finally {
    closeLibc(libc);
  }
}

for (const ending of ["close", "terminate"]) {
  testEachMethod(
    `openFile()'s descriptor is good after its Worker's ${ending}()`,
    async (method) => {
      await using dir = await tempDir();
      const path = dir.join("file");
      await writeRandomFile(path, 10_000, 1);
      const fd = await openInWorker(path, method, ending);
      // The isolate ends some time after the call; its resources go with it.
      for (let i = 0; i < 10; i++) {
        await new Promise((resolve) => setTimeout(resolve, 30));
        assertEquals(readBy(fd, 1_000, 500), contentAt(1, 1_000, 500));
      }
      assertEquals(Deno.readLinkSync(`/proc/self/fd/${fd}`), path);
      assertEquals(countDescriptorsOf(path), 1);
      const libc = openLibc();
      assertEquals(libc.close(fd), 0);
      closeLibc(libc);
      assertEquals(countDescriptorsOf(path), 0);
    },
    isLinux,
    turns,
  );
}
