/** submit_test.ts: IOs that start in one turn of the event loop go to the method together. */

import { assertEquals } from "@std/assert";
import { fileContent, type Fixture, openFixture, openHeld } from "../../support/core.ts";
import { METHODS_UNDER_TEST } from "../../support/methods.ts";

const READ_BYTES = 64;
const OPTIONS = { maxConcurrency: 128 };

/** Starts so many reads in one turn. @returns how many submissions that made */
async function submissionsOf(
  { aio, file }: Fixture,
  reads: number,
  make: () => Uint8Array,
): Promise<number> {
  const { submissions: before } = aio.backends()[0]!.counters;
  const buffers = Array.from({ length: reads }, make);
  await Promise.all(buffers.map((buffer, i) => file.readAt(buffer, i)));
  buffers.forEach((buffer, i) => {
    assertEquals(new Uint8Array(buffer), fileContent(i, READ_BYTES));
  });
  return aio.backends()[0]!.counters.submissions - before;
}

const io_uring = METHODS_UNDER_TEST.find(({ name }) => name === "io_uring");

for (const [reads, submissions] of [[1, 1], [32, 1], [33, 2], [100, 4]] as const) {
  Deno.test({
    name: `io_uring: ${reads} readAt() of one turn are ${submissions} submissions`,
    ignore: io_uring?.ignore !== false,
    fn: async () => {
      await using fixture = await openFixture({ ...OPTIONS, method: "io_uring" });
      const { aio } = fixture;
      const arena = () => aio.alloc(READ_BYTES);
      assertEquals(await submissionsOf(fixture, reads, arena), submissions);
      // The same through bounce space.
      const plain = () => new Uint8Array(READ_BYTES);
      assertEquals(await submissionsOf(fixture, reads, plain), submissions);
    },
  });

  Deno.test(`held: ${reads} readAt() of one turn are ${submissions} submissions`, async () => {
    await using fixture = await openHeld(OPTIONS);
    const { aio, file, held } = fixture;
    const buffers = Array.from({ length: reads }, () => new Uint8Array(READ_BYTES));
    const all = Promise.all(buffers.map((buffer, i) => file.readAt(buffer, i)));
    await Promise.resolve();
    held.performAll(aio);
    await all;
    assertEquals(aio.backends()[0]!.counters.submissions, submissions);
  });
}
