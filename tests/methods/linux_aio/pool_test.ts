/**
 * linux_aio/pool_test.ts: the kernel and the pool of IO Workers have the IO of one Aio side by
 * side: what becomes of one part does not touch the other.
 */

import { assertEquals, assertRejects } from "@std/assert";
import { EAGAIN } from "../../../ffi/errno.ts";
import { LinuxAioCalls } from "../../../ffi/linux_aio_calls.ts";
import type { AioFile } from "../../../mod.ts";
import { replace } from "../../support/bells/bells.ts";
import { fileContent, openFixture, startRead } from "../../support/core.ts";
import { METHODS_UNDER_TEST } from "../../support/methods.ts";
import { tempDir } from "../../support/temp.ts";
import { failingModule } from "../../support/workers/failing_module.ts";
import { METHODS_FOR_TESTS, ONE_WORKER } from "../../support/workers/worker_pool.ts";

const ignore = METHODS_UNDER_TEST.some(({ name, ignore }) => name === "linux_aio" && ignore);

Deno.test({
  name: "linux_aio: IO that the kernel has goes on where no Worker can be started",
  ignore,
  async fn() {
    await using dir = await tempDir();
    await Deno.writeTextFile(dir.join("fails"), "");
    const callbackModules = [failingModule(dir.join("fails"))];
    const options = { method: "linux_aio", workers: ONE_WORKER, callbackModules };
    await using fixture = await openFixture(options, METHODS_FOR_TESTS);
    const { aio, file } = fixture;
    const submit = LinuxAioCalls.prototype.submit;
    const handed: (() => number)[] = [];
    // As on a slow device: the kernel has taken the read, and begins it later.
    using taken = replace(
      LinuxAioCalls.prototype,
      "submit",
      function (this: LinuxAioCalls, context, count, list) {
        handed.push(() => submit.call(this, context, count, list));
        return count;
      },
    );
    const { ref, view, ret } = startRead(fixture, 512);
    const read = aio.wait(ref);
    assertEquals(handed.length, 1);
    await assertRejects(() => file.allocate(0, 100), Deno.errors.WouldBlock);
    assertEquals(ret.result.status, "unknown");
    taken[Symbol.dispose]();
    handed[0]!();
    await read;
    assertEquals([ret.result.status, ret.result.result], ["ok", 512]);
    assertEquals(new Uint8Array(view), fileContent(512, 512));
    await Deno.remove(dir.join("fails"));
  },
});

for (const way of ["readAt", "readAtSync"] as const) {
  Deno.test({
    name: `linux_aio: onWarning may call ${way}() when no context is to be had`,
    ignore,
    async fn() {
      const read = Promise.withResolvers<number>();
      const opened: AioFile[] = [];
      const onWarning = () => {
        const reading = async () => await opened[0]![way](new Uint8Array(100), 0);
        reading().then(read.resolve, read.reject);
      };
      const options = { method: "linux_aio", workers: ONE_WORKER, onWarning };
      await using fixture = await openFixture(options, METHODS_FOR_TESTS);
      using _setup = replace(LinuxAioCalls.prototype, "setup", () => -EAGAIN);
      opened.push(fixture.file);
      assertEquals(await fixture.file.readAt(new Uint8Array(512), 0), 512);
      assertEquals(await read.promise, 100);
    },
  });
}
