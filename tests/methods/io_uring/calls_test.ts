/**
 * calls_test.ts: io_uring through either library and with rings of either form. The whole suite
 * runs with liburing and the rings of this kernel, and again with the C library and mapped rings
 * (`deno task test:mapped`); this file has each of the four combinations.
 */

import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { createIoUringMethod } from "../../../methods/io_uring.ts";
import { DEFAULT_TUNING } from "../../../methods/io_uring/tuning.ts";
import type { UringLibrary } from "../../../ffi/uring_calls.ts";
import { effectiveOptions } from "../../../core/base/options.ts";
import type { IoMethod } from "../../../core/io/method.ts";
import { ENOMEM } from "../../../ffi/errno.ts";
import { closeLibc, openLibc } from "../../../ffi/libc.ts";
import { replace } from "../../support/bells/bells.ts";
import { FILE_BYTES, fileContent } from "../../support/core.ts";
import { countRings, hasRings, openUring, testEachForm } from "../../support/rings/uring.ts";

const LIBRARIES: readonly UringLibrary[] = ["liburing", "libc"];
const READS = 100;
const TUNING = { ...DEFAULT_TUNING, cachedReadsMin: Infinity };

/** Pieces of rings' memory that this process has mapped. */
function countMappings(): number {
  return Deno.readTextFileSync("/proc/self/maps").split("\n")
    .filter((line) => line.includes("[io_uring]")).length;
}

function isAvailable(method: IoMethod): boolean {
  return method.available(effectiveOptions(undefined)).ok;
}

for (const library of LIBRARIES) {
  const has = isAvailable(createIoUringMethod(null, TUNING, library));
  testEachForm(
    `${library} makes all calls of reads, writes and flushes, and the end leaves nothing open`,
    async (form) => {
      const before = [countRings(), countMappings()];
      {
        const method = createIoUringMethod(form, TUNING, library);
        await using fixture = await openUring(form, {}, method);
        const { aio, file } = fixture;
        const name = library === "libc" ? "the C library" : library;
        assertStringIncludes(aio.methodReason, `; its system calls go through ${name}`);
        assertEquals(countMappings() - before[1]!, form === "mapped" ? 2 : 0);
        const views = Array.from({ length: READS }, (_, i) => aio.alloc(i + 1));
        await Promise.all(views.map((view, i) => file.readAt(view, i)));
        for (const [i, view] of views.entries()) assertEquals(view, fileContent(i, i + 1));
        await file.writeAt(new Uint8Array(1000).fill(7), FILE_BYTES);
        await file.sync();
        await file.syncData();
        assertEquals(await file.size(), FILE_BYTES + 1000);
        const { counters } = aio.backends()[0]!;
        assertEquals([counters.synchronousByMethod, counters.retries], [0, 0]);
      }
      assertEquals([countRings(), countMappings()], before);
    },
    0,
    has,
  );
}

for (const failing of [1, 2]) {
  Deno.test({
    name:
      `io_uring: a ring whose mapping ${failing} of 2 fails is given up, and leaves nothing open`,
    ignore: !hasRings("mapped"),
    async fn() {
      const before = [countRings(), countMappings()];
      const libc = openLibc();
      const mapShared = libc.mapShared.bind(libc);
      let count = 0;
      using _fault = replace(
        libc,
        "mapShared",
        (...args) => ++count === failing ? -ENOMEM : mapShared(...args),
      );
      await assertRejects(
        () => openUring("mapped"),
        Deno.errors.NotSupported,
        "Cannot make a ring for this thread: ",
      );
      assertEquals([count, countRings(), countMappings()], [failing, ...before]);
      closeLibc(libc);
    },
  });
}
